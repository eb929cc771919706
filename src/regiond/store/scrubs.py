"""The scrub in the store: whose turn it is, how far it is, and what becomes of a bad blob.

One region at a time scrubs a database, under a lease; what it keeps and what it does to a blob
carries the lease's token. A blob that went bad is partial again from its first bad chunk on:
whoever fetches it goes on there, as after any interruption.
"""

from collections.abc import Callable, Iterable, Mapping

import attrs
from sqlalchemy import Connection, delete, exists, select, true, update

from common.canonical import typed
from common.digests import CHUNK_BYTES, sha256_hex
from common.errors import ProtocolError, Stale
from common.events import Event
from common.scrub_record import ScrubRecord
from regiond.damaged_blobs import LostFile, Uses
from regiond.store import blobs, changes, events, leases, revisions, settings
from regiond.store.blobs import CHUNKS_PER_BLOB, Blob, first_chunk
from regiond.store.images import KEY_COLUMNS, key_of
from regiond.store.tables import (
    blob,
    chunk,
    image,
    image_file,
    lease,
    setting,
    source_document,
    stream_document,
)

Describe = Callable[[Uses], Event]
"""The event of a blob that went bad, given what needs it."""

LEASE = "scrub"
LEASE_TTL_S = 60.0
_RECORD = "scrub"


# Whose turn it is, and how far it is


def record(conn: Connection) -> ScrubRecord:
    """How far the scrub is."""
    try:
        return typed(ScrubRecord, settings.get(conn, _RECORD, {}), "record of the scrub")
    except ProtocolError:  # it costs some reading
        return ScrubRecord()


def plan(conn: Connection, now: float, chance: float) -> ScrubRecord:
    """Keep when the first is due; one that is planned stays."""
    planned = record(conn).planned(now, chance)
    _keep(conn, planned)
    return planned


def keep(conn: Connection, kept: ScrubRecord, token: int, now: float) -> None:
    """Keep how far it is, and the lease for another while.

    Raises:
        Stale: the lease was granted to somebody else.
    """
    if not leases.renew(conn, LEASE, token, now, LEASE_TTL_S):
        raise _stale()
    _keep(conn, kept)


def leave(conn: Connection, kept: ScrubRecord, token: int, now: float) -> None:
    """As ``keep``, and give the lease back."""
    keep(conn, kept, token, now)
    leases.release(conn, LEASE, token)


def _keep(conn: Connection, kept: ScrubRecord) -> None:
    # Nobody goes by it: it is not a change that anybody wants to hear of every few seconds.
    value = attrs.asdict(kept)
    updated = conn.execute(update(setting).where(setting.c.name == _RECORD).values(value=value))
    if updated.rowcount == 0:
        conn.execute(setting.insert().values(name=_RECORD, value=value))


def _demand_lease(conn: Connection, token: int) -> None:
    is_ours = (lease.c.name == LEASE) & (lease.c.token == token) & (lease.c.holder != "")
    if conn.execute(select(lease.c.token).where(is_ours)).first() is None:
        raise _stale()


def _stale() -> Stale:
    return Stale(
        "another region has taken over",
        object="scrub",
        code="scrub-stale",
        remedy="nothing; the scrub goes on there",
    )


# What is read


def next_complete(conn: Connection, after: str) -> Blob | None:
    """The complete blob that follows a name, in the order of names."""
    query = select(blob.c.sha256).where(blob.c.sha256 > after, blob.c.state == "complete")
    found = conn.execute(query.order_by(blob.c.sha256).limit(1)).scalar_one_or_none()
    return None if found is None else blobs.find_complete(conn, found)


def complete_bytes(conn: Connection) -> int:
    """The bytes of all complete blobs."""
    return blobs.held_by_state(conn).get("complete", 0)


# What is done


def correct_digests(
    conn: Connection, of: Blob, digests: bytes, rows: Mapping[int, bytes], token: int
) -> None:
    """The bytes of a blob are right, and what is known of them was not.

    Args:
        conn: the transaction.
        of: the blob.
        digests: its digest list.
        rows: the digests of those chunks (by number) that had a wrong one.
        token: of the lease.

    Raises:
        Stale: the lease was granted to somebody else.
    """
    _demand_lease(conn, token)
    conn.execute(
        update(blob)
        .where(blob.c.id == of.id, blob.c.state == "complete")
        .values(digests=digests, digests_sha256=sha256_hex(digests))
    )
    for seq, digest in rows.items():
        conn.execute(
            update(chunk).where(chunk.c.id == first_chunk(of.id) + seq).values(digest=digest)
        )


def withdraw(
    conn: Connection, of: Blob, from_seq: int, describe: Describe, *, token: int, now: float
) -> Event | None:
    """A complete blob is partial again: its chunks from ``from_seq`` on are not to be had.

    Nobody is served it until it is complete, and imports of every region look what they can do.

    Returns:
        the event, which is raised; None if it is not complete (any more).

    Raises:
        Stale: the lease was granted to somebody else.
        StorageError: the database is so damaged that the chunks cannot be removed.
    """
    _demand_lease(conn, token)
    withdrawn = conn.execute(
        update(blob)
        .where(blob.c.id == of.id, blob.c.state == "complete")
        .values(
            state="partial",
            held_chunks=from_seq,
            held_bytes=from_seq * CHUNK_BYTES,
            digests=None,
            digests_sha256=None,
        )
    )
    if withdrawn.rowcount != 1:
        return None
    first = first_chunk(of.id)
    conn.execute(
        delete(chunk).where(chunk.c.id >= first + from_seq, chunk.c.id < first + CHUNKS_PER_BLOB)
    )
    return _tell(conn, of, describe, now)


def abandon(
    conn: Connection, of: Blob, describe: Describe, *, token: int, now: float
) -> Event | None:
    """As ``withdraw``, where its chunks cannot even be removed: they stay, and belong to nobody.

    To remove what hangs together wrongly would take away what belongs to others.
    """
    _demand_lease(conn, token)
    gone = conn.execute(delete(blob).where(blob.c.id == of.id, blob.c.state == "complete"))
    return _tell(conn, of, describe, now) if gone.rowcount == 1 else None


def _tell(conn: Connection, of: Blob, describe: Describe, now: float) -> Event:
    revisions.count_revision(conn)
    changes.record(conn, "blob", str(of.id), now)
    event = describe(_uses_of(conn, of.sha256))
    events.raise_event(conn, event, now)
    return event


# What is missing


def lost_files(conn: Connection, sha256: str = "") -> tuple[LostFile, ...]:
    """What published and kept images lack, all of it or of that blob; usually nothing."""
    is_whole = exists().where(blob.c.sha256 == image_file.c.sha256, blob.c.state == "complete")
    of_blob = image_file.c.sha256 == sha256 if sha256 else true()
    rows = conn.execute(
        select(image.c.id, *KEY_COLUMNS, image.c.version, *_FILE_COLUMNS)
        .join(image, image.c.id == image_file.c.image_id)
        .where(image.c.state.in_(["published", "kept"]), of_blob, ~is_whole)
        .order_by(image.c.id, image_file.c.name)
    )
    return tuple(
        LostFile(
            row.id,
            key_of(row),
            row.version,
            row.ftype,
            row.sha256,
            row.size_bytes,
            row.source_id,
            row.upstream_path,
        )
        for row in rows
    )


_FILE_COLUMNS = (
    image_file.c.ftype,
    image_file.c.sha256,
    image_file.c.size_bytes,
    image_file.c.source_id,
    image_file.c.upstream_path,
)


def _uses_of(conn: Connection, sha256: str) -> Uses:
    """What needs a blob that went bad."""
    is_it = source_document.c.raw_sha256 == sha256
    read = conn.execute(select(source_document.c.source_id, source_document.c.path).where(is_it))
    documents = [f"boot-source {row.source_id}'s {row.path}" for row in read]
    is_it = stream_document.c.sha256 == sha256
    made = conn.execute(select(stream_document.c.path).where(is_it)).scalars()
    documents += [f"the own stream's {path}" for path in made]
    return Uses(lost_files(conn, sha256), tuple(documents))


def whole_or_gone(conn: Connection, names: Iterable[str]) -> set[str]:
    """Those of these blobs that are complete, or that nothing is known of and nothing needs."""
    known = {each: blobs.find_blob(conn, each) for each in names}
    wanted = select(image_file.c.sha256).where(image_file.c.sha256.in_(known))
    needed = set(conn.execute(wanted).scalars())
    return {
        name
        for name, found in known.items()
        if (found is None and name not in needed) or (found is not None and found.is_complete)
    }
