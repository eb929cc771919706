"""When the next import is due (pure). Times are seconds of one clock."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import attrs

FIRST_RETRY_S = 60.0
LONGEST_LOOK_S = 900.0
_MOST_DOUBLINGS = 20  # far beyond any interval


class Ending(StrEnum):
    """How an import ended, as far as the next one cares. PARKED: it waits for space."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    PARKED = "parked"


@attrs.frozen
class Schedule:
    """What admins can change at run time."""

    automatic: bool = True
    interval_s: float = 3600.0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Schedule":
        """The schedule that the region's settings describe."""
        return cls(
            settings["boot_images_auto_import"],
            60.0 * settings["boot_images_import_interval_minutes"],
        )


@attrs.frozen
class Past:
    """The last import. ``in_a_row``: how many have ended like this one, itself included."""

    began_s: float
    ended_s: float
    ending: Ending
    in_a_row: int = 1

    def after(self, before: "Past") -> "Past":
        """This one, counted on from the import before it."""
        again = before.in_a_row if before.ending is self.ending else 0
        return attrs.evolve(self, in_a_row=again + 1)


def next_due_s(schedule: Schedule, past: Past | None) -> float | None:
    """When the next import is to begin; 0 for at once, None for never by itself.

    The interval is from one beginning to the next. After a failure it is sooner: a minute
    after its end, then two, four, ... up to the interval, so that an outage upstream heals by itself. After a
    stop it is a whole interval, however long the stopped import had run.
    """
    if not schedule.automatic:
        return None
    if past is None:
        return 0.0
    regular_s = past.began_s + schedule.interval_s
    match past.ending:
        case Ending.STOPPED:
            return past.ended_s + schedule.interval_s
        case Ending.FAILED:
            soonest_s = past.ended_s + FIRST_RETRY_S
            return min(past.ended_s + _backed_off(past.in_a_row), max(regular_s, soonest_s))
        case _:
            return regular_s


def look_every_s(past: Past) -> float:
    """How often a parked import looks whether there is room: each minute, if it is parked
    again and again less often.
    """
    return min(LONGEST_LOOK_S, _backed_off(past.in_a_row))


def _backed_off(times: int) -> float:
    return FIRST_RETRY_S * 2.0 ** min(times - 1, _MOST_DOUBLINGS)
