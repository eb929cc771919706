"""HTTP listeners that strangers cannot fill up, and that do nothing when nobody asks.

Twisted's own ``Site`` keeps every body it is sent, in memory or in a temporary file, before
it looks at what is asked; gives a trickling header another minute with every byte; and has
a clock that ticks each second for an access log. Nothing here takes a body, and the log has
what matters already.
"""

from twisted.internet.interfaces import IReactorTime
from twisted.web import http
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

IDLE_TIMEOUT_S = 60.0


class BodilessRequest(Request):
    """A request whose body nobody keeps."""

    def handleContentChunk(self, data: bytes) -> None:
        """Part of a body (called by Twisted)."""


class OneTimeChannel(http.HTTPChannel):
    """HTTP/1.1 only. A whole request has to arrive within the time of an idle connection."""

    def resetTimeout(self) -> None:
        """A byte now and then does not keep a connection open."""


class QuietSite(Site):
    """A listener for ``resource``: without bodies, access log and timers of its own.

    Args:
        resource: the root.
        clock: for time-outs.
        request: what keeps as much of a body as it can do with.
    """

    noisy = False

    def __init__(
        self,
        resource: IResource,
        clock: IReactorTime,
        request: type[BodilessRequest] = BodilessRequest,
    ) -> None:
        super().__init__(resource, requestFactory=request, timeout=IDLE_TIMEOUT_S, reactor=clock)
        # Twisted's own default, a channel that may speak HTTP/2, is set in the same way.
        vars(self)["protocol"] = OneTimeChannel

    def startFactory(self) -> None:
        """Called by Twisted; a log would need a clock that ticks each second."""

    def stopFactory(self) -> None:
        """Called by Twisted; see above."""

    def log(self, request: http.Request) -> None:
        """Called by Twisted; see above."""
