"""Durations as people type and read them (pure)."""

import re

from common.errors import WrongUsage

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_TYPED = re.compile(r"([0-9]{1,7})([smhd]?)")
LONGEST_S = 10 * 365 * 86_400


def seconds_of(text: str, name: str) -> int:
    """``90``, ``90s``, ``10m``, ``2h`` or ``1d`` in seconds; ``name`` is whose value it is.

    Raises:
        WrongUsage: it is none of these, or nothing at all.
    """
    found = _TYPED.fullmatch(text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < seconds <= LONGEST_S:
        raise WrongUsage(
            f'{name} is to be a time such as 90s, 10m or 2h, not "{text}"',
            object=name,
            code="wrong-value",
        )
    return seconds


def short_duration(seconds: float) -> str:
    """A whole number of seconds as ``seconds_of`` reads it: ``90s``, ``10m``, ``2h``."""
    whole = round(seconds)
    for unit in ("d", "h", "m"):
        if whole and whole % _SECONDS[unit] == 0:
            return f"{whole // _SECONDS[unit]}{unit}"
    return f"{whole}s"


def human_duration(seconds: float) -> str:
    """The two largest units: ``2 h 5 min``, ``45 s``, ``3 d``."""
    whole = max(0, round(seconds))
    for size, unit, smaller, below in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"
