"""Image bytes through the one control port: pieces of blobs as an ``Origin``.

For racks behind a firewall that lets one port through (``image_transport = "amp"``). The
bytes, the checks and the resuming are those of HTTPS; the rate is about a third of it.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from common.errors import NotFound, RackferryError, Refused, TransferError
from common.fetching import Origin
from common.inflow import Receiver
from common.transfer import Head
from rackd.reassembly import Reassembly


class Reader(Protocol):
    """The regions, as far as reading goes; ``rackd.uplink`` is one."""

    @property
    def has_others(self) -> bool:
        """Whether another region could be turned to."""

    async def connected(self) -> None:
        """Wait until a region answers; raises why none does, once all were tried."""

    async def read_blob(
        self, sha256: str, *, of_digests: bool, offset: int, length: int
    ) -> tuple[bytes, int]:
        """A piece, and the size of what it is of."""


class AmpBlobs:
    """Blobs over the control connection (a ``Transport`` of ``rackd.blobs``).

    Args:
        reader: whom to read from.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @property
    def has_others(self) -> bool:
        """Whether another region could be turned to."""
        return self._reader.has_others

    def origins(self, sha256: str, size_bytes: int, *, of_digests: bool) -> Sequence[Origin]:
        """The one way there is; which region is behind it is the connection's affair."""
        return [AmpOrigin(self._reader, sha256, size_bytes, of_digests=of_digests)]

    def failed(self, origin: str) -> None:
        """The connection notices by itself."""


class AmpOrigin:
    """A blob, or its digest list, over whatever connection there is when it is asked for."""

    name = "the region, over AMP"

    def __init__(self, reader: Reader, sha256: str, size_bytes: int, *, of_digests: bool) -> None:
        self._reader = reader
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._of_digests = of_digests

    async def open(self, offset: int) -> "AmpBody":
        """Read the first piece from ``offset`` on; the rest follows when it is wanted.

        Raises:
            NotFound, Refused: the region says no.
            TransferError: anything else.
        """
        await self._reader.connected()
        body = AmpBody(self._read, offset, self._size_bytes)
        await body.begin()
        return body

    async def _read(self, offset: int, length: int) -> tuple[bytes, int]:
        try:
            return await self._reader.read_blob(
                self._sha256, of_digests=self._of_digests, offset=offset, length=length
            )
        except (NotFound, Refused, TransferError):
            raise
        except RackferryError as error:
            raise _cut(error.message, error.remedy) from error


class AmpBody:
    """The pieces from one offset on; see ``common.fetching.Body``.

    Args:
        read: gives the piece at an offset, of a length, and the size of the whole.
        offset: the first byte wanted.
        size_bytes: how many there are to be.
    """

    def __init__(
        self,
        read: Callable[[int, int], Coroutine[Any, Any, tuple[bytes, int]]],
        offset: int,
        size_bytes: int,
    ) -> None:
        self.head = Head(206)
        self._read = read
        self._offset = offset
        self._reassembly = Reassembly(offset, size_bytes)
        self._first: list[bytes] = []
        self._receiver: Receiver | None = None
        self._is_paused = False
        self._reading: set[Deferred[None]] = set()

    async def begin(self) -> None:
        """Read the first piece: from then on it is known that the region has the bytes."""
        wanted = self._reassembly.ask()
        if wanted is None:
            raise _cut("nothing is left to be read")
        piece, size_bytes = await self._read(*wanted)
        self._first = self._in_order(wanted[0], piece)
        content_range = f"bytes {self._offset}-{size_bytes - 1}/{size_bytes}"
        self.head = Head(206, content_range, size_bytes - self._offset)

    def deliver(self, receiver: Receiver) -> None:
        """Let the bytes flow into ``receiver``."""
        self._receiver = receiver
        first, self._first = self._first, []
        self._give(first)

    def pause(self) -> None:
        """Ask for nothing more; what is on its way still comes."""
        self._is_paused = True

    def resume(self) -> None:
        """Ask again."""
        self._is_paused = False
        self._ask()

    def abort(self) -> None:
        """Want nothing any more."""
        self._receiver = None
        for reading in list(self._reading):
            reading.cancel()

    def _ask(self) -> None:
        while self._receiver is not None and not self._is_paused:
            wanted = self._reassembly.ask()
            if wanted is None:
                return
            reading = Deferred.fromCoroutine(self._one(*wanted))
            self._reading.add(reading)
            reading.addBoth(self._done, reading)

    def _done(self, result: Failure | None, reading: "Deferred[None]") -> Failure | None:
        self._reading.discard(reading)
        if isinstance(result, Failure) and result.check(CancelledError):
            return None
        return result

    async def _one(self, offset: int, length: int) -> None:
        try:
            piece, _ = await self._read(offset, length)
            ready = self._in_order(offset, piece)
        except RackferryError as error:
            self._end(error)
            return
        self._give(ready)

    def _in_order(self, offset: int, piece: bytes) -> list[bytes]:
        try:
            return self._reassembly.arrived(offset, piece)
        except ValueError as error:
            raise _cut(str(error)) from error

    def _give(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            if self._receiver is not None:
                self._receiver.received(piece)
        if self._reassembly.is_over:
            self._end(None)
        self._ask()

    def _end(self, error: RackferryError | None) -> None:
        receiver = self._receiver
        self.abort()
        if receiver is not None:
            receiver.ended(error)


def _cut(reason: str, remedy: str = "") -> TransferError:
    return TransferError(
        f"{AmpOrigin.name}, broke off: {reason}",
        code="transfer-cut",
        remedy=remedy or "look at the region and the network between",
    )
