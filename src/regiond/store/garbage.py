"""Deleting blobs that nothing refers to, in three steps that any crash may separate.

1. ``mark_unreferenced`` notes since when a blob has had no reference (and takes the note
   back where it has one again).
2. ``condemn`` declares those dead that have been without for long enough. Whether there is
   a reference is asked again in the very statement, never from a list made earlier.
3. ``delete_dead`` removes chunks in small transactions, then the blob's row.

References are the rows of ``image_file`` (staged, published, and retired for a grace time),
the last good documents of the sources, the documents that mirrors show, and those of the
region's own stream.
``collect`` does it all. Only the holder of the import lease calls these; the first, which
deletes nothing, whoever replaces something.
"""

from sqlalchemy import Connection, delete, exists, or_, select, update

from regiond.store.blobs import CHUNKS_PER_BLOB, first_chunk
from regiond.store.database import Database
from regiond.store.images import GRACE_S, is_spent
from regiond.store.tables import (
    blob,
    chunk,
    image,
    image_file,
    mirror_document,
    source_document,
    stream_document,
)

CHUNKS_AT_ONCE = 64

_ALIVE = blob.c.state != "dead"
_REFERENCED = or_(
    exists().where(image_file.c.sha256 == blob.c.sha256),
    exists().where(source_document.c.raw_sha256 == blob.c.sha256),
    exists().where(mirror_document.c.sha256 == blob.c.sha256),
    exists().where(stream_document.c.sha256 == blob.c.sha256),
)


async def collect(database: Database, now: float, grace_s: float) -> int:
    """Delete what has been garbage for ``grace_s`` and give its space back.

    Returns:
        how many blobs were condemned.
    """
    await database.write(mark_unreferenced, now)
    condemned = await database.write(condemn, now - grace_s)
    deleted = False
    while await database.write(delete_dead, CHUNKS_AT_ONCE):
        deleted = True
    if deleted:
        await database.give_back()
    return condemned


def is_due(conn: Connection, now: float, grace_s: float) -> bool:
    """Whether cleaning up would change anything: a cheap look, without a write."""
    spent = select(image.c.id).where(is_spent(now))
    replaced = select(mirror_document.c.path).where(mirror_document.c.retired_at <= now - GRACE_S)
    garbage = select(blob.c.id).where(
        (blob.c.state == "dead")
        | (_ALIVE & ~_REFERENCED & blob.c.unreferenced_since.is_(None))
        | (_ALIVE & (blob.c.unreferenced_since <= now - grace_s))
    )
    return any(
        conn.execute(query.limit(1)).first() is not None for query in (spent, replaced, garbage)
    )


def mark_unreferenced(conn: Connection, now: float) -> int:
    """Note which blobs have no reference since ``now``; returns how many are new."""
    conn.execute(
        update(blob)
        .where(_ALIVE, blob.c.unreferenced_since.is_not(None), _REFERENCED)
        .values(unreferenced_since=None)
    )
    return conn.execute(
        update(blob)
        .where(_ALIVE, blob.c.unreferenced_since.is_(None), ~_REFERENCED)
        .values(unreferenced_since=now)
    ).rowcount


def condemn(conn: Connection, before: float) -> int:
    """Declare dead what has had no reference since ``before`` or longer; returns how many."""
    return conn.execute(
        update(blob)
        .where(_ALIVE, blob.c.unreferenced_since <= before, ~_REFERENCED)
        .values(state="dead")
    ).rowcount


def delete_dead(conn: Connection, limit_chunks: int) -> int:
    """Delete up to ``limit_chunks`` chunks of one dead blob; its row with the last of them.

    Returns:
        how many rows went; 0 when there is nothing dead.
    """
    blob_id = conn.execute(
        select(blob.c.id).where(blob.c.state == "dead").order_by(blob.c.id).limit(1)
    ).scalar_one_or_none()
    if blob_id is None:
        return 0
    first = first_chunk(blob_id)
    of_blob = (chunk.c.id >= first) & (chunk.c.id < first + CHUNKS_PER_BLOB)
    # From the end, so that what is left is always chunks 0 to n.
    ids = conn.execute(
        select(chunk.c.id).where(of_blob).order_by(chunk.c.id.desc()).limit(limit_chunks)
    ).scalars()
    found = ids.all()
    if found:
        conn.execute(delete(chunk).where(of_blob, chunk.c.id >= found[-1]))
    if len(found) < limit_chunks:
        conn.execute(delete(blob).where(blob.c.id == blob_id))
        return len(found) + 1
    return len(found)
