"""The region's end of a transfer: verified chunks become rows of the database.

A ``Sink`` of ``common.fetching``. What is held is hashed again when a transfer resumes, so a
row that rotted, or was written by somebody else, costs the rows from there on and nothing more.
"""

import hashlib
from collections import deque
from functools import partial

from common.digests import RunningDigest
from common.errors import IntegrityError, NotFound
from common.pools import Threads
from regiond.store import blob_writing, blobs
from regiond.store.database import Database

MOST_UNSYNCED_BYTES = 16 << 20
"""What a loss of power may cost one stream."""


class ChunkRows:
    """The rows of one blob.

    Args:
        database: where they are.
        hashing: runs hashing away from the reactor.
        sha256: the blob's name.
        size_bytes: its size.
        epoch: the fencing token of the import lease, or of an upload; a write with an old one
            is ``Stale``.
        sha512: what the stream promises besides, or "".
    """

    def __init__(
        self,
        database: Database,
        hashing: Threads,
        sha256: str,
        size_bytes: int,
        epoch: int,
        *,
        sha512: str = "",
    ) -> None:
        self._database = database
        self._hashing = hashing
        self.sha256 = sha256
        self._size_bytes = size_bytes
        self._epoch = epoch
        self._sha512 = sha512
        self._blob_id = 0
        self._next_seq = 0
        # (position of the log, bytes) of the appends that may not be durable yet.
        self._unsynced: deque[tuple[int, int]] = deque()

    async def resume(self) -> RunningDigest:
        """Claim the blob for this writer and hash what it holds."""
        blob = await self._database.write(
            blob_writing.claim_blob, self.sha256, self._size_bytes, self._epoch
        )
        self._blob_id = blob.id
        running = RunningDigest()
        for seq in range(blob.held_chunks):
            if not await self._verifies(running, seq):
                await self._database.write(blob_writing.drop_chunks, blob.id, self._epoch, seq)
                break
        self._next_seq = running.chunks
        return running

    async def _verifies(self, running: RunningDigest, seq: int) -> bool:
        try:
            row = await self._database.read(blobs.read_chunk_row, self._blob_id, seq)
        except NotFound:  # a damaged database lost it
            return False
        return await self._hashing(partial(running.add_if, row.data, row.digest)) == row.digest

    async def write(self, chunks: list[bytes], digests: list[bytes]) -> None:
        """Append rows, in one transaction; a loss of power costs 16 MiB of them at most."""
        rows = list(zip(chunks, digests, strict=True))
        first_seq = self._next_seq
        log = self._database.log_file
        size_bytes = sum(map(len, chunks))
        while self._unsynced and self._unsynced[0][0] <= log.synced_position:
            self._unsynced.popleft()
        while sum(size for _, size in self._unsynced) + size_bytes > MOST_UNSYNCED_BYTES:
            await log.synced(self._unsynced.popleft()[0])
        await self._database.append(
            blob_writing.append_chunks, self._blob_id, self._epoch, first_seq, rows
        )
        self._unsynced.append((log.position, size_bytes))
        self._next_seq = first_seq + len(rows)

    async def restart(self) -> None:
        """Forget all rows."""
        await self._database.write(blob_writing.drop_chunks, self._blob_id, self._epoch, 0)
        self._next_seq = 0

    async def finish(self, digests: bytes) -> None:
        """The blob is complete and has its name.

        Raises:
            IntegrityError: its SHA-512 is another than the stream's.
        """
        if self._sha512:
            await self._check_sha512()
        await self._database.write(blob_writing.complete_blob, self._blob_id, self._epoch, digests)

    async def _check_sha512(self) -> None:
        """A second pass, for the few streams that promise both: SHA-256 names, so it leads."""
        found = hashlib.sha512()
        for seq in range(self._next_seq):
            data = await self._database.read(blobs.read_chunk, self._blob_id, seq)
            await self._hashing(partial(found.update, data))
        if found.hexdigest() != self._sha512:
            raise wrong_sha512(found.hexdigest(), self._sha512, self.sha256)


def wrong_sha512(found: str, wanted: str, sha256: str) -> IntegrityError:
    """The error that a blob has another SHA-512 than its source says."""
    return IntegrityError(
        f"its SHA-256 is right and its SHA-512 is {found}, not {wanted} as the source says",
        object=f"blob {sha256}",
        code="integrity-sha512",
        remedy="the source contradicts itself: tell those who run it",
    )
