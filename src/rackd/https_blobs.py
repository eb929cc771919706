"""Image bytes from the regions' images ports, over HTTPS (``image_transport = "https"``)."""

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IAgent

from common.fetching import Origin
from common.origins import HttpOrigin
from rackd.preference import Preference

_BLOBS = "/blobs/"


class Bases(Protocol):
    """The regions, as far as HTTPS goes; ``rackd.uplink`` is one."""

    @property
    def agent(self) -> IAgent:
        """Makes requests with the rack's certificate."""

    def image_bases(self) -> list[str]:
        """The base URLs of all known regions, the best first."""

    def doubt(self) -> None:
        """Bytes did not come: find out soon whether the region still answers at all."""


class HttpsBlobs:
    """Blobs from the images ports (a ``Transport`` of ``rackd.blobs``).

    Args:
        regions: where they are.
        clock: for how long a region that failed goes last.
    """

    def __init__(self, regions: Bases, clock: IReactorTime) -> None:
        self._regions = regions
        self._clock = clock
        self._preference = Preference()

    @property
    def has_others(self) -> bool:
        """Whether there is more than one place to turn to."""
        return len(self._regions.image_bases()) > 1

    def origins(self, sha256: str, size_bytes: int, *, of_digests: bool) -> Sequence[Origin]:  # noqa: ARG002 - a transport's signature
        """A blob, or its digest list, at every region; the most promising first."""
        path = _BLOBS + sha256 + ("/digests" if of_digests else "")
        bases = self._preference.ordered(self._regions.image_bases(), self._clock.seconds())
        return [HttpOrigin(self._regions.agent, base + path) for base in bases]

    def failed(self, origin: str) -> None:
        """That origin failed: its region goes last for a while."""
        self._preference.failed(origin.partition(_BLOBS)[0], self._clock.seconds())
        self._regions.doubt()
