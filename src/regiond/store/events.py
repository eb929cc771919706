"""Events that are kept: at most one open row per (code, object), counted when it repeats."""

from collections.abc import Collection, Container
from typing import Any

import attrs
from sqlalchemy import Connection, Row, delete, select, update

from common.events import Event, Severity
from regiond.store import changes
from regiond.store.tables import event

_FROM = {
    Severity.INFO: ("info", "warning", "error"),
    Severity.WARNING: ("warning", "error"),
    Severity.ERROR: ("error",),
}


@attrs.frozen
class Occurrence:
    """An event with its history; ``event.at`` is the last time it was raised."""

    event: Event
    first_at: float
    count: int
    cleared_at: float | None


def raise_event(conn: Connection, raised: Event, now: float) -> bool:
    """Record an event; returns whether it is new, not a repetition of an open one.

    A repetition brings the open row's severity, cause and remedy up to date.
    """
    said = {
        "severity": raised.severity.value,
        "cause": raised.cause,
        "remedy": raised.remedy,
        "last_at": now,
    }
    repeated = conn.execute(
        update(event)
        .where(
            event.c.code == raised.code,
            event.c.object == raised.object,
            event.c.cleared_at.is_(None),
        )
        .values(times=event.c.times + 1, **said)
    )
    if repeated.rowcount:
        return False
    conn.execute(
        event.insert().values(code=raised.code, object=raised.object, first_at=now, times=1, **said)
    )
    changes.record(conn, "event", raised.code, now)
    return True


def clear_event(conn: Connection, code: str, object: str, now: float) -> bool:
    """Its cause is gone; returns whether it was open."""
    cleared = conn.execute(
        update(event)
        .where(event.c.code == code, event.c.object == object, event.c.cleared_at.is_(None))
        .values(cleared_at=now)
    )
    if cleared.rowcount:
        changes.record(conn, "event", code, now)
    return bool(cleared.rowcount)


def settle(
    conn: Connection, raised: Collection[Event], looked_at: Container[str], now: float
) -> None:
    """Record what was found, and clear the rest of what was open on objects looked at."""
    found = {(each.code, each.object) for each in raised}
    for kept in list_events(conn):
        place = (kept.event.code, kept.event.object)
        if kept.event.object in looked_at and place not in found:
            clear_event(conn, *place, now)
    for each in raised:
        raise_event(conn, each, now)


def list_events(
    conn: Connection,
    level: Severity = Severity.INFO,
    *,
    cleared: bool = False,
    limit: int = 1000,
) -> tuple[Occurrence, ...]:
    """Events of that severity and worse, newest first; with ``cleared``, past ones too."""
    query = select(event).where(event.c.severity.in_(_FROM[level]))
    if not cleared:
        query = query.where(event.c.cleared_at.is_(None))
    rows = conn.execute(query.order_by(event.c.last_at.desc(), event.c.id.desc()).limit(limit))
    return tuple(_occurrence(row) for row in rows)


def expire(conn: Connection, before: float) -> int:
    """Forget what was cleared, or was mere information, before that time; returns how many."""
    past = event.c.cleared_at < before
    news = (event.c.severity == Severity.INFO.value) & (event.c.last_at < before)
    return conn.execute(delete(event).where(past | news)).rowcount


def _occurrence(row: Row[Any]) -> Occurrence:
    kept = Event(
        row.code, Severity(row.severity), row.object, row.cause, row.remedy, row.last_at, row.id
    )
    return Occurrence(kept, row.first_at, row.times, row.cleared_at)
