"""Which of several places to try first (pure): one that failed lately goes last.

Without this, a region that is gone without a word would cost every single file the time
that it takes to notice that.
"""

from collections.abc import Iterable

AVOID_S = 60.0
"""How long a place that failed goes last. It is not ruled out: it may be all there is."""


class Preference:
    """What is remembered of each place."""

    def __init__(self) -> None:
        self._failed_at_s: dict[str, float] = {}

    def failed(self, place: str, now_s: float) -> None:
        """It has just failed."""
        self._failed_at_s[place] = now_s

    def ordered(self, places: Iterable[str], now_s: float) -> list[str]:
        """The places in the order given, but those that failed lately last, oldest first."""
        recent = {
            place: at_s for place, at_s in self._failed_at_s.items() if now_s - at_s < AVOID_S
        }
        self._failed_at_s = recent
        return sorted(places, key=lambda place: recent.get(place, float("-inf")))
