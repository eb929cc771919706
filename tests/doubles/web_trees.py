"""Trees of the web port over real HTTP, above a region that imports."""

from collections.abc import Mapping

import attrs
import treq
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.web.client import Agent

from regiond.chunk_cache import ChunkCache
from regiond.mirror import Mirror
from regiond.web.site import web_site
from regiond.web.streams import Find
from tests.doubles.importing import ImportCase


@attrs.frozen
class Answer:
    """What was answered; headers by lower-case name."""

    code: int
    body: bytes
    headers: Mapping[str, str]


async def well() -> None:
    """A check that is content."""


class WebTreeCase(ImportCase):
    """An ``ImportCase`` whose database is shown on a web port.

    Attributes:
        cache: of the chunks that are served.
    """

    async def setUp(self) -> None:
        await super().setUp()
        self.cache = ChunkCache(self.database.read_chunk)
        self.mirror = Mirror(self.database, self.cache, lambda: self.time)
        site = web_site(well, well, self.trees(), reactor, throttle=self.throttle_limits.racks)
        self.web = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.web_url = f"http://127.0.0.1:{self.web.getHost().port}/"
        self.http = treq.client.HTTPClient(Agent(reactor))
        self.addCleanup(self.close_web)

    def trees(self) -> Mapping[str, Find]:
        """What is shown."""
        return {"mirror": self.mirror.find}

    async def close_web(self) -> None:
        await deferLater(reactor, 0.01)  # connections close a turn later
        await self.web.stopListening()

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for a path; headers by their names in lower case, "_" for "-"."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.http.request(method, self.web_url + path, headers=sent)
        got = {
            name.decode().lower(): values[0].decode()
            for name, values in response.headers.getAllRawHeaders()
        }
        return Answer(response.code, await response.content(), got)
