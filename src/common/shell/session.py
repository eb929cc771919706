"""One command line from beginning to end: understand, ask, show, exit code.

All that touches the world (daemons, files, streams) is passed in, so that the whole shell
is tested without a process or a socket. The prompt and one-shot commands both come here.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import attrs

from common.addresses import ENROL_PORT, RPC_PORT
from common.errors import RackferryError, WrongUsage, door_of
from common.shell.explain import explain
from common.shell.grammar import Invocation, parse, which_socket
from common.shell.progress import ErrorStream, ProgressLines
from common.shell.render import (
    Screen,
    as_json,
    as_json_line,
    error_text,
    event_line,
    for_people,
)
from common.vocabulary import Place, Question

_MOST_READ_BYTES = 1 << 20
EXIT_INTERRUPTED = 130  # as a shell reports a process that died of SIGINT

OnProgress = Callable[[Mapping[str, Any]], None]
Ask = Callable[[str, Question, OnProgress], Any]
Local = Callable[[Invocation], Any]
Create = Callable[[str, Callable[[Question], Any], Question, str, OnProgress], Any]


def _create(*arguments: Any) -> Any:
    from common.shell.custom_image import create  # noqa: PLC0415  (few use it)

    return create(*arguments)


@attrs.frozen
class Session:
    """What a command line needs of the world.

    Attributes:
        ask: (socket path, question, progress) -> answer of a daemon, or a RackferryError.
        local: answers the verbs that need no daemon.
        out: where answers go.
        err: where errors and progress go.
        environ: environment variables.
        create: (socket path, ask, question, path of the file, progress) -> answer to
            ``boot-resources create``.
        screen: what ``out`` is.
        is_error_terminal: whether ``err`` is a terminal.
        error_size: its columns and lines, as they are now.
        now: seconds of a clock that only goes forward.
    """

    ask: Ask
    local: Local
    out: TextIO
    err: TextIO
    environ: Mapping[str, str]
    create: Create = _create
    screen: Screen = Screen()  # noqa: RUF009  (frozen)
    is_error_terminal: bool = False
    error_size: Callable[[], tuple[int, int]] = lambda: (80, 24)
    now: Callable[[], float] = time.monotonic

    def run(self, words: Sequence[str]) -> int:
        """Carry out one command line; 0 is success, ``errors.TABLE`` has the rest."""
        try:
            invocation = parse(words, _read_file)
        except RackferryError as error:
            return self.fail(error, words)
        try:
            return self._run(invocation)
        except RackferryError as error:
            return self.fail(error, words)
        except KeyboardInterrupt:
            # Behind what the terminal shows of the key.
            begin = "\n" if self.is_error_terminal else ""
            self.err.write(f"{begin}rackferry: {what_goes_on(invocation)}\n")
            return EXIT_INTERRUPTED

    def fail(self, error: RackferryError, words: Sequence[str]) -> int:
        """Say what failed, in the form that ``words`` ask for."""
        self.err.write(error_text(error, is_json="--json" in words))
        return door_of(error).exit_code

    def _run(self, invocation: Invocation) -> int:
        if invocation.is_version:
            from common.release import release  # noqa: PLC0415  (slow, and asked for rarely)

            self.out.write(f"rackferry {release()}\n")
        elif invocation.topic is not None:
            self.out.write(explain(invocation.topic))
        elif invocation.note:
            self.err.write(f"rackferry: {invocation.note}\n")
        elif invocation.verb is not None:
            return self._answer(invocation)
        return 0

    def _answer(self, invocation: Invocation) -> int:
        verb, question = invocation.verb, invocation.question
        if verb is None or question is None:
            return 0
        if "follow" in question.flags:
            return self._follow(invocation, question)
        if Place.LOCAL in verb.places:
            answer = self.local(invocation)
        elif invocation.is_maas:
            return self._answer_as_maas(invocation, question)
        else:
            answer = self._ask(invocation, question)
        if invocation.is_json:
            self.out.write(as_json(answer))
        elif verb.alone:
            self.out.write(f"{answer[verb.alone].rstrip()}\n")
            if verb.alone == "token":
                self.err.write(f"on the new rack: {join_line(answer)}\n")
        else:
            self.out.write(for_people(verb, answer, self.screen))
        self.out.flush()
        return 1 if isinstance(answer, Mapping) and answer.get("failed") else 0

    def _answer_as_maas(self, invocation: Invocation, question: Question) -> int:
        from common.shell import maas  # noqa: PLC0415  (few use it)

        talk = maas.talk(question)
        try:
            asked = next(talk)
            while True:
                asked = talk.send(self._ask(invocation, asked))
        except StopIteration as end:
            said: maas.Said = end.value
        if said.note:
            self.err.write(f"rackferry: {said.note}\n")
        self.out.write(maas.printed(said, is_terminal=self.screen.is_terminal))
        self.out.flush()
        return 0

    def _ask(self, invocation: Invocation, question: Question) -> Any:
        progress = ProgressLines(
            ErrorStream(
                self.err,
                self.error_size,
                self.now,
                is_terminal=self.is_error_terminal,
                is_wanted=not invocation.is_json,
            )
        )
        path = self._socket(invocation)

        def ask(asked: Question) -> Any:
            return self.ask(path, asked, progress.show)

        try:
            if (question.noun, question.verb) == ("boot-resources", "create"):
                content = invocation.files["content"]
                return self.create(path, ask, question, content, progress.show)
            return ask(question)
        finally:
            progress.close()

    def _follow(self, invocation: Invocation, question: Question) -> int:
        """Show what comes, one line each, until somebody ends it."""

        def show(row: Mapping[str, Any]) -> None:
            is_json = invocation.is_json
            self.out.write(as_json_line(row) if is_json else event_line(row, self.screen))
            self.out.flush()

        try:
            self.ask(self._socket(invocation), question, show)
        except KeyboardInterrupt:
            if self.is_error_terminal:  # behind what the terminal shows of the key
                self.err.write("\n")
            return EXIT_INTERRUPTED
        return 0

    def _socket(self, invocation: Invocation) -> str:
        return which_socket(invocation.socket, self.environ)


def what_goes_on(invocation: Invocation) -> str:
    """What to say to Ctrl-C: it ends the waiting, and never the work of a daemon."""
    verb, question = invocation.verb, invocation.question
    if verb is None or question is None or Place.LOCAL in verb.places:
        return "interrupted"
    if verb.is_carried:
        return "interrupted; the same line goes on where it stopped"
    if "wait" not in question.flags:
        return "interrupted; a daemon goes on with what it does"
    again = " ".join((verb.phrase, *question.ids, "wait"))
    return f"{verb.phrase} goes on; {again} joins it"


def join_line(token: Mapping[str, Any]) -> str:
    """What to type on the new rack: the region's first name, ports that are not the default."""
    hosts = token.get("hosts") or ["REGION"]
    ports = [
        f"{key}={token[key]}"
        for key, usual in (("enrol_port", ENROL_PORT), ("rpc_port", RPC_PORT))
        if token.get(key, usual) != usual
    ]
    return " ".join(["rackferry", "join", str(hosts[0]), str(token["token"]), *ports])


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  (pathlib costs start-up time)
            # Far more than can be asked; a device never ends.
            return file.read(_MOST_READ_BYTES)
    except OSError as error:
        raise WrongUsage(f"cannot be read: {error.strerror}", object=path) from error
    except ValueError as error:
        raise WrongUsage(f"is no path: {error}", object=path) from error
