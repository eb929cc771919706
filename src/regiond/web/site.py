"""The web port: plain HTTP, for people and for whatever watches over the daemon."""

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Site

from regiond.web.health import Check, Health

IDLE_TIMEOUT_S = 60.0


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
    site = Site(root, timeout=IDLE_TIMEOUT_S, reactor=clock)
    site.noisy = False
    return site
