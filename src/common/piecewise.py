"""A body that is read piece by piece over AMP: a ``Body`` of ``common.fetching``.

Several pieces are on their way at once, and are handed on in order.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from common.errors import RackferryError
from common.inflow import Receiver
from common.reassembly import Reassembly
from common.transfer import Head


class PieceBody:
    """The pieces from one offset on; see ``common.fetching.Body``.

    Args:
        read: gives the piece at an offset, of a length, and the size of the whole.
        offset: the first byte wanted.
        size_bytes: how many there are to be.
        cut: makes the error of a body that breaks off, of the reason.
    """

    def __init__(
        self,
        read: Callable[[int, int], Coroutine[Any, Any, tuple[bytes, int]]],
        offset: int,
        size_bytes: int,
        *,
        cut: Callable[[str], RackferryError],
    ) -> None:
        self.head = Head(206)
        self._read = read
        self._cut = cut
        self._offset = offset
        self._reassembly = Reassembly(offset, size_bytes)
        self._first: list[bytes] = []
        self._receiver: Receiver | None = None
        self._is_paused = False
        self._reading: set[Deferred[None]] = set()

    async def begin(self) -> None:
        """Read the first piece: from then on it is known that the other end has the bytes."""
        wanted = self._reassembly.ask()
        if wanted is None:
            raise self._cut("nothing is left to be read")
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
            raise self._cut(str(error)) from error

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
