"""Making blobs: whoever writes one appends chunks, in order and without gaps, and completes it.

The writer of a blob is the holder of the import lease, or an upload: every write carries the
lease's fencing token or the upload's epoch (``store.uploads``), must find it in the row, and is
``Stale`` otherwise.
"""

from collections.abc import Sequence
from typing import Any

import attrs
from sqlalchemy import Connection, case, delete, func, select, update

from common.digests import CHUNK_BYTES, RunningDigest, is_digest_list_of, sha256_hex
from common.errors import Conflict, IntegrityError, Stale
from regiond.store import sqlite
from regiond.store.blobs import (
    CHUNKS_PER_BLOB,
    IS_ALIVE,
    Blob,
    find_blob,
    find_partial,
    first_chunk,
)
from regiond.store.tables import blob, chunk

_STORED = "rackferry-stored-bytes"


def claim_blob(conn: Connection, sha256: str, size_bytes: int, epoch: int) -> Blob:
    """The blob of that name, for the writer with that epoch to go on with.

    Made if unknown; taken over from writers with an older epoch; no longer garbage. A
    complete one is given as it is. One that is being deleted is left to its fate.

    Raises:
        Stale: a writer with a newer epoch has it.
        Conflict: it is complete and has another size; or it is too large to be stored.
    """
    found = find_blob(conn, sha256)
    if found is None:
        return _new_blob(conn, sha256, size_bytes, epoch)
    if found.size_bytes != size_bytes and found.is_complete:
        raise Conflict(
            f"is said to have {size_bytes} bytes, and its content has {found.size_bytes}",
            object=f"blob {sha256}",
            code="blob-size",
            remedy="the source contradicts itself: tell those who run it",
        )
    claimed = conn.execute(
        update(blob)
        .where(blob.c.id == found.id, IS_ALIVE, blob.c.writer_epoch <= epoch)
        .values(writer_epoch=epoch, unreferenced_since=None, size_bytes=size_bytes)
    )
    if claimed.rowcount != 1:
        raise _stale(sha256)
    if found.size_bytes != size_bytes:
        # What was fetched belongs to somebody's wrong promise.
        drop_chunks(conn, found.id, epoch)
        found = attrs.evolve(found, size_bytes=size_bytes, held_chunks=0, held_bytes=0)
    return found


def _new_blob(conn: Connection, sha256: str, size_bytes: int, epoch: int) -> Blob:
    if size_bytes > CHUNKS_PER_BLOB * CHUNK_BYTES:
        raise Conflict(
            f"has {size_bytes} bytes, more than can be stored",
            object=f"blob {sha256}",
            code="blob-size",
        )
    blob_id = _insert_blob(
        conn,
        sha256=sha256,
        size_bytes=size_bytes,
        state="partial",
        held_chunks=0,
        held_bytes=0,
        writer_epoch=epoch,
    )
    return Blob(blob_id, sha256, size_bytes, "partial", 0, 0)


def _insert_blob(conn: Connection, **columns: Any) -> int:
    (blob_id,) = conn.execute(blob.insert(), columns).inserted_primary_key or (0,)
    return int(blob_id)


def keep_whole(conn: Connection, content: bytes) -> str:
    """Store something small (16 MiB at most) at once, complete; returns its name.

    Bytes that are held already are left alone. A transfer of the very same bytes that is
    under way finds itself ``Stale``.
    """
    sha256 = sha256_hex(content)
    found = find_blob(conn, sha256)
    if found is not None and found.is_complete:
        return sha256
    epoch = conn.execute(
        select(func.coalesce(func.max(blob.c.writer_epoch), 0)).where(
            blob.c.sha256 == sha256, IS_ALIVE
        )
    ).scalar_one()
    blob_id = claim_blob(conn, sha256, len(content), epoch).id
    drop_chunks(conn, blob_id, epoch)
    chunks = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)]
    running = RunningDigest()
    digests = running.add_all(chunks)
    append_chunks(conn, blob_id, epoch, 0, list(zip(chunks, digests, strict=True)))
    complete_blob(conn, blob_id, epoch, running.digests)
    return sha256


def keep_small(conn: Connection, contents: Sequence[tuple[bytes, bytes]], epoch: int) -> None:
    """Store blobs of one chunk each (at most) at once, complete.

    Args:
        conn: the transaction.
        contents: the bytes of each blob, and their SHA-256 (32 bytes).
        epoch: the writer's.

    Raises:
        Stale: a writer with a newer epoch has one of them.
    """
    named = {digest.hex(): (content, digest) for content, digest in contents}
    known = conn.execute(select(blob.c.sha256).where(blob.c.sha256.in_(named), IS_ALIVE)).scalars()
    begun = [named.pop(sha256) for sha256 in known]
    _insert_complete(conn, list(named.values()), epoch)
    for content, digest in begun:
        found = claim_blob(conn, digest.hex(), len(content), epoch)
        if not found.is_complete:
            drop_chunks(conn, found.id, epoch)
            append_chunks(conn, found.id, epoch, 0, [(content, digest)] if content else [])
            complete_blob(conn, found.id, epoch, digest)


def _insert_complete(conn: Connection, contents: Sequence[tuple[bytes, bytes]], epoch: int) -> None:
    rows = [
        {
            "sha256": digest.hex(),
            "size_bytes": len(content),
            "state": "complete",
            "held_chunks": 1 if content else 0,
            "held_bytes": len(content),
            "writer_epoch": epoch,
            "digests": digest,
            "digests_sha256": sha256_hex(digest),
        }
        for content, digest in contents
    ]
    if conn.dialect.name == "sqlite":
        driver: Any = conn.connection.driver_connection
        ids: Sequence[int] = sqlite.insert_blobs(driver, rows)
    else:
        ids = [_insert_blob(conn, **row) for row in rows]
    _store_chunks(
        conn,
        [
            (first_chunk(blob_id), digest, content)
            for blob_id, (content, digest) in zip(ids, contents, strict=True)
            if content
        ],
    )


def append_chunks(
    conn: Connection,
    blob_id: int,
    epoch: int,
    first_seq: int,
    rows: Sequence[tuple[bytes, bytes]],
) -> None:
    """Add (data, running digest) pairs as the chunks ``first_seq``, ``first_seq + 1``, ...

    Every chunk has 1 MiB, except that the last of the blob may have less.

    Raises:
        Stale: this writer no longer has the blob.
        IntegrityError: the chunks do not fit: a gap, a short chunk that is not the last,
            more bytes than promised.
    """
    added_bytes = sum(len(data) for data, _ in rows)
    held_after = first_seq * CHUNK_BYTES + added_bytes
    short = any(len(data) != CHUNK_BYTES for data, _ in rows[:-1])
    ragged = bool(rows) and not 0 < len(rows[-1][0]) <= CHUNK_BYTES
    last_is_short = held_after % CHUNK_BYTES != 0
    updated = conn.execute(
        update(blob)
        .where(
            blob.c.id == blob_id,
            blob.c.state == "partial",
            blob.c.writer_epoch == epoch,
            blob.c.held_chunks == first_seq,
            blob.c.held_bytes == first_seq * CHUNK_BYTES,
            blob.c.size_bytes == held_after if last_is_short else blob.c.size_bytes >= held_after,
        )
        # What somebody goes on with is not garbage, even if nothing refers to it yet.
        .values(held_chunks=first_seq + len(rows), held_bytes=held_after, unreferenced_since=None)
    )
    if short or ragged or updated.rowcount != 1:
        _check_writer(conn, blob_id, epoch)
        raise IntegrityError(
            f"{len(rows)} chunks of {added_bytes} bytes do not follow chunk {first_seq - 1}",
            object=f"blob {blob_id}",
            code="chunk-order",
        )
    first = first_chunk(blob_id) + first_seq
    _store_chunks(conn, [(k, digest, data) for k, (data, digest) in enumerate(rows, first)])


def _store_chunks(conn: Connection, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
    """Add chunk rows: key, running digest, data."""
    conn.info[_STORED] = conn.info.get(_STORED, 0) + sum(len(data) for _, _, data in rows)
    if conn.dialect.name == "sqlite":
        driver: Any = conn.connection.driver_connection
        sqlite.insert_chunks(driver, rows)
    elif rows:
        named = [{"id": key, "digest": digest, "data": data} for key, digest, data in rows]
        conn.execute(chunk.insert(), named)


def drop_chunks(conn: Connection, blob_id: int, epoch: int, from_seq: int = 0) -> None:
    """Forget the chunks from ``from_seq`` on.

    Raises:
        Stale: this writer no longer has the blob.
    """
    kept_bytes = from_seq * CHUNK_BYTES
    updated = conn.execute(
        update(blob)
        .where(blob.c.id == blob_id, blob.c.state == "partial", blob.c.writer_epoch == epoch)
        .values(
            held_chunks=case((blob.c.held_chunks < from_seq, blob.c.held_chunks), else_=from_seq),
            held_bytes=case((blob.c.held_bytes < kept_bytes, blob.c.held_bytes), else_=kept_bytes),
        )
    )
    if updated.rowcount != 1:
        _check_writer(conn, blob_id, epoch)
        raise _stale(f"number {blob_id}")
    first = first_chunk(blob_id)
    conn.execute(
        delete(chunk).where(chunk.c.id >= first + from_seq, chunk.c.id < first + CHUNKS_PER_BLOB)
    )


def complete_blob(conn: Connection, blob_id: int, epoch: int, digests: bytes) -> None:
    """Declare a blob complete; from now on it can be read and never changes.

    Twice is once: whoever was stopped while this was on its way asks again. The digest
    list must end in the blob's name, fit its size, and be the one that was
    stored chunk by chunk.

    Raises:
        Stale: this writer no longer has the blob.
        IntegrityError: something is missing or is not what was promised.
    """
    found = find_partial(conn, blob_id, epoch)
    if found is None:
        is_done = (blob.c.id == blob_id) & (blob.c.state == "complete")
        if conn.execute(select(blob.c.digests).where(is_done)).scalar_one_or_none() == digests:
            return
        raise _stale(f"number {blob_id}")
    if found.held_bytes != found.size_bytes or not is_digest_list_of(
        digests, found.sha256, found.size_bytes
    ):
        raise IntegrityError(
            f"{found.held_bytes} of {found.size_bytes} bytes are held, with another digest"
            if found.held_bytes == found.size_bytes
            else f"{found.held_bytes} of {found.size_bytes} bytes are held",
            object=f"blob {found.sha256}",
            code="blob-incomplete",
        )
    if found.size_bytes and _stored_digests(conn, found) != digests:
        raise IntegrityError(
            "the stored chunks are not those of its digest list",
            object=f"blob {found.sha256}",
            code="blob-digests",
            remedy="drop its chunks and fetch it again",
        )
    conn.execute(
        update(blob)
        .where(blob.c.id == blob_id)
        .values(state="complete", digests=digests, digests_sha256=sha256_hex(digests))
    )


def _stored_digests(conn: Connection, of: Blob) -> bytes:
    first = first_chunk(of.id)
    rows = conn.execute(
        select(chunk.c.digest)
        .where(chunk.c.id >= first, chunk.c.id < first + CHUNKS_PER_BLOB)
        .order_by(chunk.c.id)
    )
    return b"".join(digest for (digest,) in rows)


def _check_writer(conn: Connection, blob_id: int, epoch: int) -> None:
    if find_partial(conn, blob_id, epoch) is None:
        raise _stale(f"number {blob_id}")


def _stale(name: str) -> Stale:
    return Stale(
        "another import has taken it over, or it is gone",
        object=f"blob {name}",
        code="blob-stale",
        remedy="start the import again",
    )


def take_stored_bytes(conn: Connection) -> int:
    """How many bytes of chunks this connection stored since the last call (for ``Database``)."""
    stored: int = conn.info.pop(_STORED, 0)
    return stored
