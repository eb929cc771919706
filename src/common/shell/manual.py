"""The manual page ``rackferry(1)``, made from the table of words (pure).

``python -m common.shell.manual > docs/rackferry.1`` writes it anew.
"""

import sys
from collections.abc import Iterable, Iterator

from common.shell.explain import USAGE, answered_by, json_form, keys_and_flags, pasteable
from common.shell.wrong_words import with_ids
from common.vocabulary import OPTIONS, VERBS, Verb

_WIDTH = 72  # man indents what it shows
_DESCRIPTION = """\
rackferry asks a daemon on this machine over its admin socket: the region's unless --socket or
RACKFERRY_SOCKET names another, such as a rack's.

Without a noun there is an interactive prompt: Tab completes, help explains, Ctrl-C ends a line,
exit or Ctrl-D ends it. Without a terminal the lines come from standard input.

Options may stand anywhere; -- ends them. Bare words after the ids are flags. A key that is given
again, or commas, make a list. key@=FILE takes the content of a file.

rackferry maas PROFILE NOUN VERB ... answers as MAAS's command line does, so that
alias maas='rackferry maas' runs scripts that were written for it.

Tables are for people. With --json a list is an array and anything else an object, and sizes are
in bytes; errors are objects, too. Errors and progress go to standard error."""
_EXITS = (
    ("0", "done"),
    ("1", "refused or failed"),
    ("2", "wrong usage"),
    ("3", "no daemon answers"),
    ("4", "timed out; what was asked goes on"),
    ("130", "Ctrl-C; a daemon goes on with what it does"),
)
_ENVIRONMENT = (
    ("RACKFERRY_SOCKET", "the admin socket to ask"),
    ("NO_COLOR", "no colours; there are none without a terminal either"),
    ("XDG_STATE_HOME", "where the history is kept, ~/.local/state by default"),
)
_FILES = (
    ("/run/regiond/admin.sock", "the region's admin socket"),
    ("/run/rackd/admin.sock", "a rack's"),
    ("~/.local/state/rackferry/history", "the lines of the prompt, without those with secrets"),
)


def manual() -> str:
    """The whole page, in the language of man(7)."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield '.\\" Made by: python -m common.shell.manual'
    yield '.TH RACKFERRY 1 "" "Rackferry"'
    yield from (".SH NAME", _text("rackferry - ask and command the daemons of Rackferry"))
    yield from (".SH SYNOPSIS", ".B rackferry", _text(USAGE.removeprefix("rackferry ")))
    yield ".SH DESCRIPTION"
    for paragraph in _DESCRIPTION.split("\n\n"):
        yield from (".PP", *map(_text, paragraph.splitlines()))
    yield from _section("OPTIONS", OPTIONS.items())
    yield ".SH WORDS"
    for verb in VERBS:
        yield from _verb(verb)
    yield from _section("EXIT STATUS", _EXITS)
    yield from _section("ENVIRONMENT", _ENVIRONMENT)
    yield from _section("FILES", _FILES)


def _verb(verb: Verb) -> Iterator[str]:
    yield f".SS {_quoted(with_ids(verb))}"
    yield _text(f"{verb.help[:1].upper()}{verb.help[1:]}.")
    for name, meaning in keys_and_flags(verb):
        yield from _tagged(name, meaning)
    yield from (".PP", _text(f"Answered by {answered_by(verb)}; JSON: {json_form(verb)}."))
    yield from (".PP", ".EX", *map(_text, pasteable(verb, _WIDTH)), ".EE")


def _section(title: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f".SH {title}"
    for name, meaning in rows:
        yield from _tagged(name, meaning)


def _tagged(name: str, meaning: str) -> Iterator[str]:
    yield from (".TP", f".B {_quoted(name)}", _text(meaning))


def _text(text: str) -> str:
    """A line of text: no character of it means anything to roff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith((".", "\\(aq")) else escaped


def _quoted(text: str) -> str:
    """One argument of a macro."""
    return '"' + _text(text).replace('"', '""') + '"'


if __name__ == "__main__":
    sys.stdout.write(manual())
