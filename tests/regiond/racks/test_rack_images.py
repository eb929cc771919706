"""The images port: blobs for racks over mutual TLS."""

import json
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers

from common.bucket import BURST_S
from common.digests import digest_list, sha256_hex
from common.throttle import Throttle
from common.tls import RackTLS, ServerTLS, UnverifiedTLS
from regiond.racks.images import ImagesSite, served_digests
from tests.doubles.trust import SERVER, FakeFleet, LoopbackTestCase, now, rack

_BLOB = bytes(range(256)) * 5000
_NAME = sha256_hex(_BLOB)


class ImagesTests(LoopbackTestCase):
    """Real requests."""

    async def asynchronous_set_up(self) -> None:
        self.rack = rack()
        self.fleet = FakeFleet(self.rack)
        self.fleet.blobs[_NAME] = served_digests(_NAME, _BLOB)
        self.fleet.digest_lists[_NAME] = digest_list([_BLOB[: 1 << 20], _BLOB[1 << 20 :]])
        tls = ServerTLS(SERVER, asks_certificate=True)
        self.port = await self.listen(
            ImagesSite(self.fleet, reactor, Throttle(lambda: None, reactor)), tls
        )

    async def get(
        self, path: str, method: bytes = b"GET", identity: Any = None, **headers: str
    ) -> tuple[int, Headers, bytes]:
        if not hasattr(self, "port"):
            await self.asynchronous_set_up()
        pool = HTTPConnectionPool(reactor, persistent=False)
        agent = Agent(reactor, RackTLS(identity or self.rack, now), pool=pool)
        uri = f"https://127.0.0.1:{self.port}{path}".encode()
        sent = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        response = await agent.request(method, uri, sent)
        return response.code, response.headers, await readBody(response)

    def code_of(self, body: bytes) -> str:
        return json.loads(body)["error"]["code"]

    async def test_blob(self) -> None:
        """A rack gets a blob of its view, whole or in part."""
        code, headers, body = await self.get(f"/blobs/{_NAME}")
        self.assertEqual((code, body), (200, _BLOB))
        self.assertEqual(headers.getRawHeaders("accept-ranges"), ["bytes"])
        code, headers, body = await self.get(f"/blobs/{_NAME}", range="bytes=1048570-")
        self.assertEqual((code, body), (206, _BLOB[1048570:]))
        self.assertEqual(
            headers.getRawHeaders("content-range"),
            [f"bytes 1048570-{len(_BLOB) - 1}/{len(_BLOB)}"],
        )

    async def test_head(self) -> None:
        """HEAD tells the size without the bytes."""
        code, headers, body = await self.get(f"/blobs/{_NAME}", b"HEAD")
        self.assertEqual((code, body), (200, b""))
        self.assertEqual(headers.getRawHeaders("content-length"), [str(len(_BLOB))])

    async def test_bad_range(self) -> None:
        """A malformed or unsatisfiable range is 416."""
        for header in ("bytes=9999999-", "bytes=5-1", "bytes=x-", "lines=1-2"):
            code, _, _ = await self.get(f"/blobs/{_NAME}", range=header)
            self.assertEqual(code, 416, header)

    async def test_digests(self) -> None:
        """The digest list of a blob, 32 bytes a chunk, ends in its name."""
        code, headers, body = await self.get(f"/blobs/{_NAME}/digests")
        self.assertEqual((code, len(body)), (200, 64))
        self.assertEqual(body[-32:].hex(), _NAME)
        self.assertEqual(headers.getRawHeaders("etag"), [f'"{_NAME}-digests"'])

    async def test_outside_the_view(self) -> None:
        """A blob outside the rack's view does not exist for it."""
        for path in (f"/blobs/{'0' * 64}", f"/blobs/{'0' * 64}/digests"):
            code, _, body = await self.get(path)
            self.assertEqual((code, self.code_of(body)), (404, "blob-unknown"))

    async def test_other_paths(self) -> None:
        """Anything but the two forms is refused."""
        for path in (
            "/",
            "/blobs/",
            f"/blobs/{_NAME.upper()}",
            f"/blobs/{_NAME}/",
            f"/blobs/{_NAME}?x=1",
            f"/blobs/../blobs/{_NAME}",
            f"//blobs/{_NAME}",
            f"/blobs/%2e%2e/{_NAME}",
        ):
            code, _, body = await self.get(path)
            self.assertEqual((code, self.code_of(body)), (400, "http-path"), path)

    async def test_other_methods(self) -> None:
        """Only GET and HEAD are answered."""
        for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS"):
            code, headers, _ = await self.get(f"/blobs/{_NAME}", method)
            self.assertEqual(code, 405)
            self.assertEqual(headers.getRawHeaders("allow"), ["GET, HEAD"])

    async def test_deleted_rack(self) -> None:
        """A deleted rack is refused with its next request."""
        await self.get(f"/blobs/{_NAME}")
        del self.fleet.racks[self.rack.serial]
        code, _, body = await self.get(f"/blobs/{_NAME}")
        self.assertEqual((code, self.code_of(body)), (403, "rack-unknown"))

    async def test_no_certificate(self) -> None:
        """Without a certificate not a byte is answered."""
        await self.asynchronous_set_up()
        heard: list[bytes] = []

        class Rude(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(f"GET /blobs/{_NAME} HTTP/1.1\r\n\r\n".encode())

            def dataReceived(self, data: bytes) -> None:
                heard.append(data)

            def connectionLost(self, reason: Any = None) -> None:
                over.callback(None)

        over: Deferred[None] = Deferred()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        await wrapClientTLS(UnverifiedTLS(), endpoint).connect(Factory.forProtocol(Rude))
        await over
        self.assertEqual(heard, [])


class _Reader(Protocol):
    """Counts what comes."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.over: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.size_bytes += len(data)

    def connectionLost(self, reason: object = None) -> None:
        self.over.callback(None)


class _Counted(Throttle):
    """Counts what each rack was allowed."""

    def __init__(self, limit: Callable[[], int | None]) -> None:
        super().__init__(limit, reactor)
        self.sent: Counter[Hashable] = Counter()

    async def allowed(self, most_bytes: int, group: Hashable) -> int:
        size_bytes = await super().allowed(most_bytes, group)
        self.sent[group] += size_bytes
        return size_bytes


class ManyRacksTests(LoopbackTestCase):
    """Twenty racks that were told at once."""

    async def test_twenty_racks_share_one_limit(self) -> None:
        """Together they get no more than the limit, and each its part of it."""
        limit = [0]
        throttle = _Counted(lambda: limit[0])
        racks = [rack(f"rack-{number}") for number in range(20)]
        fleet = FakeFleet(*racks)
        content = _BLOB[:150_000]
        fleet.blobs[_NAME] = served_digests(_NAME, content)
        tls = ServerTLS(SERVER, asks_certificate=True)
        port = await self.listen(ImagesSite(fleet, reactor, throttle), tls)
        uri = f"https://127.0.0.1:{port}/blobs/{_NAME}".encode()
        readers = []

        async def read(identity: Any) -> None:
            pool = HTTPConnectionPool(reactor, persistent=False)
            response = await Agent(reactor, RackTLS(identity, now), pool=pool).request(b"GET", uri)
            reader = _Reader()
            readers.append(reader)
            response.deliverBody(reader)
            await reader.over

        reading = [Deferred.fromCoroutine(read(each)) for each in racks]
        while len(throttle._groups) < len(racks):
            await deferLater(reactor, 0.01)
        limit[0] = 2_000_000
        began = reactor.seconds()
        await DeferredList(reading, fireOnOneCallback=True)
        least = min(throttle.sent[each.name] for each in racks)
        await gatherResults(reading)
        self.assertGreaterEqual(least, len(content) // 2)
        self.assertEqual({reader.size_bytes for reader in readers}, {len(content)})
        # The bucket may have been full at the beginning: BURST_S of it.
        moved_s = reactor.seconds() - began + BURST_S
        self.assertLessEqual(len(racks) * len(content) / moved_s, limit[0] * 1.05)
