"""Which snapshots were replaced long enough ago to go (pure).

What was replaced stays ``RETENTION_S``, for those who are still reading it. How long ago that
was is counted by a clock that is never set. Only how long something had been replaced when this
process started is read from the names; what would have been in the future was replaced then.
"""

from collections.abc import Iterable

from rackd.planning import HeldSnapshot, Holdings

RETENTION_S = 2 * 3600.0


class Retention:
    """What is known of the snapshots of one rack.

    Args:
        now_s: the wall clock at the start.
        steady_s: a clock that is never set, at the start.
    """

    def __init__(self, now_s: float, steady_s: float) -> None:
        self._began_s = now_s
        self._began_steady_s = steady_s
        self._replaced_s: dict[str, float] | None = None

    def look(self, holdings: Holdings, steady_s: float) -> None:
        """Note what is not shown any more; the first time: what was not when we started."""
        old = [each for each in holdings.snapshots if each.name != holdings.current]
        known = self._replaced_s
        if known is None:
            began_s = self._began_steady_s
            self._replaced_s = {
                each.name: began_s
                - max(0.0, self._began_s - _replaced_at(each, holdings.snapshots))
                for each in old
            }
        else:
            self._replaced_s = {each.name: known.get(each.name, steady_s) for each in old}

    def over(self, steady_s: float) -> frozenset[str]:
        """The snapshots that may go."""
        return frozenset(
            name
            for name, replaced_s in (self._replaced_s or {}).items()
            if replaced_s <= steady_s - RETENTION_S
        )


def _replaced_at(snapshot: HeldSnapshot, snapshots: Iterable[HeldSnapshot]) -> float:
    """When its successor was made; without one (the clock went back) its own time."""
    later = [other.made_at for other in snapshots if other.made_at > snapshot.made_at]
    return min(later, default=snapshot.made_at)
