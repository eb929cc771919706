"""The receiving end of one body: arriving bytes become whole chunks, with back-pressure.

Bytes are pushed in by whatever carries them (HTTP, AMP) and pulled out by ``fetching`` in
batches of whole chunks. Above the high-water mark the carrier is told to pause. A body
that falls below a minimum rate while nobody holds it back is declared stalled.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from common.digests import CHUNK_BYTES
from common.errors import RackferryError, TransferError

HIGH_WATER_CHUNKS = 4
BATCH_CHUNKS = 4
# A window is looked at this many times: a stall is noticed at most a fourth of it late.
_LOOKS = 4

Pieces = list[bytes]
"""The bytes of one chunk as they arrived; joined away from the reactor."""


class Flow(Protocol):
    """What carries the bytes, as far as back-pressure is concerned."""

    def pause(self) -> None:
        """Hold the bytes back, soon."""

    def resume(self) -> None:
        """Let them flow again."""


class Receiver(Protocol):
    """What a body is delivered to."""

    def received(self, piece: bytes) -> None:
        """The next bytes."""

    def ended(self, error: RackferryError | None) -> None:
        """No more bytes: the body is over, or (with an error) it broke off."""


class Inflow:
    """Coalesces one body into chunks.

    The last chunk is handed out only when the body is over: a body that turns out to be
    longer than promised must not complete a blob.

    Args:
        tail: the pieces of an unfinished chunk from an earlier body, to be continued.
        length_bytes: how many bytes this body is to bring.
        clock: for the stall watch.
        window_s: the time over which the rate is measured.
        min_rate: bytes per second below which the body is stalled.
        flow: what to pause and resume.
        was_held: whether bytes were held back on their way here since it was last asked.
    """

    def __init__(
        self,
        tail: Pieces,
        length_bytes: int,
        *,
        clock: IReactorTime,
        window_s: float,
        min_rate: int,
        flow: Flow,
        was_held: Callable[[], bool] = lambda: False,
    ) -> None:
        self.error: RackferryError | None = None
        self._open = list(tail)
        self._open_bytes = sum(map(len, tail))
        self._whole: deque[Pieces] = deque()
        self._missing_bytes = length_bytes
        self._over = False
        self._paused = False
        self._waiting: Deferred[None] | None = None
        self._flow = flow
        self._was_held = was_held
        self._clock = clock
        self._window_s = window_s
        self._least_bytes = min_rate * window_s
        self._looks: deque[int] = deque(maxlen=_LOOKS)
        self._look_bytes = 0
        self._look_counts = True
        self._timer: IDelayedCall | None = clock.callLater(window_s / _LOOKS, self._look)

    @property
    def tail(self) -> Pieces:
        """After the end: the pieces of the chunk that was not finished."""
        return self._open

    def received(self, piece: bytes) -> None:
        """Take the next bytes of the body."""
        if self._over:
            return
        self._look_bytes += len(piece)
        self._missing_bytes -= len(piece)
        if self._missing_bytes < 0:
            self._too_long()
            return
        while self._open_bytes + len(piece) >= CHUNK_BYTES:
            room = CHUNK_BYTES - self._open_bytes
            self._open.append(piece[:room])
            self._close_chunk()
            piece = piece[room:]
        if piece:
            self._open.append(piece)
            self._open_bytes += len(piece)
        if not self._missing_bytes and self._open:
            self._close_chunk()
        if len(self._whole) >= HIGH_WATER_CHUNKS and not self._paused:
            self._paused = True
            self._flow.pause()
        self._wake()

    def ended(self, error: RackferryError | None) -> None:
        """The body is over. An error after the last byte came too late to matter."""
        if self._over:
            return
        self.error = error if self._missing_bytes else None
        self.close()
        self._wake()

    def close(self) -> None:
        """Take nothing more; the stall watch ends."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def batch(self) -> list[Pieces]:
        """Up to four whole chunks, as soon as there is one; none when the body is over."""
        while not self._ready() and not self._over:
            self._waiting = Deferred()
            await self._waiting
        taken = [self._whole.popleft() for _ in range(min(self._ready(), BATCH_CHUNKS))]
        if self._paused and len(self._whole) < HIGH_WATER_CHUNKS:
            self._paused = False
            self._flow.resume()
        return taken

    def _ready(self) -> int:
        """How many chunks may be handed out."""
        held_back = not self._missing_bytes and not self._over
        return len(self._whole) - held_back

    def _close_chunk(self) -> None:
        self._whole.append(self._open)
        self._open, self._open_bytes = [], 0

    def _too_long(self) -> None:
        """Drop the unfinished or last chunk: it may be the wrong end of a wrong file."""
        if not self._open and self._whole:
            self._whole.pop()
        self._open, self._open_bytes = [], 0
        self.ended(
            TransferError(
                "more bytes than promised arrived",
                code="transfer-length",
                remedy="the origin's file and what was signed differ: tell who runs it",
            )
        )

    def _wake(self) -> None:
        if self._waiting is not None and (self._ready() or self._over):
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    def _look(self) -> None:
        """Note what arrived in this part of the window, unless we held it back ourselves."""
        self._timer = None
        if not self._was_held() and self._look_counts:
            self._looks.append(self._look_bytes)
        self._look_bytes, self._look_counts = 0, not self._paused
        if len(self._looks) == _LOOKS and sum(self._looks) < self._least_bytes:
            self.ended(
                TransferError(
                    f"only {sum(self._looks)} bytes arrived within {self._window_s:g} s",
                    code="transfer-stalled",
                    remedy="look at the origin and the network between",
                )
            )
            return
        self._timer = self._clock.callLater(self._window_s / _LOOKS, self._look)
