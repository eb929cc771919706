"""What racks said last, and what that makes of them (pure).

Presence changes by the second and means nothing after a restart, so it is kept in memory.
"""

import attrs


@attrs.frozen
class Transferring:
    """How far a rack's sync is."""

    generation: int
    fetched_bytes: int
    total_bytes: int


@attrs.define
class Presence:
    """What a rack said last: when (the reactor's clock), what it holds, what it is doing.

    ``looks_ended`` counts how often it was found, or reported itself, done with a look.
    """

    seen_at_s: float
    held: str = ""
    transfer: Transferring | None = None
    looks_ended: int = 0


def status_of(
    *,
    is_silent: bool,
    held: str,
    wanted: str,
    is_transferring: bool,
    is_importing: bool,
) -> str:
    """A rack's status; the first that fits (design section 7)."""
    if is_silent:
        return "unknown"
    if held and held == wanted:
        return "synced"
    if is_transferring:
        return "syncing"
    if is_importing:
        return "region-importing"
    return "out-of-sync"
