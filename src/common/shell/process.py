"""The process of ``rackferry``: streams, the reactor, exit codes.

What is slow to import (Twisted, prompt-toolkit) is imported when a command needs it:
the first output of a one-shot command comes within half a second.
"""

import gc
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import attrs

from common.errors import RackferryError
from common.shell.grammar import Invocation, is_empty
from common.shell.render import Screen
from common.shell.session import EXIT_INTERRUPTED, OnProgress, Session
from common.vocabulary import Question

_STOP_TIMEOUT_S = 5.0
# Of the thread that completes; as long as it waits, the next Tab does nothing.
_PATIENCE_S = 0.3
CARRIED = frozenset({("boot-resources", "export"), ("boot-resources", "import-bundle")})
"""The words in whose work the shell has part: it writes and reads the files."""


class ReactorThread:
    """Twisted's reactor in a thread of its own, started when it is first needed.

    The main thread stays free for the prompt and for Ctrl-C.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def wait_for(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """The result of ``work(reactor)``, or its exception."""
        from twisted.internet.defer import Deferred  # noqa: PLC0415  (slow, see above)
        from twisted.internet.threads import blockingCallFromThread  # noqa: PLC0415

        reactor = _global_reactor()
        if self._thread is None:
            self._thread = threading.Thread(
                target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True
            )
            self._thread.start()
        return blockingCallFromThread(reactor, lambda: Deferred.fromCoroutine(work(reactor)))

    def stop(self) -> None:
        """End the reactor, if it ever ran."""
        if self._thread is None:
            return
        reactor = _global_reactor()
        reactor.callFromThread(reactor.stop)
        self._thread.join(_STOP_TIMEOUT_S)


def _global_reactor() -> Any:
    # Slow to import, see above; and here a process is put together.
    from twisted.internet import reactor  # noqa: PLC0415, TID251

    return reactor


def run(words: Sequence[str]) -> int:
    """Carry out a command line, or talk at a prompt; gives the exit code."""
    reactor_thread = ReactorThread()
    session = _session(reactor_thread)
    try:
        exit_code = _converse(session, words) if is_empty(words) else session.run(words)
        sys.stdout.flush()
    except RackferryError as error:
        return session.fail(error, words)
    except KeyboardInterrupt:
        sys.stderr.write("\nrackferry: interrupted; a daemon goes on with what it does\n")
        return EXIT_INTERRUPTED
    except OSError as error:
        # The reader has seen enough, or the disk is full: nothing is written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"rackferry: {error.strerror or error}\n")
        return 1
    else:
        return exit_code
    finally:
        reactor_thread.stop()


def _session(reactor_thread: ReactorThread) -> Session:
    def ask(socket_path: str, question: Question, on_progress: OnProgress) -> Any:
        from common.shell import line, rejoining  # noqa: PLC0415  (not for help)

        if (question.noun, question.verb) in CARRIED:
            from common.shell.carrying import carry  # noqa: PLC0415  (few use it)

            return carry(socket_path, question, on_progress)
        return rejoining.ask_and_rejoin(
            line.ask,
            socket_path,
            question,
            on_progress,
            wait=time.sleep,
            now=time.monotonic,
            is_waiting="wait" in question.flags,
        )

    def local(invocation: Invocation) -> Any:
        if invocation.verb is not None and invocation.verb.noun == "completion":
            from common.shell.scripts import SCRIPTS  # noqa: PLC0415  (few use it)

            return {"shell": invocation.verb.verb, "script": SCRIPTS[invocation.verb.verb]}
        from common.shell.local import answer  # noqa: PLC0415  (slow, see above)

        return answer(invocation, reactor_thread.wait_for)

    return Session(
        ask=ask,
        local=local,
        out=sys.stdout,
        err=sys.stderr,
        environ=os.environ,
        screen=_screen(),
        is_error_terminal=sys.stderr.isatty() and not _is_dumb(),
        error_size=_error_size,
    )


def _error_size() -> tuple[int, int]:
    try:
        return os.get_terminal_size(sys.stderr.fileno())
    except OSError:
        return shutil.get_terminal_size()


def _is_dumb() -> bool:
    """Whether the terminal knows no escapes: neither colours nor going back in a line."""
    return os.environ.get("TERM") == "dumb"


def _screen() -> Screen:
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else 0
    is_plain = bool(os.environ.get("NO_COLOR")) or _is_dumb()
    return Screen(is_terminal=is_terminal, is_plain=is_plain, width=width)


def _converse(session: Session, options: Sequence[str]) -> int:
    # Slow to import, see above.
    from common.shell import completing, history, prompt  # noqa: PLC0415

    gc.enable()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return prompt.run_lines(lambda: session, sys.stdin, options)
    world, forget = completing.world(os.environ, _PATIENCE_S)
    terminal = prompt.Terminal(
        history.history_at(os.environ.get("XDG_STATE_HOME", "~/.local/state")),
        attrs.evolve(world, extra=prompt.OWN_WORDS),
        forget,
        options,
    )
    sys.stdout.write(prompt.GREETING)
    return prompt.run_lines(
        lambda: attrs.evolve(session, screen=_screen()), terminal.lines(), options, terminal.done
    )
