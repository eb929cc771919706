"""The region's end of a small transfer: a blob of one chunk is stored complete or not at all.

A ``Sink`` of ``common.fetching``. Claiming a blob, adding its chunk and completing it are
three commits, each of which waits for the disk; here they are one, and those that are
verified while it is under way go into the next together. What is lost by a stop is at most
the one chunk in memory.
"""

from functools import partial
from hashlib import sha512

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from common.digests import CHUNK_BYTES, RunningDigest
from common.pools import Threads
from regiond.chunk_rows import wrong_sha512
from regiond.store import blob_writing
from regiond.store.database import Database

MOST_BYTES = CHUNK_BYTES


@attrs.frozen(eq=False)
class _Verified:
    """A blob that is to be stored, and who waits for it."""

    content: bytes
    digest: bytes
    is_stored: Deferred[None] = attrs.field(factory=Deferred)


class SmallBlobs:
    """Stores the small blobs of one writer, those that wait together.

    Args:
        database: where they go.
        epoch: the fencing token of the import lease; a write with an old one is ``Stale``.
    """

    def __init__(self, database: Database, epoch: int) -> None:
        self._database = database
        self._epoch = epoch
        self._waiting: list[_Verified] = []
        self._is_writing = False

    def keep(self, content: bytes, digest: bytes) -> Deferred[None]:
        """Store verified bytes; fires when they are durable, or with why they are not.

        Cancelling abandons the answer; they are stored all the same.
        """
        verified = _Verified(content, digest)
        self._waiting.append(verified)
        if not self._is_writing:
            self._write()
        return verified.is_stored

    def _write(self) -> None:
        together, self._waiting = self._waiting, []
        self._is_writing = bool(together)
        if together:
            contents = [(each.content, each.digest) for each in together]
            writing = self._database.write(blob_writing.keep_small, contents, self._epoch)
            Deferred.fromCoroutine(writing).addBoth(self._written, together)

    def _written(self, outcome: Failure | None, together: list[_Verified]) -> None:
        self._write()
        for each in together:
            each.is_stored.callback(outcome)  # a Failure goes to the errbacks


class SmallBlob:
    """One blob of at most ``MOST_BYTES``.

    Args:
        small: keeps it.
        hashing: runs hashing away from the reactor.
        sha512: what the stream promises besides, or "".
    """

    def __init__(self, small: SmallBlobs, hashing: Threads, *, sha512: str = "") -> None:
        self._small = small
        self._hashing = hashing
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
        await self._small.keep(self._content, digests)
