"""Blobs in pieces over AMP: for racks that reach the control port only, and for the shell.

Who asks, and that the blob is in its view, is looked up when a blob is opened and again
every ``OPEN_S``, where HTTP looks it up once for a whole answer. Asked for each piece it
cost ten times what the bytes cost (measured). The deletion of a rack ends its sessions, and
with them what they have open.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime

from common.commands import BLOB_PIECE_BYTES
from common.digests import CHUNK_BYTES
from common.errors import RangeError
from common.serving import ByteSource

OPEN_S = 1.0
MOST_OPEN = 8

Find = Callable[[str, bool], Awaitable[ByteSource]]
"""A blob (or its digest list) by its name, as the one who asks may read it; or NotFound."""

Pace = Callable[[int], Awaitable[int]]
"""How many of so many bytes may go now: it may wait a little, and say none."""


class Pieces:
    """The blobs that one connection is reading.

    Args:
        find: looks up a blob, and whether it may be read.
        clock: says when a blob is to be looked up again.
        pace: holds back what is too fast.
    """

    def __init__(self, find: Find, clock: IReactorTime, pace: Pace) -> None:
        self._find = find
        self._clock = clock
        self._pace = pace
        self._open: OrderedDict[tuple[str, bool], tuple[ByteSource, float]] = OrderedDict()

    async def read(
        self,
        sha256: str,
        of_digests: bool,
        offset: int,
        length: int,
    ) -> Mapping[str, Any]:
        """Answer ``ReadBlob``: one piece, and the size of what it is of.

        It is shorter than asked for, or empty, if a limit holds back the rest.

        Raises:
            Refused, NotFound: as ``find`` says.
            RangeError: not within one chunk of it, or longer than AMP carries.
        """
        source = await self._source(sha256, of_digests=of_digests)
        stop = offset + length
        chunk, first = divmod(offset, CHUNK_BYTES)
        if (
            offset < 0
            or not 0 < length <= BLOB_PIECE_BYTES
            or stop > min(source.size_bytes, (chunk + 1) * CHUNK_BYTES)
        ):
            raise RangeError(
                f"{length} bytes from {offset} are no piece of {source.size_bytes} bytes",
                object=sha256,
                code="range-unsatisfiable",
            )
        allowed = await self._pace(length)
        content = await source.read_chunk(chunk) if allowed else b""
        return {"piece": content[first : first + allowed], "size_bytes": source.size_bytes}

    async def _source(self, sha256: str, *, of_digests: bool) -> ByteSource:
        key, now_s = (sha256, of_digests), self._clock.seconds()
        source, until_s = self._open.get(key, (None, 0.0))
        if source is None or now_s >= until_s:
            self._open.pop(key, None)
            source = await self._find(sha256, of_digests)
            self._open[key] = (source, now_s + OPEN_S)
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return source
