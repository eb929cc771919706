"""The web port: plain HTTP, for people and for whatever watches over the daemon."""

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Site

from common.sites import QuietSite
from regiond.web.health import Check, Health


def web_site(alive: Check, ready: Check, clock: IReactorTime) -> Site:
    """Everything on the web port.

    Args:
        alive: for ``/healthz``.
        ready: for ``/readyz``.
        clock: for time-outs.
    """
    root = Resource()
    root.putChild(b"healthz", Health(alive, clock))
    root.putChild(b"readyz", Health(ready, clock))
    return QuietSite(root, clock)
