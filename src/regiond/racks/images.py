"""Image bytes for racks: HTTP/1.1 over mutual TLS.

``/blobs/<sha256>`` gives a blob, ``/blobs/<sha256>/digests`` its digest list. For every
request the rack is looked up anew by its certificate, and the blob in that rack's view;
what a rack may not have does not exist for it.
"""

import re

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from common.errors import NotFound, WrongUsage
from common.serving import ByteSource, WholeBytes, answering, serve
from common.sites import QuietSite
from common.throttle import Throttle
from regiond.racks.fleet import Fleet, RackIdentity, rack_of

_PATH = re.compile(rb"/blobs/([0-9a-f]{64})(/digests)?")


def served_digests(sha256: str, content: bytes) -> WholeBytes:
    """A blob's digest list to be served. Its tag is the blob's, marked as its list."""
    return WholeBytes(f'"{sha256}-digests"', content)


async def visible(fleet: Fleet, rack: RackIdentity, sha256: str, *, of_digests: bool) -> ByteSource:
    """A blob, or its digest list, as this rack may read it.

    Raises:
        NotFound: it is not in the rack's view, or nowhere.
    """
    source: ByteSource | None
    if of_digests:
        digests = await fleet.digests(rack, sha256)
        source = None if digests is None else served_digests(sha256, digests)
    else:
        source = await fleet.blob(rack, sha256)
    if source is None:
        raise NotFound("no such blob in this rack's view", object=sha256, code="blob-unknown")
    return source


class Images(Resource):
    """The whole of the images port."""

    isLeaf = True

    def __init__(self, fleet: Fleet, clock: IReactorTime, throttle: Throttle) -> None:
        super().__init__()
        self._fleet = fleet
        self._throttle = throttle
        self._clock = clock

    def render(self, request: Request) -> int:
        """Answer a request (called by Twisted)."""
        return answering(request, self._answer(request))

    async def _answer(self, request: Request) -> None:
        rack, source = await self._found(request)

        async def pace(most_bytes: int) -> int:
            size_bytes = await self._throttle.allowed(most_bytes, rack.name)
            self._fleet.sent(rack, size_bytes)
            return size_bytes

        await serve(request, source, clock=self._clock, pace=pace)

    async def _found(self, request: Request) -> tuple[RackIdentity, ByteSource]:
        match = _PATH.fullmatch(request.uri)
        if match is None:
            raise WrongUsage("not a path of the images port", code="http-path")
        channel = request.channel
        rack = await rack_of(self._fleet, None if channel is None else channel.transport)
        sha256 = match[1].decode("ascii")
        return rack, await visible(self._fleet, rack, sha256, of_digests=match[2] is not None)


class ImagesSite(QuietSite):
    """The images listener, to be wrapped in mutual TLS. Racks report their syncs: no log."""

    def __init__(self, fleet: Fleet, clock: IReactorTime, throttle: Throttle) -> None:
        super().__init__(Images(fleet, clock, throttle), clock)
