"""The web port: plain HTTP, for people, other tools, and whatever watches over the daemon."""

from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Site

from common.sites import QuietSite
from regiond.web.health import Check, Health
from regiond.web.streams import Find, Tree


def web_site(alive: Check, ready: Check, trees: Mapping[str, Find], clock: IReactorTime) -> Site:
    """Everything on the web port.

    Args:
        alive: for ``/healthz``.
        ready: for ``/readyz``.
        trees: of files, by the name of their root.
        clock: for time-outs.
    """
    root = Resource()
    root.putChild(b"healthz", Health(alive, clock))
    root.putChild(b"readyz", Health(ready, clock))
    for name, find in trees.items():
        root.putChild(name.encode("ascii"), Tree(find, clock))
    return QuietSite(root, clock)
