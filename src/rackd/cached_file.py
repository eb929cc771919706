"""A finished blob, open for one request: neither a flip nor a clean-up disturbs its reader."""

import os
import threading
from pathlib import Path

from common import durable
from common.digests import CHUNK_BYTES
from common.errors import StorageError
from common.pools import Threads
from rackd.library import blob_damaged
from rackd.records import HeldFile


class CachedFile:
    """A finished blob, open for one request (``common.serving.ByteSource``).

    Args:
        path: its place in the cache.
        file: what must be there.
        on_disk: runs the reads.
        content_type: what it is.
    """

    def __init__(
        self,
        path: Path,
        file: HeldFile,
        on_disk: Threads,
        content_type: str = "application/octet-stream",
    ) -> None:
        self.content_type = content_type
        self.size_bytes = file.size_bytes
        self.etag = f'"{file.sha256}"'
        self._path = path
        self._on_disk = on_disk
        self._fd = -1
        self._is_closed = False
        self._turn = threading.Lock()

    def open(self) -> None:
        """On a disk thread.

        Raises:
            StorageError: it is not there, or is not what its name says.
        """
        with self._turn:
            if self._is_closed:  # the reader left while the disk was slow
                raise StorageError("is not wanted any more", object=str(self._path))
            self._fd = durable.open_for_reading(self._path)
            found_bytes = os.fstat(self._fd).st_size
        if found_bytes != self.size_bytes:
            raise blob_damaged(self._path, f"has {found_bytes} bytes, not {self.size_bytes}")

    async def read_chunk(self, seq: int) -> bytes:
        """Chunk ``seq``; fewer bytes than are due is an error, never a short answer."""
        return await self._on_disk(lambda: self._read(seq))

    def fileno(self) -> int:
        """Of the open file."""
        return self._fd

    def _read(self, seq: int) -> bytes:
        offset = seq * CHUNK_BYTES
        due = min(CHUNK_BYTES, self.size_bytes - offset)
        with self._turn, durable.storage_errors(self._path, "read"):
            chunk = os.pread(self._fd, due, offset)
            while len(chunk) < due and (
                more := os.pread(self._fd, due - len(chunk), offset + len(chunk))
            ):
                chunk += more
        if len(chunk) != due:
            raise StorageError("became shorter while it was read", object=str(self._path))
        return chunk

    def close(self) -> None:
        """On a disk thread: after a read that may still be under way."""
        with self._turn:
            self._is_closed = True
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
