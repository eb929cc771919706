"""The interactive prompt: the same grammar, line by line, with completion and history.

Without a terminal the lines come from stdin, so that ``rackferry < commands`` works.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from common.errors import WrongUsage
from common.shell.grammar import NOUNS, verbs_of
from common.shell.session import Session
from common.shell.wrong_words import OPTION_NAMES, key_text
from common.vocabulary import BY_NAME

PROMPT = "rackferry> "
_ENDS = frozenset({"exit", "quit"})


def run_lines(session: Session, lines: Iterable[str], options: Sequence[str]) -> int:
    """Carry out lines until they end or say ``exit``; the code of the last that failed.

    ``options`` were given to ``rackferry`` itself and hold for every line.
    """
    exit_code = 0
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            wrong = WrongUsage(f"cannot be read: {error}", object=line.strip())
            exit_code = session.fail(wrong, options)
            continue
        if words and words[0] in _ENDS:
            break
        if words:
            exit_code = session.run([*options, *words]) or exit_code
    return exit_code


def typed_lines(history: History) -> Iterator[str]:
    """Lines as a person types them; Ctrl-C drops a line, Ctrl-D ends."""
    prompt: PromptSession[str] = PromptSession(
        PROMPT, completer=WordCompleter(), history=history, complete_while_typing=False
    )
    while True:
        try:
            yield prompt.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def history_file(state_home: str) -> History:
    """Earlier lines; kept in memory only where no file can be made."""
    path = Path(state_home).expanduser() / "rackferry" / "history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def candidates(words: Sequence[str]) -> list[str]:
    """What may follow these words, from the table (pure)."""
    words = [word for word in words if not word.startswith("-")]
    if not words:
        return [*NOUNS, "help", "exit", *OPTION_NAMES]
    if words[0] == "help":
        return list(NOUNS) if len(words) == 1 else []
    verb = BY_NAME.get((words[0], "")) or BY_NAME.get((words[0], (words[1:2] or [""])[0]))
    if verb is None:
        return [verb.verb for verb in verbs_of(words[0])] if len(words) == 1 else []
    keys = [key_text(parameter) for parameter in verb.parameters]
    given = {word.split("=")[0] for word in words}
    return [*verb.flags, *(key for key in keys if key[:-1] not in given)]


class WordCompleter(Completer):
    """Completes the word before the cursor."""

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002  (prompt-toolkit's signature)
    ) -> Iterator[Completion]:
        """Called by prompt-toolkit."""
        *words, word = document.text_before_cursor.lstrip().split(" ")
        for candidate in candidates([word for word in words if word]):
            if candidate.startswith(word):
                yield Completion(candidate, start_position=-len(word))
