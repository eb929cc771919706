"""What to ask for next, and which bytes are next (pure): a body that comes in pieces.

Pieces may arrive in any order. Asked for is never more than ``WINDOW`` pieces beyond what
was handed out, so that is all that one body can ever hold in memory.
"""

from common.commands import BLOB_PIECE_BYTES
from common.digests import CHUNK_BYTES

WINDOW = 8
"""Pieces asked for and not yet handed out; more is no faster (measured: 32 is slower)."""


class Reassembly:
    """The pieces of the bytes ``offset`` to ``stop - 1``.

    Args:
        offset: the first byte wanted.
        stop: one more than the last.
    """

    def __init__(self, offset: int, stop: int) -> None:
        self._stop = stop
        self._next_asked = offset
        self._next_given = offset
        self._asked: dict[int, int] = {}
        self._early: dict[int, bytes] = {}

    @property
    def is_over(self) -> bool:
        """Whether every byte was handed out."""
        return self._next_given >= self._stop

    def ask(self) -> tuple[int, int] | None:
        """Offset and length of a piece to ask for now; None if none is to be asked for.

        No piece crosses the end of a chunk.
        """
        if self._next_asked >= self._stop or len(self._asked) >= WINDOW:
            return None
        offset = self._next_asked
        end = min(self._stop, (offset // CHUNK_BYTES + 1) * CHUNK_BYTES)
        length = min(BLOB_PIECE_BYTES, end - offset)
        self._asked[offset] = length
        self._next_asked = offset + length
        return offset, length

    def arrived(self, offset: int, piece: bytes) -> list[bytes]:
        """Take a piece that was asked for; the pieces that are next in order now.

        Raises:
            ValueError: it is not as long as it was asked for.
        """
        if len(piece) != self._asked[offset]:
            raise ValueError(f"{len(piece)} bytes in place of {self._asked[offset]}")
        self._early[offset] = piece
        ready = []
        while self._next_given in self._early:
            ready.append(self._early.pop(self._next_given))
            del self._asked[self._next_given]
            self._next_given += len(ready[-1])
        return ready
