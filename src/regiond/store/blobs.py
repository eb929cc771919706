"""Blobs: bytes named by their SHA-256, in rows of 1 MiB.

A blob is *partial* while its writer appends chunks (``blob_writing``), then *complete* and
immutable. A *dead* blob is being deleted (``garbage``) and counts as absent.
"""

from typing import Any

import attrs
from sqlalchemy import Connection, Row, case, func, select

from common.errors import NotFound
from regiond.store import sqlite
from regiond.store.tables import blob, chunk

CHUNKS_PER_BLOB = 1 << 20


@attrs.frozen
class Blob:
    """``held_chunks`` chunks of ``held_bytes`` bytes are stored; ``state`` is partial or complete."""

    id: int
    sha256: str
    size_bytes: int
    state: str
    held_chunks: int
    held_bytes: int

    @property
    def is_complete(self) -> bool:
        """Whether every byte is here and verified."""
        return self.state == "complete"


@attrs.frozen
class BlobSums:
    """How many blobs there are, what is stored of them, and of that, of those not complete."""

    blobs: int
    held_bytes: int
    partial_bytes: int


@attrs.frozen
class ChunkRow:
    """A chunk and the running SHA-256 (32 bytes) after it."""

    data: bytes
    digest: bytes


_COLUMNS = (
    blob.c.id,
    blob.c.sha256,
    blob.c.size_bytes,
    blob.c.state,
    blob.c.held_chunks,
    blob.c.held_bytes,
)
IS_ALIVE = blob.c.state != "dead"


def _blob(row: Row[Any, Any, Any, Any, Any, Any]) -> Blob:
    return Blob(**row._asdict())


def first_chunk(blob_id: int) -> int:
    """The key of a blob's first chunk row; the others follow."""
    return blob_id * CHUNKS_PER_BLOB


def find_blob(conn: Connection, sha256: str) -> Blob | None:
    """The blob of that name, partial or complete."""
    row = conn.execute(select(*_COLUMNS).where(blob.c.sha256 == sha256, IS_ALIVE)).one_or_none()
    return None if row is None else _blob(row)


def find_complete(conn: Connection, sha256: str) -> Blob | None:
    """The blob of that name, if every byte of it is here."""
    found = find_blob(conn, sha256)
    return found if found is not None and found.is_complete else None


def find_partial(conn: Connection, blob_id: int, epoch: int) -> Blob | None:
    """The partial that the writer with that epoch has; None if it has it no longer."""
    row = conn.execute(
        select(*_COLUMNS).where(
            blob.c.id == blob_id, blob.c.state == "partial", blob.c.writer_epoch == epoch
        )
    ).one_or_none()
    return None if row is None else _blob(row)


def all_blobs(conn: Connection) -> tuple[Blob, ...]:
    """Every blob that is not being deleted."""
    return tuple(_blob(row) for row in conn.execute(select(*_COLUMNS).where(IS_ALIVE)))


def held_by_state(conn: Connection) -> dict[str, int]:
    """The bytes that are stored of blobs in each state."""
    stored = func.sum(blob.c.held_bytes)
    rows = conn.execute(select(blob.c.state, stored).group_by(blob.c.state))
    return {state: int(size_bytes) for state, size_bytes in rows}


def sums(conn: Connection) -> BlobSums:
    """Over every blob that is not being deleted."""
    partial = case((blob.c.state == "partial", blob.c.held_bytes), else_=0)
    columns = (func.count(), func.sum(blob.c.held_bytes), func.sum(partial))
    found = conn.execute(select(*columns).where(IS_ALIVE)).one()
    return BlobSums(*(int(each or 0) for each in found))


def held_bytes(conn: Connection, sha256: str) -> int:
    """How much of a blob is stored; 0 if it is unknown."""
    found = find_blob(conn, sha256)
    return 0 if found is None else found.held_bytes


def digest_list(conn: Connection, sha256: str) -> bytes | None:
    """The digest list of a complete blob; None for any other."""
    return conn.execute(
        select(blob.c.digests).where(blob.c.sha256 == sha256, blob.c.state == "complete")
    ).scalar_one_or_none()


def read_chunk(conn: Connection, blob_id: int, seq: int) -> bytes:
    """Chunk ``seq`` (from 0) of a blob.

    Raises:
        NotFound: it is not stored.
    """
    key = first_chunk(blob_id) + seq
    if conn.dialect.name == "sqlite":
        driver: Any = conn.connection.driver_connection
        data = sqlite.read_chunk(driver, key)
    else:
        data = conn.execute(select(chunk.c.data).where(chunk.c.id == key)).scalar_one_or_none()
    return found_chunk(data, blob_id, seq)


def found_chunk(data: bytes | None, blob_id: int, seq: int) -> bytes:
    """What a look-up found.

    Raises:
        NotFound: nothing.
    """
    if data is None:
        raise _no_chunk(blob_id, seq)
    return bytes(data)


def read_chunk_row(conn: Connection, blob_id: int, seq: int) -> ChunkRow:
    """As ``read_chunk``, with the digest to verify it."""
    row = conn.execute(
        select(chunk.c.data, chunk.c.digest).where(chunk.c.id == first_chunk(blob_id) + seq)
    ).one_or_none()
    if row is None:
        raise _no_chunk(blob_id, seq)
    return ChunkRow(bytes(row.data), bytes(row.digest))


def _no_chunk(blob_id: int, seq: int) -> NotFound:
    return NotFound(f"chunk {seq} is not stored", object=f"blob {blob_id}", code="chunk-missing")
