"""Limits of bandwidth and the hours in which they hold (pure).

The text form, in settings and of boot sources, is a list of rules; the first whose hours
fit holds, and where none does there is no limit::

    200 Mbit/s 08:00-18:00, 1 Gbit/s

A limit is a rate, ``unlimited``, or ``0``: nothing moves. Hours are local times of day, so a
limit is asked for by the wall clock each time it is needed: a changed clock and the hour
that summer time takes or gives need no further thought.
"""

import re
from collections.abc import Sequence

import attrs

DAY_MINUTES = 24 * 60
UNLIMITED = "unlimited"

_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?) *([kMG]?bit|[KMG]?i?B)/s")
_UNIT_BYTES = {
    "bit": 0.125,
    "kbit": 125.0,
    "Mbit": 125e3,
    "Gbit": 125e6,
    "B": 1.0,
    "KiB": 1024.0,
    "MiB": 1024.0**2,
    "GiB": 1024.0**3,
}
_SHOWN_UNITS = ("Gbit", "Mbit", "GiB", "MiB", "kbit", "KiB", "B")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2})")
_RULE = re.compile(r"(.*?)(?: +([0-9]{2}:[0-9]{2}) *- *([0-9]{2}:[0-9]{2}))?")


@attrs.frozen
class Window:
    """At most ``limit_bytes_s`` in a part of the day; None: any number, 0: nothing.

    The part is [from_minute, to_minute) in minutes since local midnight; it passes over
    midnight when it does not end after it begins.
    """

    limit_bytes_s: int | None
    from_minute: int = 0
    to_minute: int = DAY_MINUTES

    def holds_at(self, minute: int) -> bool:
        """Whether that minute of the day lies in it."""
        if self.from_minute < self.to_minute:
            return self.from_minute <= minute < self.to_minute
        return minute >= self.from_minute or minute < self.to_minute


def limit_at(windows: Sequence[Window], minute: int) -> int | None:
    """The limit at a minute of the local day, in bytes per second; None: there is none."""
    return next((each.limit_bytes_s for each in windows if each.holds_at(minute)), None)


def next_change(windows: Sequence[Window], minute: int) -> int | None:
    """The minute of the day at which the limit is another than now; None: it never is."""
    now = limit_at(windows, minute)
    edges = {edge % DAY_MINUTES for each in windows for edge in (each.from_minute, each.to_minute)}
    for edge in sorted(edges, key=lambda edge: (edge - minute) % DAY_MINUTES):
        if limit_at(windows, edge) != now:
            return edge
    return None


def read_rate(text: str) -> int:
    """A rate such as ``200 Mbit/s`` or ``25 MiB/s``, in bytes per second, at least 1.

    Raises:
        ValueError: it is none.
    """
    match = _RATE.fullmatch(text)
    if match is None or match[2] not in _UNIT_BYTES or not float(match[1]):
        raise ValueError(f'"{text}" is not a rate such as "200 Mbit/s" or "25 MiB/s"')
    return max(1, round(float(match[1]) * _UNIT_BYTES[match[2]]))


def read_limit(text: str) -> int | None:
    """A rate, ``unlimited`` (None) or ``0``.

    Raises:
        ValueError: it is none of these.
    """
    if text == "0":
        return 0
    return None if text == UNLIMITED else read_rate(text)


def read_minute(text: str) -> int:
    """A time of day from ``00:00`` to ``24:00``, in minutes since midnight.

    Raises:
        ValueError: it is none.
    """
    match = _TIME.fullmatch(text)
    minutes = int(match[1]) * 60 + int(match[2]) if match else DAY_MINUTES + 1
    if match is None or int(match[2]) > 59 or minutes > DAY_MINUTES:
        raise ValueError(f'"{text}" is not a time of day such as "08:00"')
    return minutes


def read_windows(text: str) -> tuple[Window, ...]:
    """The rules of a text.

    Raises:
        ValueError: it is not a list of them.
    """
    return tuple(_read_window(rule.strip()) for rule in text.split(","))


def _read_window(rule: str) -> Window:
    match = _RULE.fullmatch(rule)
    if match is None or match[2] is None:
        return Window(read_limit(rule))
    return Window(read_limit(match[1]), read_minute(match[2]), read_minute(match[3]))


def shown_windows(windows: Sequence[Window]) -> str:
    """The text that ``read_windows`` reads as these; no rules are ``unlimited``."""
    return ", ".join(map(_shown_window, windows)) or UNLIMITED


def _shown_window(window: Window) -> str:
    limit = shown_limit(window.limit_bytes_s)
    if (window.from_minute, window.to_minute) == (0, DAY_MINUTES):
        return limit
    return f"{limit} {shown_minute(window.from_minute)}-{shown_minute(window.to_minute)}"


def shown_limit(limit_bytes_s: int | None) -> str:
    """A limit as it is typed, exactly."""
    if not limit_bytes_s:
        return UNLIMITED if limit_bytes_s is None else "0"
    unit = next(unit for unit in _SHOWN_UNITS if not limit_bytes_s % _UNIT_BYTES[unit])
    return f"{limit_bytes_s // int(_UNIT_BYTES[unit])} {unit}/s"


def shown_minute(minute: int) -> str:
    """A time of day as it is typed."""
    return f"{minute // 60:02d}:{minute % 60:02d}"
