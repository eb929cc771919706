"""Answers as people or programs want to read them.

For programs: the JSON of the answer, as it is. For people: tables (plain when the output is
no terminal), readable sizes and times, and a friendly line instead of an empty table.
Nothing here prints; texts are given back.
"""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import zip_longest
from typing import Any

import attrs

from common.errors import RackferryError
from common.sizes import human_size
from common.vocabulary import Answer, Verb

Row = Mapping[str, Any]

_UNBOUNDED = 1 << 30  # what is read by a program is never folded
_NARROWEST = 8
_GAP = 2
_BREAKS = (" ,/", "-")  # the better first
_WORDS = re.compile(r"[^ ,/-]*[ ,/-]?")
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_SAYS_NOTHING: tuple[Any, ...] = (None, "", False, [])
_TIME_KEYS = frozenset({"at", "created", "last_seen", "last_success", "last_sync", "updated"})
_TIME_ENDINGS = ("_at", "_since", "_until")
_BYTES_ENDING = "_bytes"
_DATA_ENDING = "_data"  # base64, for programs
_NOTHING_BELOW: Mapping[str, str] = {}
_INDENT = " " * 4
_NO_SECTIONS: Mapping[str, Sequence[str]] = {}


@attrs.frozen
class Screen:
    """What an answer is written for.

    Attributes:
        is_terminal: whether it is to fit, and may have colour.
        is_plain: no colour there either (NO_COLOR, or a terminal that has none).
        width: columns of that terminal.
        zone: the time zone of times; None for this machine's.
        is_brief: whether times are without year and seconds.
    """

    is_terminal: bool = False
    is_plain: bool = False
    width: int = 80
    zone: tzinfo | None = None
    is_brief: bool = False

    @property
    def has_colour(self) -> bool:
        """Whether to write escapes for colour and bold."""
        return self.is_terminal and not self.is_plain


def as_json(answer: object) -> str:
    """For programs: no envelope, stable keys."""
    return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"


def error_text(error: RackferryError, *, is_json: bool) -> str:
    """What goes to stderr for a failure."""
    if is_json:
        return json.dumps({"error": error.to_json()}, ensure_ascii=False) + "\n"
    return f"rackferry: {printable(error.line())}\n"


def for_people(verb: Verb, answer: Any, screen: Screen) -> str:
    """The answer to ``verb`` as text."""
    if verb.noun == "status" and "verdict" in answer:  # an older daemon has none
        return _status(answer, screen)
    if verb.answer is Answer.BOOLEAN:
        return f"{str(answer).lower()}\n"
    if verb.answer is Answer.ROWS:
        return table(answer, verb.columns, screen, verb.below) if answer else _nothing(verb)
    if isinstance(answer, Mapping):
        ordered = {key: answer[key] for key in _order(verb, answer)}
        return record(ordered, screen, verb.sections)
    return f"{cell('', answer, screen)}\n"


def _status(answer: Row, screen: Screen) -> str:
    from common.shell import status_screen  # noqa: PLC0415  (it imports this module)

    is_rack = "region_connected" in answer
    return (status_screen.rack_screen if is_rack else status_screen.region_screen)(answer, screen)


def event_line(row: Row, screen: Screen) -> str:
    """An event that is followed, on one line."""
    state = row["severity"] if row["state"] != "cleared" else "cleared"
    at = row["cleared_at"] if row["state"] == "cleared" else row["at"]
    subject = f"{row['object']}: " if row["object"] else ""
    remedy = f" ({row['remedy']})" if row["remedy"] and state != "cleared" else ""
    text = f"{state:<7}  {row['code']}  {subject}{row['cause']}{remedy}"
    return f"{cell('at', at, screen)}  {printable(text)}\n"


def as_json_line(item: object) -> str:
    """For programs that read line by line."""
    return json.dumps(item, ensure_ascii=False) + "\n"


def cell(key: str, value: Any, screen: Screen) -> str:
    """One value; its key says whether it is a size or a time."""
    match value:
        case None | "" | [] | {}:
            return "-"
        case bool():
            text = "yes" if value else "no"
        case int() if key.endswith(_BYTES_ENDING):
            text = human_size(value)
        case int() | float() if key in _TIME_KEYS or key.endswith(_TIME_ENDINGS):
            form = "%m-%d %H:%M" if screen.is_brief else "%Y-%m-%d %H:%M:%S"
            text = datetime.fromtimestamp(value, screen.zone).strftime(form)
        case float():
            text = f"{value:.2f}"
        case str() if key.endswith(_DATA_ENDING):
            text = f"({len(value)} characters)"
        case Mapping():
            text = ", ".join(f"{name}: {cell(name, item, screen)}" for name, item in value.items())
        case list():
            text = ", ".join(cell(key, item, screen) for item in value)
        case _:
            text = str(value)
    return printable(text)


def table(
    rows: Sequence[Row],
    columns: Sequence[str],
    screen: Screen,
    below: Mapping[str, str] = _NOTHING_BELOW,
) -> str:
    """Rows under the given columns, or under all keys that occur.

    On a terminal that is too narrow columns that say nothing are left out, times are short,
    those of ``below`` go on lines of their own, and the widest of the others are folded.
    """
    keys = list(columns) or list(dict.fromkeys(key for row in rows for key in row))
    texts = [[cell(key, row.get(key), screen) for key in keys] for row in rows]
    if screen.is_terminal and sum(_widths(keys, texts)) + _GAP * (len(keys) - 1) > screen.width:
        brief = attrs.evolve(screen, is_brief=True)
        told = [key for key in keys if any(row.get(key) not in _SAYS_NOTHING for row in rows)]
        keys = [key for key in told or keys if key not in below]
        texts = [[cell(key, row.get(key), brief) for key in keys] for row in rows]
    widths = _widths(keys, texts)
    if screen.is_terminal:
        room = screen.width - _GAP * (len(keys) - 1)
        widths = _fitting(widths, _longest_words(keys, texts), room)
    head = _lines([_heading(key) for key in keys], keys, widths)
    if screen.has_colour:
        head = [f"{_BOLD}{line}{_PLAIN}" for line in head]
    body = [
        line
        for row, text in zip(rows, texts, strict=True)
        for line in (
            *_lines(text, keys, widths),
            *_below(row, {key: below[key] for key in below if key not in keys}, screen.width),
        )
    ]
    return "".join(f"{line}\n" for line in (*head, *body))


def _below(row: Row, marks: Mapping[str, str], width: int) -> list[str]:
    """What stands below a row: each text behind its mark, on as many lines as it needs."""
    return [
        line
        for key, mark in marks.items()
        if row.get(key) not in _SAYS_NOTHING
        for line in textwrap.wrap(
            printable(str(row[key])),
            width,
            initial_indent=_INDENT + mark,
            subsequent_indent=_INDENT + " " * len(mark),
            break_on_hyphens=False,
        )
    ]


def _widths(keys: Sequence[str], texts: Sequence[Sequence[str]]) -> list[int]:
    """What each column takes if nothing is folded."""
    return [
        max(len(_heading(key)), *(len(row[place]) for row in texts), 1)
        for place, key in enumerate(keys)
    ]


def _fitting(widths: Sequence[int], words: Sequence[int], room: int) -> list[int]:
    """The widest columns give way: first those whose words stay whole, then any."""
    fitting = list(widths)
    for most_narrow in (max(words, default=0), _NARROWEST):
        floors = [min(word, most_narrow) for word in words]
        while sum(fitting) > room:
            spare = [
                width if width > floor else 0 for width, floor in zip(fitting, floors, strict=True)
            ]
            if not any(spare):
                break
            fitting[spare.index(max(spare))] -= 1
    return fitting


def _longest_words(keys: Sequence[str], texts: Sequence[Sequence[str]]) -> list[int]:
    """The longest word of each column that cannot be broken well; a size is one."""
    return [
        max(
            len(text) if key.endswith(_BYTES_ENDING) else len(word)
            for text in (_heading(key), *(row[place] for row in texts))
            for word in _WORDS.findall(text) or [""]
        )
        for place, key in enumerate(keys)
    ]


def _lines(texts: Sequence[str], keys: Sequence[str], widths: Sequence[int]) -> list[str]:
    """One row, on as many lines as its longest cell needs."""
    folded = [_fold(text, width) for text, width in zip(texts, widths, strict=True)]
    return [
        (" " * _GAP)
        .join(
            f"{part:>{width}}" if key.endswith(_BYTES_ENDING) else f"{part:<{width}}"
            for key, part, width in zip(keys, parts, widths, strict=True)
        )
        .rstrip()
        for parts in zip_longest(*folded, fillvalue="")
    ]


def _fold(text: str, width: int) -> list[str]:
    """A text on lines of that width, broken where people would, if that can be."""
    lines = []
    while len(text) > width:
        found = (max(text.rfind(mark, 0, width) for mark in marks) + 1 for marks in _BREAKS)
        at = next((at for at in found if at > width // 3), width)
        lines.append(text[:at].rstrip())
        text = text[at:].lstrip()
    return [*lines, text]


def record(
    fields: Row, screen: Screen, sections: Mapping[str, Sequence[str]] = _NO_SECTIONS
) -> str:
    """An object: plain fields first, then each list or object within under its name.

    ``sections`` gives the columns of the tables within; without, all keys are shown.
    """
    simple = {key: value for key, value in fields.items() if not _is_section(value)}
    names = {key: _name_beside(key, simple) for key in simple}
    width = max(map(len, names.values()), default=0)
    room = max(_NARROWEST, screen.width - width - _GAP) if screen.is_terminal else _UNBOUNDED
    lines = [
        f"{names[key] if not number else '':<{width}}  {line}\n"
        for key in simple
        for number, line in enumerate(_wrapped(cell(key, simple[key], screen), room))
    ]
    within = [
        f"\n{_heading(key)}\n{_section(value, screen, sections.get(key, ()))}"
        for key, value in fields.items()
        if key not in simple
    ]
    return "".join(lines + within).lstrip("\n")


def _wrapped(text: str, width: int) -> list[str]:
    """A value on lines of that width; a long word stays whole, so that it can be copied."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [text]


def _is_section(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping) and bool(value)


def _section(value: Any, screen: Screen, columns: Sequence[str]) -> str:
    inner = attrs.evolve(screen, width=max(20, screen.width - 2))
    text = table(value, columns, inner) if isinstance(value, list) else record(value, inner)
    return "".join(f"  {line}\n" if line else "\n" for line in text.splitlines())


def _order(verb: Verb, answer: Row) -> list[str]:
    first = [key for key in verb.columns if key in answer]
    return first + [key for key in answer if key not in first]


def _nothing(verb: Verb) -> str:
    return f"No {verb.noun.replace('-', ' ')} yet.\n" if verb.verb == "read" else "Nothing.\n"


def _heading(key: str) -> str:
    return key.removesuffix(_BYTES_ENDING).replace("_", " ")


def _name_beside(key: str, others: Row) -> str:
    """A field's name; one of bytes says so if another is called the same."""
    is_taken = key.removesuffix(_BYTES_ENDING) in others.keys() - {key}
    return f"{_heading(key)} size" if is_taken else _heading(key)


def printable(text: str) -> str:
    """Without control characters: names of upstream and peers never steer a terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)
