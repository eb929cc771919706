"""Image bytes for racks that reach the control port only: pieces of blobs, over AMP.

A rack is authorised for every piece, as for every command. Whether a blob is in its view is
looked up once in ``OPEN_S``, as HTTP looks it up once for a whole answer: asked for each
piece, the database would be the slowest part of the way.
"""

from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

from common.commands import BLOB_PIECE_BYTES
from common.digests import CHUNK_BYTES
from common.errors import RangeError
from common.serving import ByteSource
from regiond.racks.fleet import Fleet, RackIdentity
from regiond.racks.images import visible

OPEN_S = 10.0
MOST_OPEN = 8


class Pieces:
    """The blobs that one session is reading.

    Args:
        fleet: the region's use-cases.
        clock: says when a blob is to be looked up again.
    """

    def __init__(self, fleet: Fleet, clock: IReactorTime) -> None:
        self._fleet = fleet
        self._clock = clock
        self._open: OrderedDict[tuple[str, bool], tuple[ByteSource, float]] = OrderedDict()

    async def read(
        self, rack: RackIdentity, sha256: str, *, of_digests: bool, offset: int, length: int
    ) -> tuple[bytes, int]:
        """One piece, and the size of what it is of.

        Raises:
            NotFound: not in this rack's view.
            RangeError: not within one chunk of it, or longer than AMP carries.
        """
        source = await self._source(rack, sha256, of_digests=of_digests)
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
        content = await source.read_chunk(chunk)
        return content[first : first + length], source.size_bytes

    async def _source(self, rack: RackIdentity, sha256: str, *, of_digests: bool) -> ByteSource:
        key, now_s = (sha256, of_digests), self._clock.seconds()
        source, until_s = self._open.get(key, (None, 0.0))
        if source is None or now_s >= until_s:
            self._open.pop(key, None)
            source = await visible(self._fleet, rack, sha256, of_digests=of_digests)
            self._open[key] = (source, now_s + OPEN_S)
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return source
