"""The process of ``rackferry``: streams, the reactor, exit codes.

What is slow to import (Twisted, rich, prompt-toolkit) is imported when a command needs it:
the first output of a one-shot command comes within half a second.
"""

import gc
import os
import shutil
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from common.errors import RackferryError
from common.shell.grammar import Invocation, is_empty
from common.shell.render import Screen
from common.shell.session import EXIT_INTERRUPTED, OnProgress, Session
from common.vocabulary import Question

_STOP_TIMEOUT_S = 5.0


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
        return _converse(session, words) if is_empty(words) else session.run(words)
    except RackferryError as error:
        return session.fail(error, words)
    except KeyboardInterrupt:
        sys.stderr.write("\nrackferry: interrupted; a daemon goes on with what it does\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough; nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        reactor_thread.stop()


def _session(reactor_thread: ReactorThread) -> Session:
    def ask(socket_path: str, question: Question, on_progress: OnProgress) -> Any:
        from common.shell.line import ask as ask_daemon  # noqa: PLC0415  (not for help)

        return ask_daemon(socket_path, question, on_progress)

    def local(invocation: Invocation) -> Any:
        if invocation.verb is not None and invocation.verb.noun == "completion":
            from common.shell.scripts import SCRIPTS  # noqa: PLC0415  (few use it)

            return {"shell": invocation.verb.verb, "script": SCRIPTS[invocation.verb.verb]}
        from common.shell.local import answer  # noqa: PLC0415  (slow, see above)

        return answer(invocation, reactor_thread.wait_for)

    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else 0
    return Session(
        ask=ask,
        local=local,
        out=sys.stdout,
        err=sys.stderr,
        environ=os.environ,
        screen=Screen(is_terminal=is_terminal, width=width),
        is_error_terminal=sys.stderr.isatty(),
    )


def _converse(session: Session, options: Sequence[str]) -> int:
    from common.shell.prompt import history_file, run_lines, typed_lines  # noqa: PLC0415

    gc.enable()
    state_home = os.environ.get("XDG_STATE_HOME", "~/.local/state")
    lines = typed_lines(history_file(state_home)) if sys.stdin.isatty() else sys.stdin
    return run_lines(session, lines, options)
