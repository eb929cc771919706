"""Image bytes through the one control port: pieces of blobs as an ``Origin``.

For racks behind a firewall that lets one port through (``image_transport = "amp"``). The
bytes, the checks and the resuming are those of HTTPS; the rate is about a third of it.
"""

from collections.abc import Sequence
from typing import Protocol

from common.errors import NotFound, RackferryError, Refused, TransferError
from common.fetching import Origin
from common.piecewise import PieceBody


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

    async def open(self, offset: int) -> PieceBody:
        """Read the first piece from ``offset`` on; the rest follows when it is wanted.

        Raises:
            NotFound, Refused: the region says no.
            TransferError: anything else.
        """
        await self._reader.connected()
        body = PieceBody(self._read, offset, self._size_bytes, cut=_cut)
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


def _cut(reason: str, remedy: str = "") -> TransferError:
    return TransferError(
        f"{AmpOrigin.name}, broke off: {reason}",
        code="transfer-cut",
        remedy=remedy or "look at the region and the network between",
    )
