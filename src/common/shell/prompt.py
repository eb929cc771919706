"""The interactive prompt: the same grammar, line by line, with completion and history.

Without a terminal the lines come from stdin, so that ``rackferry < commands`` works.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import History

from common.errors import NoDaemon, WrongUsage, door_of
from common.shell.completion import World, complete
from common.shell.session import EXIT_INTERRUPTED, Session

PROMPT = "rackferry> "
PROMPT_AWAY = "rackferry (no daemon)> "
GREETING = "Tab completes, help explains, exit or Ctrl-D ends.\n"
OWN_WORDS = {"exit": "end this prompt"}

_UNCOMMENTED = re.compile(r"""(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|(?<=\S)#|[^#])*""", re.DOTALL)
_ENDS = frozenset({"exit", "quit"})
_NO_DAEMON = door_of(NoDaemon("")).exit_code


def run_lines(
    session_now: Callable[[], Session],
    lines: Iterable[str],
    options: Sequence[str],
    done: Callable[[int], None] | None = None,
) -> int:
    """Carry out lines until they end or say ``exit``; the code of the last that failed.

    Args:
        session_now: a session for the next line: a terminal may have been resized.
        lines: one command line each, or several; a backslash at the end continues one.
        options: what was given to ``rackferry`` itself; it holds for every line.
        done: told the exit code of each line, if somebody types them: then Ctrl-C ends a
            line only, and otherwise all.
    """
    exit_code = 0
    for line in whole_lines(lines):
        session = session_now()
        try:
            words = split(line)
        except ValueError as error:
            wrong = WrongUsage(f"cannot be read: {error}", object=line.strip())
            exit_code = session.fail(wrong, options)
            continue
        if words[:1] == ["rackferry"]:
            words = words[1:]  # an example was pasted
        if words and words[0] in _ENDS:
            break
        if words:
            code = session.run([*options, *words])
            exit_code = code or exit_code
            if done is not None:
                done(code)
            elif code == EXIT_INTERRUPTED:
                break
    return exit_code


def split(line: str) -> list[str]:
    """The words of a line, as a shell splits it.

    ``shlex`` would take a ``#`` within a word for a comment, too, and half a password with it.

    Raises:
        ValueError: a quotation mark is open.
    """
    uncommented = _UNCOMMENTED.match(line)
    return shlex.split(uncommented[0] if uncommented else line)


def whole_lines(lines: Iterable[str]) -> Iterator[str]:
    """Each command line, of what may hold several, or be one over several lines."""
    begun = ""
    for each in lines:
        for line in each.splitlines():
            if line.endswith("\\"):
                begun += line[:-1]
            else:
                yield begun + line
                begun = ""
    if begun:
        yield begun


class Terminal:
    """Somebody who types.

    Args:
        history: earlier lines.
        world: what completion asks of the world.
        forget: makes completion ask anew.
        options: what was given to ``rackferry`` itself.
    """

    def __init__(
        self, history: History, world: World, forget: Callable[[], None], options: Sequence[str]
    ) -> None:
        self._is_away = False
        self._forget = forget
        self._prompt: PromptSession[str] = PromptSession(
            self._message,
            completer=WordCompleter(world, options),
            complete_in_thread=True,
            complete_while_typing=False,
            history=history,
        )

    def lines(self) -> Iterator[str]:
        """Lines as they are typed; Ctrl-C drops a line, Ctrl-D ends."""
        while True:
            try:
                yield self._prompt.prompt()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return

    def done(self, exit_code: int) -> None:
        """A line was carried out: the prompt shows if no daemon was there."""
        self._is_away = exit_code == _NO_DAEMON
        self._forget()

    def _message(self) -> str:
        return PROMPT_AWAY if self._is_away else PROMPT


class WordCompleter(Completer):
    """Completes the word before the cursor."""

    def __init__(self, world: World, options: Sequence[str]) -> None:
        self._world = world
        self._options = options

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002  (prompt-toolkit's signature)
    ) -> Iterator[Completion]:
        """Called by prompt-toolkit, in a thread."""
        before, _, word = document.text_before_cursor.rpartition(" ")
        try:
            words = shlex.split(before)
        except ValueError:
            return  # within quotes
        if words[:1] == ["rackferry"]:
            words = words[1:]
        for each in complete([*self._options, *words], word, self._world):
            # What goes on behind it is typed without a space.
            end = "" if each.text.endswith(("=", "/")) else " "
            quoted = each.text if not end else shlex.quote(each.text)
            yield Completion(
                quoted + end,
                start_position=-len(word),
                display=each.text,
                display_meta="".join(char for char in each.help if char.isprintable()),
            )
