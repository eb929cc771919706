"""Boot sources, what is wanted of them, and their last good documents.

``selection_revision`` grows whenever a source, a selection or a pin changes: an import that finds another
number at its end than at its start has to be followed by a second one.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from sqlalchemy import Connection, Row, delete, exists, select, update

from common.canonical import plain
from common.errors import Conflict, NotFound
from common.events import Event
from common.images import Selection
from regiond.sources.readings import StoredDocument
from regiond.store import changes, events, settings
from regiond.store.tables import blob, boot_source, selection, source_document

_REVISION = "selection-revision"
_DEFAULT_MADE = "default-source-made"


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


@attrs.frozen
class StoredSelection:
    """A selection of a source. ``unchecked``: accepted without looking into its catalogue."""

    id: int
    source_id: int
    selection: Selection
    unchecked: bool


# Sources


def create_source(conn: Connection, fields: SourceFields, now: float) -> BootSource:
    """Add a source.

    Raises:
        Conflict: there is one with that URL.
    """
    _check_url(conn, fields.url, 0)
    added = conn.execute(
        boot_source.insert().values(created_at=now, updated_at=now, **attrs.asdict(fields))
    )
    (id,) = added.inserted_primary_key or (0,)  # noqa: A001
    _changed(conn, id, now)
    return source(conn, id)


def update_source(conn: Connection, id: int, changed: Mapping[str, Any], now: float) -> BootSource:
    """Change some fields of a source, by name; other admins may change others meanwhile.

    With another URL or keyring its documents are forgotten: they have to be read and
    verified anew. Its images and blobs stay.

    Raises:
        NotFound: no such source.
        Conflict: another one has that URL.
    """
    before = source(conn, id)
    _check_url(conn, changed.get("url", before.url), id)
    conn.execute(
        update(boot_source).where(boot_source.c.id == id).values(updated_at=now, **changed)
    )
    after = source(conn, id)
    if _trust(after) != _trust(before):
        conn.execute(delete(source_document).where(source_document.c.source_id == id))
        # How fresh it has to be was known from those documents alone: a fresh start.
        _set(conn, id, accept_rollback=None, lagging_since=None, last_success_at=None)
    _changed(conn, id, now)
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
    _changed(conn, id, now)


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


def make_default_source(
    conn: Connection, fields: SourceFields, wanted: Selection, now: float
) -> BootSource | None:
    """The source that an empty database gets, once: deleting it is remembered."""
    if settings.get(conn, _DEFAULT_MADE, default=False):
        return None
    settings.put(conn, _DEFAULT_MADE, value=True, now=now)
    if list_sources(conn):
        return None
    made = create_source(conn, fields, now)
    create_selection(conn, made.id, wanted, unchecked=True, now=now)
    return made


def _check_url(conn: Connection, url: str, own_id: int) -> None:
    rival = conn.execute(
        select(boot_source.c.id).where(boot_source.c.url == url, boot_source.c.id != own_id)
    ).scalar_one_or_none()
    if rival is not None:
        raise Conflict(
            f"boot source {rival} has that URL already",
            object=url,
            code="source-exists",
            remedy=f"use boot source {rival}, or delete it first",
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


# Selections


def create_selection(
    conn: Connection,
    source_id: int,
    wanted: Selection,
    *,
    unchecked: bool,
    now: float,
) -> StoredSelection:
    """Want something of a source.

    Raises:
        NotFound: no such source.
        Conflict: there is a selection of that os and release.
    """
    source(conn, source_id)
    _check_release(conn, source_id, wanted, 0)
    added = conn.execute(
        selection.insert().values(
            source_id=source_id, unchecked=unchecked, created_at=now, **plain(wanted)
        )
    )
    (id,) = added.inserted_primary_key or (0,)  # noqa: A001
    _changed(conn, source_id, now)
    return StoredSelection(id, source_id, wanted, unchecked)


def update_selection(
    conn: Connection, source_id: int, id: int, wanted: Selection, *, unchecked: bool, now: float
) -> StoredSelection:
    """Want something else of a source.

    Raises:
        NotFound: that source has no such selection.
        Conflict: another selection is of that os and release.
    """
    one_selection(conn, source_id, id)
    _check_release(conn, source_id, wanted, id)
    conn.execute(
        update(selection).where(selection.c.id == id).values(unchecked=unchecked, **plain(wanted))
    )
    _changed(conn, source_id, now)
    return StoredSelection(id, source_id, wanted, unchecked)


def one_selection(conn: Connection, source_id: int, id: int) -> StoredSelection:
    """A selection of a source.

    Raises:
        NotFound: that source has no such selection.
    """
    for kept in list_selections(conn, source_id):
        if kept.id == id:
            return kept
    raise _no_selection(source_id, id)


def _check_release(conn: Connection, source_id: int, wanted: Selection, own_id: int) -> None:
    for other in list_selections(conn, source_id):
        same = (other.selection.os, other.selection.release) == (wanted.os, wanted.release)
        if same and other.id != own_id:
            raise Conflict(
                f"selection {other.id} means {wanted.os}/{wanted.release} already",
                object=f"boot-source {source_id}",
                code="selection-exists",
                remedy=f"update selection {other.id}, or delete it first",
            )


def _no_selection(source_id: int, id: int) -> NotFound:
    return NotFound(
        f"boot source {source_id} has no such selection",
        object=f"selection {id}",
        code="selection-unknown",
        remedy=f"boot-source-selections read {source_id} lists them",
    )


def list_selections(conn: Connection, source_id: int | None = None) -> tuple[StoredSelection, ...]:
    """The selections of a source, or of all, by id."""
    query = select(selection).order_by(selection.c.id)
    if source_id is not None:
        query = query.where(selection.c.source_id == source_id)
    return tuple(
        StoredSelection(
            row.id,
            row.source_id,
            Selection(
                row.os, row.release, tuple(row.arches), tuple(row.subarches), tuple(row.labels)
            ),
            row.unchecked,
        )
        for row in conn.execute(query)
    )


def mark_checked(conn: Connection, id: int) -> None:
    """A selection was found to fit its source's catalogue."""
    conn.execute(update(selection).where(selection.c.id == id).values(unchecked=False))


def delete_selection(conn: Connection, source_id: int, id: int, now: float) -> None:
    """Want it no longer.

    Raises:
        NotFound: that source has no such selection.
    """
    deleted = conn.execute(
        delete(selection).where(selection.c.id == id, selection.c.source_id == source_id)
    )
    if deleted.rowcount == 0:
        raise _no_selection(source_id, id)
    _changed(conn, source_id, now)


def selection_revision(conn: Connection) -> int:
    """A number that changes whenever an import may have something else to do than before."""
    return int(settings.get(conn, _REVISION, 0))


def count_revision(conn: Connection) -> None:
    """Something changed that imports go by."""
    settings.add(conn, _REVISION)


def _changed(conn: Connection, source_id: int, now: float) -> None:
    count_revision(conn)
    changes.record(conn, "source", str(source_id), now)


# Documents


def stored_documents(conn: Connection, source_id: int) -> dict[str, StoredDocument]:
    """The last good documents of a source, by path."""
    is_raw_held = exists().where(
        blob.c.sha256 == source_document.c.raw_sha256, blob.c.state == "complete"
    )
    rows = conn.execute(
        select(source_document, is_raw_held.label("is_raw_held")).where(
            source_document.c.source_id == source_id
        )
    )
    return {
        row.path: StoredDocument(
            path=row.path,
            sha256=row.raw_sha256,
            payload=bytes(row.payload),
            etag=row.etag,
            last_modified=row.last_modified,
            updated=row.updated,
            fingerprint=row.fingerprint,
            is_raw_held=bool(row.is_raw_held),
        )
        for row in rows
    }


def keep_documents(
    conn: Connection,
    read: BootSource,
    changed: Iterable[StoredDocument],
    paths: Iterable[str],
    now: float,
) -> None:
    """Keep what a source said: its last good documents, and when it was read.

    Args:
        conn: in a transaction.
        read: the source as it was when it was read.
        changed: documents to keep in place of those of the same paths.
        paths: of all its documents; others are forgotten.
        now: seconds since the epoch.

    Raises:
        Conflict: code ``source-changed``; what was read is not what it is now.
    """
    demand_unchanged(conn, read)
    kept = source_document.c.source_id == read.id
    conn.execute(delete(source_document).where(kept, source_document.c.path.not_in(list(paths))))
    for document in changed:
        conn.execute(delete(source_document).where(kept, source_document.c.path == document.path))
        conn.execute(
            source_document.insert().values(
                source_id=read.id,
                path=document.path,
                raw_sha256=document.sha256,
                payload=document.payload,
                etag=document.etag,
                last_modified=document.last_modified,
                updated=document.updated,
                fingerprint=document.fingerprint,
                fetched_at=now,
            )
        )
    _set(conn, read.id, last_success_at=now)
