"""Rules of bandwidth by the wall clock: what holds now, and until when."""

import time
from collections.abc import Callable, Sequence

from common.bandwidth import Window, limit_at, next_change, shown_minute


class Timetable:
    """The rules that hold until they are replaced.

    Nothing is remembered of the time, so clocks that are set and summer time that comes or
    goes are right with the next question.

    Args:
        now: seconds since the epoch.

    Attributes:
        windows: the rules; the first whose hours fit holds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.windows: Sequence[Window] = ()

    def limit(self) -> int | None:
        """The limit of this moment, in bytes per second; None: there is none."""
        return limit_at(self.windows, self._minute()) if self.windows else None

    def until(self) -> str:
        """The local time of day at which another limit holds; "" if none ever does."""
        change = next_change(self.windows, self._minute())
        return "" if change is None else shown_minute(change)

    def _minute(self) -> int:
        local = time.localtime(self._now())
        return local.tm_hour * 60 + local.tm_min
