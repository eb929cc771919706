"""A body that is read piece by piece over AMP: a ``Body`` of ``common.fetching``.

Several pieces are on their way at once, and are handed on in order. An answer that is shorter
than what was asked for, or empty, means that the other end holds the rest back: it is asked
for again, and the body is slow, but not dead.
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
        read: gives the piece at an offset, of a length or shorter, and the size of the whole.
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
        self._first: tuple[int, int, bytes] | None = None
        self._held: set[int] = set()
        self._was_held = False
        self._receiver: Receiver | None = None
        self._is_paused = False
        self._reading: set[Deferred[None]] = set()

    async def begin(self) -> None:
        """Ask for the first piece: from then on it is known that the other end has the bytes."""
        wanted = self._reassembly.ask()
        if wanted is None:
            raise self._cut("nothing is left to be read")
        piece, size_bytes = await self._read(*wanted)
        self._first = (*wanted, piece)
        self._note_held(wanted[0], is_held=len(piece) < wanted[1])
        content_range = f"bytes {self._offset}-{size_bytes - 1}/{size_bytes}"
        self.head = Head(206, content_range, size_bytes - self._offset)

    def deliver(self, receiver: Receiver) -> None:
        """Let the bytes flow into ``receiver``."""
        self._receiver = receiver
        first, self._first = self._first, None
        if first is not None:
            self._begin(*first)
        self._ask()

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

    def was_held(self) -> bool:
        """Whether the other end held bytes back at any time since this was last asked."""
        was, self._was_held = self._was_held, bool(self._held)
        return was

    def _ask(self) -> None:
        while self._receiver is not None and not self._is_paused:
            wanted = self._reassembly.ask()
            if wanted is None:
                return
            self._begin(*wanted)

    def _begin(self, offset: int, length: int, piece: bytes = b"") -> None:
        reading = Deferred.fromCoroutine(self._one(offset, length, piece))
        self._reading.add(reading)
        reading.addBoth(self._done, reading)

    def _done(self, result: Failure | None, reading: "Deferred[None]") -> Failure | None:
        self._reading.discard(reading)
        if isinstance(result, Failure) and result.check(CancelledError):
            return None
        return result

    async def _one(self, offset: int, length: int, piece: bytes) -> None:
        """The piece at ``offset``, of which this much is here."""
        try:
            while len(piece) < length:
                part, _ = await self._read(offset + len(piece), length - len(piece))
                piece += part
                self._note_held(offset, is_held=len(piece) < length)
            ready = self._in_order(offset, piece)
        except RackferryError as error:
            self._end(error)
            return
        self._give(ready)

    def _note_held(self, offset: int, *, is_held: bool) -> None:
        if is_held:
            self._was_held = True
            self._held.add(offset)
        else:
            self._held.discard(offset)

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
