"""Events that are kept: at most one open row per (code, object), counted when it repeats."""

from collections.abc import Collection, Container
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select, update

from common.events import Event, Occurrence, Severity, at_least
from regiond.store import changes
from regiond.store.tables import event
from regiond.telling import HOOK_FAILED, Hook

_NEWEST_FIRST = select(event).order_by(event.c.last_at.desc(), event.c.id.desc())
_TOLD = {Hook.PROGRAM: event.c.told_at, Hook.WEBHOOK: event.c.posted_at}


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
    _insert(conn, raised, now)
    return True


def record_fact(conn: Connection, happened: Event, now: float) -> None:
    """Record what happened and is over: it has a row of its own, and is never open."""
    _insert(conn, happened, now, cleared_at=now)


def _insert(conn: Connection, new: Event, now: float, cleared_at: float | None = None) -> None:
    added = conn.execute(
        event.insert().values(
            code=new.code,
            severity=new.severity.value,
            object=new.object,
            cause=new.cause,
            remedy=new.remedy,
            first_at=now,
            last_at=now,
            times=1,
            cleared_at=cleared_at,
        )
    )
    (id,) = added.inserted_primary_key or (0,)  # noqa: A001
    changes.record(conn, "event", str(id), now)


def is_open(conn: Connection, code: str, object: str) -> bool:
    """Whether such an event is open."""
    place = (event.c.code == code) & (event.c.object == object) & event.c.cleared_at.is_(None)
    return conn.execute(select(event.c.id).where(place)).first() is not None


def clear_event(conn: Connection, code: str, object: str, now: float) -> bool:
    """Its cause is gone; returns whether it was open."""
    place = (event.c.code == code) & (event.c.object == object) & event.c.cleared_at.is_(None)
    id = conn.execute(select(event.c.id).where(place)).scalar_one_or_none()  # noqa: A001
    if id is None:
        return False
    conn.execute(update(event).where(event.c.id == id).values(cleared_at=now))
    changes.record(conn, "event", str(id), now)
    return True


def settle(
    conn: Connection, raised: Collection[Event], looked_at: Container[str], now: float
) -> None:
    """Record what was found, and clear the rest of what was open on objects looked at."""
    found = {(each.code, each.object) for each in raised}
    is_open = select(event.c.code, event.c.object).where(event.c.cleared_at.is_(None))
    for code, about in conn.execute(is_open).all():
        if about in looked_at and (code, about) not in found:
            clear_event(conn, code, about, now)
    for each in raised:
        raise_event(conn, each, now)


def list_events(
    conn: Connection,
    level: Severity = Severity.INFO,
    *,
    cleared: bool = False,
    code: str = "",
    limit: int = 1000,
) -> tuple[Occurrence, ...]:
    """Events of that severity and worse, newest first; with ``cleared``, past ones too.

    With a ``code`` only those, and what only happened among them.
    """
    wanted = _is_of(level, cleared=cleared, code=code)
    rows = conn.execute(_NEWEST_FIRST.where(wanted).limit(limit))
    return tuple(_occurrence(row) for row in rows)


def events_from(
    conn: Connection, skipped: int, most: int, level: Severity, *, cleared: bool
) -> tuple[tuple[Occurrence, ...], int]:
    """As ``list_events``: at most so many after those that are skipped; and how many in all."""
    wanted = _is_of(level, cleared=cleared)
    rows = conn.execute(_NEWEST_FIRST.where(wanted).limit(most).offset(skipped))
    found = tuple(_occurrence(row) for row in rows)
    total = conn.execute(select(func.count()).select_from(event).where(wanted)).scalar_one()
    return found, total


def _is_of(level: Severity, *, cleared: bool, code: str = "") -> ColumnElement[bool]:
    wanted: ColumnElement[bool] = event.c.severity.in_(at_least(level))
    is_open = event.c.cleared_at.is_(None)
    if code:
        wanted &= event.c.code == code
    if not cleared:
        happened = event.c.cleared_at == event.c.first_at
        wanted &= is_open | happened if code else is_open
    return wanted


def some_events(conn: Connection, ids: Collection[int]) -> tuple[Occurrence, ...]:
    """Those of these events that there still are, by id."""
    rows = conn.execute(select(event).where(event.c.id.in_(ids)).order_by(event.c.id))
    return tuple(_occurrence(row) for row in rows)


def untold(
    conn: Connection, hook: Hook, level: Severity, since: float, limit: int
) -> tuple[Occurrence, ...]:
    """What a hook is still to be told, oldest first: open events, and those over since then.

    One that it knows as open is told again when it is over; what hooks themselves suffer
    from is none of their business.
    """
    told = _TOLD[hook]
    is_over = event.c.cleared_at.is_not(None)
    news = told.is_(None) & (~is_over | (event.c.cleared_at > since))
    query = select(event).where(
        event.c.severity.in_(at_least(level)),
        event.c.code != HOOK_FAILED,
        news | (is_over & (told < event.c.cleared_at)),
    )
    rows = conn.execute(query.order_by(event.c.id).limit(limit))
    return tuple(_occurrence(row) for row in rows)


def mark_told(conn: Connection, hook: Hook, ids: Collection[int], at: float) -> None:
    """A hook was told of these events, as they were at that time."""
    conn.execute(update(event).where(event.c.id.in_(ids)).values({_TOLD[hook]: at}))


def expire(conn: Connection, before: float) -> int:
    """Forget what was cleared, or was mere information, before that time; returns how many."""
    return conn.execute(delete(event).where(_expired(before))).rowcount


def has_expired(conn: Connection, before: float) -> bool:
    """Whether there is anything to forget."""
    return conn.execute(select(event.c.id).where(_expired(before)).limit(1)).first() is not None


def _expired(before: float) -> ColumnElement[bool]:
    news = (event.c.severity == Severity.INFO.value) & (event.c.last_at < before)
    return (event.c.cleared_at < before) | news


def _occurrence(row: Row[Any]) -> Occurrence:
    kept = Event(
        row.code, Severity(row.severity), row.object, row.cause, row.remedy, row.last_at, row.id
    )
    return Occurrence(kept, row.first_at, row.times, row.cleared_at)
