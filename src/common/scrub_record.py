"""How far a scrub is, and when the next one is due: of a rack's disk, or of a region's database (pure).

Blobs are read in the order of their names, so where a pass stood is one name. Names are
digests: a blob that came meanwhile stands anywhere, and was verified when it came.
"""

from typing import Any

import attrs

WEEK_S = 7 * 86400.0
_SPREAD = 0.1


@attrs.frozen
class ScrubRecord:
    """What is kept of scrubs; moments are seconds since the epoch.

    Attributes:
        next_at: when the next begins by itself.
        began_at: when the one that is not over yet began; 0 for none.
        after: the last blob that it has dealt with.
        checked_bytes: what it has read.
        damaged: how many blobs it found wrong.
        ended_at: when the last whole one was over; 0 for never.
        last_bytes: what that one read.
        last_damaged: how many blobs that one found wrong.
    """

    next_at: float = 0.0
    began_at: float = 0.0
    after: str = ""
    checked_bytes: int = 0
    damaged: int = 0
    ended_at: float = 0.0
    last_bytes: int = 0
    last_damaged: int = 0

    @property
    def is_running(self) -> bool:
        """Whether there is one that is not over."""
        return self.began_at > 0.0

    def is_due(self, now: float) -> bool:
        """Whether there is something to do."""
        return self.is_running or now >= self.next_at

    def planned(self, now: float, chance: float) -> "ScrubRecord":
        """The same with a moment for the next, if it has none that can be.

        The first may be at any moment of the week, so that the daemons of a site do not begin
        together. One that is too far away was set by a clock that was wrong.

        Args:
            now: the moment.
            chance: in [0, 1).
        """
        if self.next_at and self.next_at <= now + WEEK_S * (1 + _SPREAD):
            return self
        return attrs.evolve(self, next_at=now + WEEK_S * chance)

    def begun(self, now: float) -> "ScrubRecord":
        """A pass begins; one that is not over goes on."""
        if self.is_running:
            return self
        return attrs.evolve(self, began_at=now, after="", checked_bytes=0, damaged=0)

    def passed(self, sha256: str, size_bytes: int, *, is_damaged: bool) -> "ScrubRecord":
        """One more blob was dealt with."""
        return attrs.evolve(
            self,
            after=sha256,
            checked_bytes=self.checked_bytes + size_bytes,
            damaged=self.damaged + is_damaged,
        )

    def ended(self, now: float, chance: float) -> "ScrubRecord":
        """All were; ``chance``, in [0, 1), spreads the next by a tenth of a week either way."""
        return ScrubRecord(
            next_at=now + WEEK_S * (1 + _SPREAD * (2 * chance - 1)),
            ended_at=now,
            last_bytes=self.checked_bytes,
            last_damaged=self.damaged,
        )

    def row(self, total_bytes: int, *, is_asked: bool = False) -> dict[str, Any]:
        """As the shell shows it.

        Args:
            total_bytes: what the one that runs has to read.
            is_asked: somebody asked for one that has not begun yet.
        """
        running = self.is_running
        return {
            "state": "running" if running or is_asked else "idle",
            "checked_bytes": self.checked_bytes if running else self.last_bytes,
            "total_bytes": total_bytes if running else self.last_bytes,
            "damaged": self.damaged if running else self.last_damaged,
            "ended_at": self.ended_at or None,
            "next_at": self.next_at or None,
        }
