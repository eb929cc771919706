"""Trees of files on the web port: ``/mirror/`` and the region's own stream. Read-only.

Whoever reads there is a stranger, so all of them together have the share of one rack.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from common.errors import NotFound
from common.serving import ByteSource, answering, serve
from common.throttle import Throttle

Find = Callable[[str], Awaitable[ByteSource]]
"""What stands at a path below the tree's root; raises ``NotFound``."""

_NO_CACHE = "no-cache"
_OUTSIDERS = ("outsiders",)
"""Their group of the throttle; no rack is called that."""


class Tree(Resource):
    """Everything below one root.

    Args:
        find: knows the tree.
        clock: for readers that do not read.
        throttle: holds what is sent to racks, and this with it.
    """

    isLeaf = True

    def __init__(self, find: Find, clock: IReactorTime, throttle: Throttle) -> None:
        super().__init__()
        self._find = find
        self._clock = clock
        self._throttle = throttle

    def render(self, request: Request) -> int:
        """Answer a request (called by Twisted)."""
        return answering(request, self._answer(request))

    async def _answer(self, request: Request) -> None:
        segments: list[bytes] = request.postpath or []
        try:
            path = b"/".join(segments).decode("ascii")
        except UnicodeDecodeError:
            raise NotFound("no name here is like that", object="path") from None
        # Documents stay under their path when they change: readers ask each time.
        await serve(
            request,
            await self._find(path),
            clock=self._clock,
            cache_control=_NO_CACHE,
            pace=partial(self._throttle.allowed, group=_OUTSIDERS),
        )
