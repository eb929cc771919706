"""``/metrics``: what a daemon measures, gathered when it is asked for."""

from collections.abc import Awaitable, Callable

from twisted.web.resource import Resource
from twisted.web.server import Request

from common.metrics import CONTENT_TYPE
from common.serving import answering

Gather = Callable[[], Awaitable[bytes]]


class MetricsPage(Resource):
    """Answers with what ``gather`` returns (``common.metrics.exposition``)."""

    isLeaf = True

    def __init__(self, gather: Gather) -> None:
        super().__init__()
        self._gather = gather

    def render_GET(self, request: Request) -> int:
        """Called by Twisted; HEAD comes by itself."""
        return answering(request, self._answer(request))

    async def _answer(self, request: Request) -> None:
        text = await self._gather()
        request.setHeader("content-type", CONTENT_TYPE)
        request.setHeader("content-length", str(len(text)))
        request.setHeader("cache-control", "no-store")
        request.write(text)
        request.finish()
