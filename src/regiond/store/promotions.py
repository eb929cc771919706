"""Who the canaries are, and letting the other racks have what these have tried."""

from collections.abc import Collection

import attrs
from sqlalchemy import Connection, select, update

from common.events import Event, Severity
from regiond.store import canaries, changes, events, generations, racks, revisions, settings
from regiond.store.canaries import After
from regiond.store.kept import retire_surplus
from regiond.store.tables import image, rack

CANARY = "canary"  # as events call it


@attrs.frozen
class Outlook:
    """What is to be promoted by time.

    Attributes:
        due: the ids of what has waited long enough.
        failing: why it is held back all the same, canary by canary.
        next_at: when something else is due; None if nothing is.
        is_told: whether people were told that something is held back.
    """

    due: tuple[int, ...]
    failing: tuple[str, ...]
    next_at: float | None
    is_told: bool


def outlook(conn: Connection, now: float) -> Outlook:
    """How things are; reads only."""
    waiting = canaries.waiting(conn)
    later = [each.due_at for each in waiting if each.due_at is not None and each.due_at > now]
    overdue = canaries.due(conn, now)
    failing: tuple[str, ...] = ()
    if overdue:
        _, views = generations.current_views(conn)
        failing = canaries.failing(conn, {name: views.of(name) for name in canaries.names(conn)})
    is_told = events.is_open(conn, "canary-failed", CANARY)
    return Outlook(overdue, failing, min(later, default=None), is_told)


def change(
    conn: Connection,
    names: Collection[str] | None,
    after: After | None,
    now: float,
    *,
    promotes: bool = False,
) -> int:
    """Say who the canaries are and how long the others wait; returns the generation.

    Args:
        conn: the transaction.
        names: of racks; none of them ends it, and promotes; None leaves them as they are.
        after: None leaves it as it is. What waits already keeps its own time.
        now: seconds since the epoch.
        promotes: whether all racks get what waits at once.

    Raises:
        NotFound: no such rack.
    """
    if names is not None:
        for name in names:
            racks.rack_named(conn, name)
        conn.execute(update(rack).where(rack.c.canary).values(canary=False))
        conn.execute(update(rack).where(rack.c.name.in_(names)).values(canary=True))
    if after is not None:
        settings.put(conn, canaries.AFTER, after, now)
    if promotes or (names is not None and not names):
        published = select(image.c.id).where(canaries.NOT_YET)
        _settle(conn, conn.execute(published).scalars().all(), now)
        events.clear_event(conn, "canary-failed", CANARY, now)
    changes.record(conn, "canary", "", now)
    return generations.generation_now(conn, now)


def promote_due(conn: Connection, now: float) -> int:
    """Let all racks have what has waited long enough, if every canary is well.

    What stands in its way is an open event, until it is gone. Returns how many versions went.
    """
    found = outlook(conn, now)
    if found.failing:
        events.raise_event(conn, _held_back(found), now)
        return 0
    events.clear_event(conn, "canary-failed", CANARY, now)
    if found.due:
        _settle(conn, found.due, now)
        generations.generation_now(conn, now)
        events.record_fact(conn, _promoted(len(found.due)), now)
    return len(found.due)


def _settle(conn: Connection, ids: Collection[int], now: float) -> None:
    canaries.settle(conn, ids)
    retire_surplus(conn, now)
    # Mirrors, and what made way for these, wait for the next import.
    revisions.count_revision(conn)


def _held_back(found: Outlook) -> Event:
    return Event(
        "canary-failed",
        Severity.WARNING,
        CANARY,
        f"{_versions(len(found.due))} due for the other racks, and kept back: "
        + "; ".join(found.failing),
        "mend these canaries, and it goes on by itself; or rack-controllers canary promote, or "
        "boot-resource rollback ID",
    )


def _promoted(count: int) -> Event:
    return Event(
        "canary-promoted",
        Severity.INFO,
        CANARY,
        f"{_versions(count)} due and every canary is well: all racks get what waited",
    )


def _versions(count: int) -> str:
    return "1 version is" if count == 1 else f"{count} versions are"
