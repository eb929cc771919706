"""The region's end of a small transfer: a blob of one chunk is stored complete or not at all.

A ``Sink`` of ``common.fetching``. Claiming a blob, adding its chunk and completing it are
three commits, each of which waits for the disk; here they are one. What is lost by a stop
is at most the one chunk in memory.
"""

from functools import partial
from hashlib import sha512

from common.digests import CHUNK_BYTES, RunningDigest
from common.pools import Threads
from regiond.chunk_rows import wrong_sha512
from regiond.store import blob_writing
from regiond.store.database import Database

MOST_BYTES = CHUNK_BYTES


class SmallBlob:
    """One blob of at most ``MOST_BYTES``.

    Args:
        database: where it goes.
        hashing: runs hashing away from the reactor.
        epoch: the fencing token of the import lease; a write with an old one is ``Stale``.
        sha512: what the stream promises besides, or "".
    """

    def __init__(
        self, database: Database, hashing: Threads, epoch: int, *, sha512: str = ""
    ) -> None:
        self._database = database
        self._hashing = hashing
        self._epoch = epoch
        self._sha512 = sha512
        self._content = b""

    async def resume(self) -> RunningDigest:
        """Nothing: it is fetched again sooner than it is looked for."""
        return RunningDigest()

    async def write(self, chunks: list[bytes], digests: list[bytes]) -> None:  # noqa: ARG002 - a Sink's
        """Keep its only chunk in memory."""
        (self._content,) = chunks

    async def restart(self) -> None:
        """Forget it."""
        self._content = b""

    async def finish(self, digests: bytes) -> None:
        """It is verified: store it under its name.

        Raises:
            IntegrityError: its SHA-512 is another than the stream's.
            Stale: another import has taken over.
        """
        if self._sha512:
            found = (await self._hashing(partial(sha512, self._content))).hexdigest()
            if found != self._sha512:
                raise wrong_sha512(found, self._sha512, digests.hex())
        await self._database.write(blob_writing.keep_small, self._content, self._epoch)
