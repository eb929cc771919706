"""Regions on loopback, over real TLS: sessions and image bytes before a fleet in memory."""

from twisted.internet import reactor

from common.identity import Identity
from common.regions import RegionEndpoint
from common.throttle import Throttle
from common.tls import ServerTLS
from regiond.racks.images import ImagesSite
from regiond.racks.sessions import Sessions
from tests.doubles.trust import SERVER, FakeFleet, LoopbackTestCase


class Region:
    """A region on loopback."""

    def __init__(self, test: LoopbackTestCase, name: str, fleet: FakeFleet) -> None:
        self.test, self.name, self.fleet = test, name, fleet
        self.others: list[Region] = []
        self.rpc_port = self.images_port = 0

    async def start(self, identity: Identity = SERVER) -> "Region":
        tls = ServerTLS(identity, asks_certificate=True)
        throttle = Throttle(lambda: None, reactor)
        self.sessions = Sessions(
            self.fleet, self.endpoints, self.name, "1", reactor, throttle=throttle
        )
        self.rpc_port = await self.test.listen(self.sessions, tls)
        self.images_port = await self.test.listen(ImagesSite(self.fleet, reactor, throttle), tls)
        return self

    @property
    def endpoint(self) -> RegionEndpoint:
        return RegionEndpoint(self.name, ("127.0.0.1",), self.rpc_port, self.images_port)

    def endpoints(self) -> list[RegionEndpoint]:
        return [self.endpoint, *(other.endpoint for other in self.others)]

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.rpc_port)
