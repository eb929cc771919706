"""What racks said last, and what that makes of them (pure).

Presence changes by the second and means nothing after a restart, so it is kept in memory.
"""

import attrs

from common.pace import Pace


@attrs.frozen
class Transferring:
    """How far a rack's sync is, and how fast it goes; None if that is not known yet."""

    generation: int
    fetched_bytes: int
    total_bytes: int
    rate_bytes_s: float | None = None


@attrs.define
class Presence:
    """What a rack said last: when (the reactor's clock), what it holds, what it is doing.

    ``looks_ended`` counts how often it was found, or reported itself, done with a look;
    ``sent_bytes`` what it was sent of images.
    ``clock_skew_s``: how far its clock was ahead of ours when it said hello;
    None if it did not say.
    """

    seen_at_s: float
    held: str = ""
    transfer: Transferring | None = None
    looks_ended: int = 0
    sent_bytes: int = 0
    clock_skew_s: float | None = None
    _pace: Pace = Pace()  # noqa: RUF009  (frozen)

    def transferring(self, at_s: float, generation: int, fetched_bytes: int, total: int) -> None:
        """It said how far its sync is."""
        self._pace = self._pace.saw(at_s, fetched_bytes)
        self.transfer = Transferring(generation, fetched_bytes, total, self._pace.bytes_s)

    def sync_ended(self, held: str) -> None:
        """It said that its sync is over, and what it holds."""
        self.held, self.transfer, self._pace = held, None, Pace()
        self.looks_ended += 1


def status_of(
    *,
    is_silent: bool,
    is_held: bool,
    is_transferring: bool,
    is_importing: bool,
) -> str:
    """A rack's status (``is_held``: it holds its view); the first that fits (design section 7)."""
    if is_silent:
        return "unknown"
    if is_held:
        return "synced"
    if is_transferring:
        return "syncing"
    if is_importing:
        return "region-importing"
    return "out-of-sync"
