"""A picture of the fleet: one square per rack, which fills while the rack syncs (pure)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

SIDE = 10
_STEP = SIDE + 3
_WIDER_THAN_HIGH = 4
_LEAST_COLUMNS = 20


@attrs.frozen
class Dot:
    """A rack's square. ``filled`` is how much of its height, from below at ``filled_y``."""

    name: str
    status: str
    said: str
    x: int
    y: int
    filled: float
    filled_y: float


@attrs.frozen
class Picture:
    """All squares, and how much room they take."""

    width: int
    height: int
    dots: tuple[Dot, ...]
    side: int = SIDE


def picture_of(racks: Sequence[Mapping[str, Any]]) -> Picture:
    """The fleet in the order in which it is given.

    Args:
        racks: of ``rack-controllers read``.
    """
    columns = max(_LEAST_COLUMNS, math.ceil(math.sqrt(len(racks) * _WIDER_THAN_HIGH)))
    dots = []
    for place, rack in enumerate(racks):
        y, x = divmod(place, columns)
        done = done_of(rack)
        filled = round(SIDE * (done or 0.0), 1)
        said = rack["status"] if done is None else f"{rack['status']} {int(done * 100)} %"
        top = y * _STEP
        dots.append(
            Dot(rack["name"], rack["status"], said, x * _STEP, top, filled, top + SIDE - filled)
        )
    lines = max(1, math.ceil(len(racks) / columns))
    return Picture(columns * _STEP, lines * _STEP, tuple(dots))


def done_of(rack: Mapping[str, Any]) -> float | None:
    """How far a rack's sync is, from 0 to 1; None if it fetches nothing."""
    progress = rack["progress"]
    if progress is None or not progress["total_bytes"]:
        return None
    return min(1.0, float(progress["fetched_bytes"] / progress["total_bytes"]))
