"""The last good documents of each boot source."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, exists, select

from regiond.sources.readings import StoredDocument
from regiond.store import sources
from regiond.store.tables import blob, source_document


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
    read: sources.BootSource,
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
    sources.demand_unchanged(conn, read)
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
    sources.note_read(conn, read.id, now)
