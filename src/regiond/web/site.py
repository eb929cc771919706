"""The web port: plain HTTP, for people, other tools, and whatever watches over the daemon."""

from collections.abc import Mapping
from types import MappingProxyType

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from common.health import Check, Health
from common.sites import QuietSite
from common.throttle import Throttle
from regiond.web.people import FormRequest
from regiond.web.streams import Find, Tree


def web_site(
    alive: Check,
    ready: Check,
    trees: Mapping[str, Find],
    clock: IReactorTime,
    children: Mapping[str, IResource] = MappingProxyType({}),
    *,
    throttle: Throttle,
) -> Site:
    """Everything on the web port.

    Args:
        alive: for ``/healthz``.
        ready: for ``/readyz``.
        trees: of files, by the name of their root.
        clock: for time-outs.
        children: whatever else there is, by the first part of its path.
        throttle: holds back what goes out from the trees.
    """
    root = _Root(children.get(""))
    root.putChild(b"healthz", Health(alive, clock))
    root.putChild(b"readyz", Health(ready, clock))
    for name, find in trees.items():
        root.putChild(name.encode("ascii"), Tree(find, clock, throttle))
    for name, child in children.items():
        root.putChild(name.encode("ascii"), child)
    return QuietSite(root, clock, FormRequest)


class _Root(Resource):
    """The first part of every path. What is none of ours is for the people who typed it."""

    def __init__(self, people: IResource | None) -> None:
        super().__init__()
        self._people = people

    def getChild(self, path: bytes, request: Request) -> IResource:
        """Called by Twisted."""
        found: IResource = self._people or super().getChild(path, request)
        return found
