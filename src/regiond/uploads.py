"""Blobs that an admin's shell sends: verified as they come, kept through any interruption.

What has come is hashed and stored in whole chunks while more comes. The sender is told how
much is held when it begins, and goes on there: a stop of either side costs what was in
memory, a few MiB. What nobody goes on with is garbage after a time of grace.
"""

from collections.abc import Callable
from functools import partial
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from common.digests import CHUNK_BYTES, RunningDigest, is_sha256
from common.errors import (
    Busy,
    IntegrityError,
    NoSpace,
    ProtocolError,
    RackferryError,
    TransferError,
    WrongUsage,
    bug,
)
from common.pools import Threads
from regiond.chunk_rows import ChunkRows
from regiond.room import RoomWatch
from regiond.store import uploads
from regiond.store.database import Database

MOST_AT_ONCE = 4
"""How many chunks are hashed and stored in one go."""
MOST_WAITING_BYTES = 2 * CHUNK_BYTES
"""How much may wait for its turn before the sender has to."""
SILENCE_S = 2.0
"""How long a sender may be silent before another one takes over."""
CLAIM_S = 6.0
"""How long it is ours after the last renewal: another region waits for so long if we die."""
RENEWAL_S = 2.0


class Upload:
    """One blob that comes in order, piece by piece.

    Args:
        rows: where it is kept.
        hashing: runs hashing away from the reactor.
        running: the digest of what is held.
        size_bytes: of the whole.
        now: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        rows: ChunkRows,
        hashing: Threads,
        running: RunningDigest,
        size_bytes: int,
        now: Callable[[], float],
    ) -> None:
        self._rows = rows
        self._hashing = hashing
        self._running = running
        self._size_bytes = size_bytes
        self._taken_bytes = running.size_bytes
        self._waiting = bytearray()
        self._is_storing = False
        self._senders: list[Deferred[None]] = []
        self._failure: RackferryError | None = None
        self._now = now
        self._heard_at = now()

    @property
    def sha256(self) -> str:
        """The blob's name."""
        return self._rows.sha256

    @property
    def is_being_sent(self) -> bool:
        """Whether somebody sends it, as far as one can tell."""
        return self._failure is None and self._now() < self._heard_at + SILENCE_S

    @property
    def held_bytes(self) -> int:
        """How much is verified and stored."""
        return self._running.size_bytes

    async def write(self, offset: int, piece: bytes) -> None:
        """Take the next bytes; returns when there is room for more.

        Raises:
            ProtocolError: they do not follow those before, or are too many.
            Stale: somebody else writes this blob now; open it again.
            RackferryError: what was sent before could not be stored.
        """
        self._raise_failure()
        if offset != self._taken_bytes or offset + len(piece) > self._size_bytes:
            raise ProtocolError(
                f"{len(piece)} bytes at {offset} are not the next ones of an upload of"
                f" {self._size_bytes} bytes, of which {self._taken_bytes} have come",
                code="upload-order",
            )
        self._heard_at = self._now()
        self._waiting += piece
        self._taken_bytes += len(piece)
        self._store_what_came()
        while len(self._waiting) >= MOST_WAITING_BYTES:
            await self._turn()
            self._raise_failure()

    async def finish(self) -> None:
        """All has come: the blob is complete under its name.

        Raises:
            IntegrityError: code ``upload-digest``; these are other bytes. Nothing of them
                is kept.
            Stale, RackferryError: as ``write``.
        """
        if self._taken_bytes != self._size_bytes:
            raise ProtocolError(
                f"{self._taken_bytes} of {self._size_bytes} bytes have come", code="upload-order"
            )
        while self._is_storing:
            await self._turn()
        self._raise_failure()
        if self._running.hexdigest() != self.sha256:
            await self._rows.restart()
            self._failure = IntegrityError(
                "what was sent has another SHA-256",
                object=f"blob {self.sha256}",
                code="upload-digest",
                remedy="the file was changed while it was read: run the command again",
            )
            raise self._failure
        await self._rows.finish(self._running.digests)

    async def stop(self) -> None:
        """No more will come; the whole chunks that did are kept for the next time."""
        self._failure = self._failure or TransferError("was given up", code="upload-over")
        while self._is_storing:
            await self._turn()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _turn(self) -> None:
        """Wait until something was stored, or could not be."""
        waiting: Deferred[None] = Deferred(self._senders.remove)
        self._senders.append(waiting)
        await waiting

    def _store_what_came(self) -> None:
        if not self._is_storing and self._ready_bytes:
            self._is_storing = True
            # Its failures are told by ``_failure``; ``finish`` and ``stop`` wait for its end.
            Deferred.fromCoroutine(self._store())

    @property
    def _ready_bytes(self) -> int:
        """Of what waits, that which may be stored: whole chunks, and the end of the blob."""
        waiting = len(self._waiting)
        is_end = self._taken_bytes == self._size_bytes
        ready = waiting if is_end else waiting - waiting % CHUNK_BYTES
        return min(ready, MOST_AT_ONCE * CHUNK_BYTES)

    async def _store(self) -> None:
        try:
            while ready := self._ready_bytes:
                with memoryview(self._waiting) as view:
                    chunks = [
                        bytes(view[first : min(first + CHUNK_BYTES, ready)])
                        for first in range(0, ready, CHUNK_BYTES)
                    ]
                del self._waiting[:ready]
                digests = await self._hashing(partial(self._running.add_all, chunks))
                await self._rows.write(chunks, digests)
                self._go_on()
        except RackferryError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - the sender must hear of it, whatever it is
            self.log.failure("bug while storing an upload")
            self._failure = bug(error, f"blob {self.sha256}", "could not be stored")
        self._is_storing = False
        self._go_on()

    def _go_on(self) -> None:
        # Whoever still has no room queues again: each of those that wait now gets one turn.
        for _ in range(len(self._senders)):
            if self._senders:
                self._senders.pop(0).callback(None)


class Uploads:
    """The uploads of a region.

    Args:
        database: where they go.
        hashing: runs hashing away from the reactor.
        now: seconds since the epoch.
        region_name: this region's name.
        clock: for telling other regions that we are still at it.
    """

    log = Logger()

    def __init__(
        self,
        database: Database,
        hashing: Threads,
        now: Callable[[], float],
        region_name: str,
        clock: IReactorTime,
    ) -> None:
        self._database = database
        self._hashing = hashing
        self._now = now
        self._region_name = region_name
        self._renewing = LoopingCall(lambda: Deferred.fromCoroutine(self._renew()))
        self._renewing.clock = clock
        # Whoever is left by its sender stores what came, and is gone.
        self._open: WeakSet[Upload] = WeakSet()
        self._opening: set[str] = set()
        self._is_stopping = False

    async def open(self, sha256: str, size_bytes: int) -> Upload | None:
        """Begin to send a blob, or go on with it; None if all of it is held already.

        Raises:
            WrongUsage: code ``upload-name``; that is no SHA-256 or no size.
            Busy: code ``upload-import``; an import is fetching the same bytes. Code
                ``upload-elsewhere``; another shell is sending them, here or to another region. Were they to take over from
                each other, each verifying what is held first, both might never end.
            Stale: an import began to, just now; ask again.
            Conflict: code ``blob-size``; these bytes are known to have another size.
            NoSpace: code ``upload-space``; the rest does not fit.
        """
        if not is_sha256(sha256) or size_bytes < 0:
            raise WrongUsage(
                f"{sha256[:64]!r} with {size_bytes} bytes is no blob", code="upload-name"
            )
        if await self._database.write(uploads.is_held, sha256, size_bytes):
            return None
        if sha256 in self._under_way:
            raise _elsewhere(sha256)
        self._opening.add(sha256)
        try:
            await self._claim(sha256)
            return await self._take_up(sha256, size_bytes)
        finally:
            self._opening.discard(sha256)

    @property
    def _under_way(self) -> set[str]:
        """The blobs that are being opened, or sent as far as one can tell."""
        return self._opening | {each.sha256 for each in self._open if each.is_being_sent}

    async def _claim(self, sha256: str) -> None:
        """Take a blob for this region."""
        is_ours = await self._database.write(
            uploads.claim, sha256, self._region_name, self._now(), CLAIM_S
        )
        if not is_ours:
            raise _elsewhere(sha256)
        if not self._renewing.running and not self._is_stopping:
            self._renewing.start(RENEWAL_S, now=False)

    async def _renew(self) -> None:
        """Keep what is under way; nobody has to let go of what its sender has left."""
        try:
            for sha256 in self._under_way:
                await self._claim(sha256)
        except RackferryError as error:
            self.log.warn("an upload is not ours any more: {why}", why=error.line())
        if not self._under_way and self._renewing.running:
            self._renewing.stop()

    async def _take_up(self, sha256: str, size_bytes: int) -> Upload:
        epoch = await self._database.write(uploads.new_epoch, sha256, self._now())
        rows = ChunkRows(self._database, self._hashing, sha256, size_bytes, epoch)
        running = await rows.resume()
        rest_bytes = size_bytes - running.size_bytes
        if rest_bytes:
            await self._check_room(rest_bytes)
        if self._is_stopping:
            raise TransferError("the region is stopping", code="upload-stopping")
        upload = Upload(rows, self._hashing, running, size_bytes, self._now)
        self._open.add(upload)
        return upload

    async def _check_room(self, rest_bytes: int) -> None:
        try:
            await RoomWatch(self._database).check([rest_bytes])
        except NoSpace as error:
            raise NoSpace(
                error.message,
                object="upload",
                code="upload-space",
                remedy="free space there, then run the command again",
            ) from error

    async def close(self, upload: Upload) -> None:
        """Nothing more comes of an upload; what came is kept."""
        await upload.stop()
        self._open.discard(upload)
        if upload.sha256 in self._under_way:
            return
        try:
            await self._database.write(uploads.let_go, upload.sha256, self._region_name)
        except RackferryError as error:
            self.log.warn("other regions wait for an upload: {why}", why=error.line())

    async def stop(self) -> None:
        """Keep what came of all of them."""
        self._is_stopping = True
        if self._renewing.running:
            self._renewing.stop()
        for upload in tuple(self._open):
            await self.close(upload)


def _elsewhere(sha256: str) -> Busy:
    return Busy(
        "another shell is sending the same bytes",
        object=f"blob {sha256}",
        code="upload-elsewhere",
        remedy="wait for it: what it has sent need not be sent again",
    )
