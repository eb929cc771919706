"""Answers as people or programs want to read them.

For programs: the JSON of the answer, as it is. For people: tables (drawn by rich, plain
when the output is no terminal), readable sizes and times, and a friendly line instead of
an empty table. Nothing here prints; texts are given back.
"""

import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

import attrs

from common.errors import RackferryError
from common.sizes import human_size
from common.vocabulary import Answer, Verb

Row = Mapping[str, Any]

_PLAIN_WIDTH = 10_000  # a table that is read by a program is never folded
_TIME_KEYS = frozenset({"at", "created", "last_seen", "last_success", "last_sync", "updated"})
_TIME_ENDING = "_at"
_BYTES_ENDING = "_bytes"
_DATA_ENDING = "_data"  # base64, for programs
_NO_SECTIONS: Mapping[str, Sequence[str]] = {}


@attrs.frozen
class Screen:
    """What an answer is written for.

    Attributes:
        is_terminal: whether it is to fit, and may have colour.
        is_plain: no colour there either (NO_COLOR, or a terminal that has none).
        width: columns of that terminal.
        zone: the time zone of times; None for this machine's.
    """

    is_terminal: bool = False
    is_plain: bool = False
    width: int = 80
    zone: tzinfo | None = None

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
        return table(answer, verb.columns, screen) if answer else _nothing(verb)
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
        case int() | float() if key in _TIME_KEYS or key.endswith(_TIME_ENDING):
            text = datetime.fromtimestamp(value, screen.zone).strftime("%Y-%m-%d %H:%M:%S")
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


def table(rows: Sequence[Row], columns: Sequence[str], screen: Screen) -> str:
    """Rows under the given columns, or under all keys that occur."""
    from rich.table import Table  # noqa: PLC0415  (most commands draw no table)
    from rich.text import Text  # noqa: PLC0415

    keys = list(columns) or list(dict.fromkeys(key for row in rows for key in row))
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for key in keys:
        is_size = key.endswith(_BYTES_ENDING)
        drawn.add_column(_heading(key), justify="right" if is_size else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell(key, row.get(key), screen)) for key in keys))
    return _drawn(drawn, screen)


def record(
    fields: Row, screen: Screen, sections: Mapping[str, Sequence[str]] = _NO_SECTIONS
) -> str:
    """An object: plain fields first, then each list or object within under its name.

    ``sections`` gives the columns of the tables within; without, all keys are shown.
    """
    simple = {key: value for key, value in fields.items() if not _is_section(value)}
    width = max((len(_heading(key)) for key in simple), default=0)
    lines = [f"{_heading(key):<{width}}  {cell(key, simple[key], screen)}\n" for key in simple]
    within = [
        f"\n{_heading(key)}\n{_section(value, screen, sections.get(key, ()))}"
        for key, value in fields.items()
        if key not in simple
    ]
    return "".join(lines + within).lstrip("\n")


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


def printable(text: str) -> str:
    """Without control characters: names of upstream and peers never steer a terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)


def _drawn(drawn: Any, screen: Screen) -> str:
    from rich.console import Console  # noqa: PLC0415  (most commands draw no table)

    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=screen.width if screen.is_terminal else _PLAIN_WIDTH,
        force_terminal=screen.is_terminal,
        color_system="standard" if screen.has_colour else None,
        legacy_windows=False,
    )
    console.print(drawn)
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())
