"""Boot sources: where images come from."""

from collections.abc import Mapping
from typing import Any

import attrs
from sqlalchemy import Connection, Row, delete, select, update

from common.errors import Conflict, NotFound
from common.events import Event
from regiond.sources.locations import SourceLocation
from regiond.store import events
from regiond.store.revisions import source_changed
from regiond.store.tables import boot_source, source_document


@attrs.frozen
class BootSource:
    """Where images come from, and whose signatures count there."""

    id: int
    url: str = attrs.field(repr=False)  # an older release kept passwords in it
    keyring_filename: str | None
    keyring_data: bytes | None
    unsigned: bool
    priority: int
    enabled: bool
    created_at: float
    updated_at: float
    last_success_at: float | None
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    bearer_token: str | None = attrs.field(default=None, repr=False)
    proxy: str | None = attrs.field(default=None, repr=False)
    ca_file: str | None = None
    rate_limit: str | None = None
    any_products: bool = False
    accept_rollback: str | None = None
    lagging_since: float | None = None


@attrs.frozen
class SourceFields:
    """What an admin says about a source."""

    url: str = attrs.field(repr=False)
    keyring_filename: str | None = None
    keyring_data: bytes | None = None
    unsigned: bool = False
    priority: int = 0
    enabled: bool = True
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    bearer_token: str | None = attrs.field(default=None, repr=False)
    proxy: str | None = attrs.field(default=None, repr=False)
    ca_file: str | None = None
    rate_limit: str | None = None
    any_products: bool = False


def create_source(conn: Connection, fields: SourceFields, now: float) -> BootSource:
    """Add a source.

    Raises:
        Conflict: there is one at that place.
    """
    _demand_own_place(conn, fields.url, 0, unsigned=fields.unsigned)
    added = conn.execute(
        boot_source.insert().values(created_at=now, updated_at=now, **attrs.asdict(fields))
    )
    (id,) = added.inserted_primary_key or (0,)  # noqa: A001
    source_changed(conn, id, now)
    return source(conn, id)


def update_source(conn: Connection, id: int, changed: Mapping[str, Any], now: float) -> BootSource:
    """Change some fields of a source, by name; other admins may change others meanwhile.

    With another URL or keyring its documents are forgotten: they have to be read and
    verified anew. Its images and blobs stay.

    Raises:
        NotFound: no such source.
        Conflict: another one is at that place.
    """
    before = source(conn, id)
    _demand_own_place(
        conn,
        changed.get("url", before.url),
        id,
        unsigned=changed.get("unsigned", before.unsigned),
    )
    conn.execute(
        update(boot_source).where(boot_source.c.id == id).values(updated_at=now, **changed)
    )
    after = source(conn, id)
    if _trust(after) != _trust(before):
        conn.execute(delete(source_document).where(source_document.c.source_id == id))
        # How fresh it has to be was known from those documents alone: a fresh start.
        _set(conn, id, accept_rollback=None, lagging_since=None, last_success_at=None)
    source_changed(conn, id, now)
    return source(conn, id)


def demand_unchanged(conn: Connection, known: BootSource) -> None:
    """That a source still is what it was when it was read.

    Raises:
        Conflict: code ``source-changed``; it has another URL or keyring, was disabled, or
            is gone.
    """
    what = _what_happened(conn, known)
    if not what:
        return
    raise Conflict(
        f"it {what} meanwhile; nothing that it said before counts",
        object=f"boot-source {known.id}",
        code="source-changed",
        remedy="none: an import that follows goes by what holds now",
    )


def is_unchanged(conn: Connection, known: BootSource) -> bool:
    """Whether a source still is what it was when it was read."""
    return not _what_happened(conn, known)


def _what_happened(conn: Connection, known: BootSource) -> str:
    row = conn.execute(select(boot_source).where(boot_source.c.id == known.id)).one_or_none()
    if row is None:
        return "was deleted"
    if not row.enabled and known.enabled:
        return "was disabled"
    if _trust(_source(row)) != _trust(known):
        return "was given another URL or keyring"
    return ""


def _trust(source: BootSource) -> tuple[object, ...]:
    return (source.url, source.keyring_filename, source.keyring_data, source.unsigned)


def delete_source(conn: Connection, id: int, now: float) -> None:
    """Forget a source, its selections and its documents (for ``generations.delete_source``).

    Raises:
        NotFound: no such source.
    """
    deleted = conn.execute(delete(boot_source).where(boot_source.c.id == id))
    if deleted.rowcount == 0:
        raise _no_source(id)
    source_changed(conn, id, now)


def source(conn: Connection, id: int) -> BootSource:
    """A source.

    Raises:
        NotFound: no such source.
    """
    row = conn.execute(select(boot_source).where(boot_source.c.id == id)).one_or_none()
    if row is None:
        raise _no_source(id)
    return _source(row)


def list_sources(conn: Connection) -> tuple[BootSource, ...]:
    """All sources, by id."""
    return tuple(_source(row) for row in conn.execute(select(boot_source).order_by("id")))


def note_read(conn: Connection, id: int, at: float) -> None:
    """It was read, and all that it said was good, at that time."""
    _set(conn, id, last_success_at=at)


def note_lag(conn: Connection, id: int, since: float | None) -> None:
    """It shows older documents than it did, since then; None: it does not any more."""
    _set(conn, id, lagging_since=since)


def permit_rollback(conn: Connection, id: int, by: str | None) -> None:
    """Let its documents be older than those before, once; None takes that back.

    Raises:
        NotFound: no such source.
    """
    source(conn, id)
    _set(conn, id, accept_rollback=by)


def use_permission(conn: Connection, id: int, accepted: Event | None, now: float) -> None:
    """The permission is used up, and what it was used for is kept for those who ask later."""
    _set(conn, id, accept_rollback=None)
    if accepted is not None:
        events.record_fact(conn, accepted, now)


def _set(conn: Connection, id: int, **values: Any) -> None:
    conn.execute(update(boot_source).where(boot_source.c.id == id).values(**values))


def _demand_own_place(conn: Connection, url: str, own_id: int, *, unsigned: bool) -> None:
    """That no other source is at the place that a URL means, however it is spelt."""
    place = SourceLocation.parse(url, unsigned=unsigned)
    for other in list_sources(conn):
        there = SourceLocation.parse(other.url, unsigned=other.unsigned)
        if other.id != own_id and (other.url == url or there.is_same_place(place)):
            raise Conflict(
                f"boot source {other.id} is the same place",
                object=place.base,
                code="source-exists",
                remedy=f"use boot source {other.id}, or delete it first",
            )


def _no_source(id: int) -> NotFound:
    return NotFound(
        "there is no such boot source",
        object=f"boot-source {id}",
        code="source-unknown",
        remedy="boot-sources read lists them",
    )


def _source(row: Row[Any]) -> BootSource:
    return BootSource(**row._asdict())
