"""A blob on its way to the rack's disk: the file that grows, and its last step.

There is no journal. Whatever is in a partial file after a kill or a power cut is hashed
against the blob's digest list, and the file is cut after the last chunk that is right.

Chunks were verified before they come here. They are written by a disk thread and synced by
another, so that receiving never waits for a sync: one is started each ``SYNC_EVERY_BYTES``,
and writing waits only when more than ``MOST_UNSYNCED_BYTES`` would be at stake. The first
sync is of the file's name, too: synced bytes of a file that lost its name are lost.

A failed sync is final: the kernel may show bytes that the disk does not have, and call the
next sync a success. So the file is removed, the error is raised, and a new sink begins anew.
Any other failure is milder: what was synced before stays.

A thread that works on the file cannot be stopped. Whoever cancels waits for it, so that
nothing touches the file once its sink was let go of: the next sink may have it then.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredLock

from common import durable
from common.digests import CHUNK_BYTES, RunningDigest, chunk_count, digest_at
from common.errors import IntegrityError, NoSpace, RackferryError, StorageError
from common.pools import Threads
from common.unbroken import unbroken

T = TypeVar("T")

SYNC_EVERY_BYTES = 8 << 20
MOST_UNSYNCED_BYTES = 16 << 20
_VERIFIED_AT_ONCE = 64


def keep_whole(partial: Path, finished: Path, parts: Iterable[bytes]) -> None:
    """Make a blob of bytes that were made here, in the order of durability of every blob.

    Whatever stood at either name is replaced. It blocks.

    Args:
        partial: where the bytes are written.
        finished: the blob's name in the cache: the SHA-256 that the bytes must have.
        parts: the bytes.

    Raises:
        IntegrityError: they have another SHA-256.
        NoSpace, StorageError: the disk.
    """
    digest = hashlib.sha256()
    fd = durable.open_partial(partial)
    try:
        durable.truncate(fd, 0, partial)
        for part in parts:
            digest.update(part)
            durable.write_all(fd, (part,), partial)
        if digest.hexdigest() != finished.name:
            raise IntegrityError("what was to be kept has another SHA-256", object=finished.name)
        durable.finish_file(fd, partial, finished)
    finally:
        os.close(fd)


class PartialSink:
    """Where ``common.fetching`` puts one blob of a rack (its ``Sink``).

    Args:
        partial: the file that grows.
        finished: the blob's name in the cache.
        size_bytes: the blob's size.
        digests: the blob's digest list, already verified to be its.
        on_disk: runs hashing of what is there, writes and renames.
        on_sync: runs the syncs between.
    """

    def __init__(
        self,
        partial: Path,
        finished: Path,
        size_bytes: int,
        digests: bytes,
        *,
        on_disk: Threads,
        on_sync: Threads,
    ) -> None:
        self._path = partial
        self._finished = finished
        self._size_bytes = size_bytes
        self._promised = digests
        self._on_disk = on_disk
        self._on_sync = on_sync
        self._fd = -1
        self._written_bytes = 0
        self._synced_bytes = 0
        self._has_durable_name = False
        self._sync_turn = DeferredLock()
        self._syncing: Deferred[None] | None = None
        self._failure: Exception | None = None

    async def resume(self) -> RunningDigest:
        """Hash what is there, and cut it after the last right chunk.

        In pieces: whoever gives up on a file of many GiB does not wait for all of it.
        """
        running = RunningDigest()
        while not await self._on_file(lambda: self._verify(running)):
            pass
        self._written_bytes = self._synced_bytes = running.size_bytes
        return running

    async def write(self, chunks: list[bytes], digests: list[bytes]) -> None:  # noqa: ARG002  (a sink's signature; the list was given)
        """Append verified chunks."""
        size_bytes = sum(map(len, chunks))
        if self._written_bytes - self._synced_bytes + size_bytes > MOST_UNSYNCED_BYTES:
            await self._sync_settled()
        await self._raise_failure()
        await self._on_file(lambda: durable.write_all(self._fd, chunks, self._path))
        self._written_bytes += size_bytes
        if (
            self._written_bytes - self._synced_bytes >= SYNC_EVERY_BYTES
            and not self._sync_turn.locked
        ):
            self._syncing = Deferred.fromCoroutine(self._sync(os.dup(self._fd)))

    async def restart(self) -> None:
        """Forget everything held."""
        await self._sync_settled()
        await self._on_file(lambda: durable.truncate(self._fd, 0, self._path))
        self._written_bytes = self._synced_bytes = 0
        self._failure = None

    async def finish(self, digests: bytes) -> None:  # noqa: ARG002  (a sink's signature)
        """The last digest was right: sync, read-only, the final name, sync of directories."""
        await self._sync_settled()
        await self._raise_failure()
        try:
            await self._on_file(lambda: durable.finish_file(self._fd, self._path, self._finished))
        except (NoSpace, StorageError) as error:
            self._failure = error
            await self._raise_failure()

    async def close(self) -> None:
        """Let go of the file; what is in it stays."""
        await self._sync_settled()
        await self._on_file(self._let_go)

    async def _on_file(self, work: Callable[[], T]) -> T:
        return await unbroken(self._on_disk(work))

    # On a disk thread

    def _reopen(self) -> None:
        self._close()
        self._fd = durable.open_partial(self._path)
        self._has_durable_name = False

    def _verify(self, running: RunningDigest) -> bool:
        """Go on after ``running`` for some chunks; whether that was all, and the file is cut."""
        first = running.chunks
        if first == 0:
            self._reopen()
        last = chunk_count(self._size_bytes)
        for seq in range(first, min(first + _VERIFIED_AT_ONCE, last)):
            length = min(CHUNK_BYTES, self._size_bytes - seq * CHUNK_BYTES)
            chunk = self._read(seq * CHUNK_BYTES, length)
            promised = digest_at(self._promised, seq)
            if len(chunk) < length or running.add_if(chunk, promised) != promised:
                break
        else:
            if running.chunks < last:
                return False
        durable.truncate(self._fd, running.size_bytes, self._path)
        try:
            # A killed process leaves pages and a name that no power cut has tested yet.
            if running.size_bytes:
                self._sync_all(self._fd)
        except StorageError:
            self._close()
            durable.remove_file(self._path)
            raise
        return True

    def _read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes; a sector that cannot be read ends what is good."""
        parts = []
        with contextlib.suppress(OSError):
            while length and (part := os.pread(self._fd, length, offset)):
                parts.append(part)
                offset += len(part)
                length -= len(part)
        return b"".join(parts)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _let_go(self) -> None:
        # Whoever is cancelled, or lost the line, does not hear of a sync that failed meanwhile.
        failure, self._failure = self._failure, None
        if failure is not None:
            with contextlib.suppress(RackferryError):
                self._drop(failure)
        self._close()

    def _drop(self, failure: Exception) -> None:
        """After a failure: keep nothing that is not known to be on the disk."""
        self._close()
        if isinstance(failure, StorageError) and failure.code == "storage-sync":
            durable.remove_file(self._path)
            return
        self._reopen()
        durable.truncate(self._fd, self._synced_bytes, self._path)

    # Syncing

    def _sync_all(self, fd: int) -> None:
        """Sync the bytes, and the first time the name, too; on a disk thread."""
        durable.sync_file(fd, self._path)
        if not self._has_durable_name:
            durable.sync_directory(self._path.parent)
            self._has_durable_name = True

    async def _sync(self, fd: int) -> None:
        upto = self._written_bytes

        def work() -> None:
            try:
                self._sync_all(fd)
            finally:
                os.close(fd)

        await self._sync_turn.acquire()
        try:
            await self._on_sync(work)
            self._synced_bytes = upto
        except Exception as error:  # noqa: BLE001  (whatever it was, the next write raises it)
            self._failure = error
        finally:
            self._sync_turn.release()

    async def _sync_settled(self) -> None:
        """Wait for a sync under way, without cancelling it when we are cancelled."""
        await self._sync_turn.acquire()
        self._sync_turn.release()

    async def _raise_failure(self) -> None:
        if self._failure is None:
            return
        failure, self._failure = self._failure, None
        with contextlib.suppress(RackferryError):
            await self._on_file(lambda: self._drop(failure))
        raise failure
