"""Bytes over real sockets: the HTTP origin, the engine and the serving end together."""

from functools import partial
from typing import Any

from twisted.internet import reactor as untyped_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import Site

from common.digests import CHUNK_BYTES
from common.errors import SourceError, StorageError, TransferError
from common.fetching import Limits, fetch
from common.origins import HttpOrigin
from common.redirects import source_agent
from common.serving import answering, serve
from tests.doubles.fault_proxy import FaultProxy
from tests.doubles.streams import MemorySink, MemorySource, goal_of, some_bytes

reactor: Any = untyped_reactor
CONTENT = some_bytes(6 * CHUNK_BYTES + 4321)
LIMITS = Limits(min_rate=1, max_attempts=4)


class Blobs(Resource):
    """``/blob`` is a source; ``/to?URL`` redirects; anything else is 404."""

    isLeaf = True

    def __init__(self, source: MemorySource) -> None:
        super().__init__()
        self.source = source
        self.headers: list[Headers] = []

    def render(self, request: Any) -> Any:
        self.headers.append(request.requestHeaders.copy())
        path, _, target = request.uri.partition(b"?")
        if path == b"/to":
            request.setResponseCode(302)
            request.setHeader(b"location", target or request.uri)
            return b"elsewhere"
        if path != b"/blob":
            request.setResponseCode(404)
            return b"no"
        return answering(request, serve(request, self.source, clock=reactor))


class NetCase(TestCase):
    """A server on loopback, a fault proxy before it, an agent."""

    timeout = 30

    async def setUp(self) -> None:
        # Closed last: a connection may come back to its pool as late as when the line ends.
        self.pools = [HTTPConnectionPool(reactor), HTTPConnectionPool(reactor)]
        for pool in self.pools:
            self.addCleanup(pool.closeCachedConnections)
        self.source = MemorySource(CONTENT)
        self.blobs = Blobs(self.source)
        self.port = reactor.listenTCP(0, Site(self.blobs), interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.proxy = FaultProxy(reactor, "127.0.0.1", self.port.getHost().port, seed=1)
        await self.proxy.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.proxy.stop()))
        self.agent = Agent(reactor, connectTimeout=2.0, pool=self.pools[0])
        self.threads = ThreadPool(1, 1)
        self.threads.start()
        self.addCleanup(self.threads.stop)
        self.sink = MemorySink()

    def url(self, path: str = "/blob", *, proxy: bool = True) -> str:
        port = self.proxy.port if proxy else self.port.getHost().port
        return f"http://127.0.0.1:{port}{path}"

    def start(
        self,
        *urls: str,
        agent: Any = None,
        limits: Limits = LIMITS,
        clock: Any = reactor,
        **options: Any,
    ) -> Deferred[None]:
        origins = [HttpOrigin(agent or self.agent, url) for url in urls or (self.url(),)]
        return Deferred.fromCoroutine(
            fetch(
                goal_of(CONTENT, **options),
                origins,
                self.sink,
                clock=clock,
                random=lambda: 0.01,
                hashing=partial(deferToThreadPool, reactor, self.threads),
                limits=limits,
                progress=lambda _: None,
            )
        )

    async def failure(self, fetching: Deferred[None], family: type[Exception]) -> Any:
        return await self.assertFailure(fetching, family)


class FetchTests(NetCase):
    """Fetching through a line with faults."""

    async def test_everything_arrives_over_one_connection(self) -> None:
        """Two blobs in a row use one connection: bodies are read to their end."""
        await self.start()
        self.assertEqual(self.sink.finished, CONTENT)
        self.sink = MemorySink()
        await self.start(with_digests=False)
        self.assertEqual(self.proxy.connections, 1)
        self.assertFalse(self.blobs.headers[0].hasHeader("accept-encoding"))
        self.assertFalse(self.blobs.headers[0].hasHeader("range"))

    async def test_cuts_at_random_bytes(self) -> None:
        """However often the line breaks, every byte arrives, and few arrive twice."""
        self.proxy.set("down", cut_within=2 * CHUNK_BYTES)
        await self.start()
        self.assertEqual(self.sink.finished, CONTENT)
        self.assertGreater(self.proxy.connections, 3)
        self.assertLess(self.proxy.counts["down"], len(CONTENT) + 2 * CHUNK_BYTES)

    async def test_a_stall_is_cut_and_gone_on_with(self) -> None:
        """A line that falls silent is dropped after the window; the next one goes on."""
        self.proxy.set("down", stall_after=3 * CHUNK_BYTES)
        clock = Clock()
        fetching = self.start(clock=clock)
        while len(self.sink.held) < 2 * CHUNK_BYTES:
            await deferLater(reactor, 0.01)
        self.proxy.set_for_new("down")
        while self.proxy.connections < 2:
            clock.advance(1.0)
            await deferLater(reactor, 0.0)
        await fetching
        self.assertEqual(self.sink.finished, CONTENT)
        self.assertEqual(self.proxy.connections, 2)
        self.assertEqual(self.sink.restarts, 0)

    async def test_a_line_that_stays_silent(self) -> None:
        """After the last attempt the stall is the error."""
        self.proxy.set("down", stall_after=100)
        limits = Limits(head_timeout_s=0.3, max_attempts=2)
        error = await self.failure(self.start(limits=limits), TransferError)
        self.assertEqual(error.code, "transfer-stalled")
        self.assertIsNone(self.sink.finished)

    async def test_a_corrupt_byte(self) -> None:
        """The damaged chunk is not written; it is fetched again."""
        self.proxy.set("down", corrupt_at=2 * CHUNK_BYTES)
        await self.start()
        self.assertEqual(self.sink.finished, CONTENT)

    async def test_the_server_fails_in_the_middle(self) -> None:
        """A read that fails at the server is a cut here, never a short success."""
        self.source.errors[4] = StorageError("disk error")
        error = await self.failure(self.start(), TransferError)
        self.assertIn(error.code, {"transfer-cut", "transfer-http-500"})
        self.assertIsNone(self.sink.finished)
        self.assertTrue(CONTENT.startswith(self.sink.held))

    async def test_nobody_listens(self) -> None:
        """The error names the address and says that it could not be reached."""
        await self.proxy.stop()
        error = await self.failure(self.start(), TransferError)
        self.assertEqual(error.code, "transfer-connect")
        self.assertIn(self.url(), error.message)

    async def test_garbage_instead_of_http(self) -> None:
        """A server that speaks something else is a failed attempt, not a bug."""

        class Garbage(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"220 mail.example ESMTP\r\n\r\n")
                self.transport.loseConnection()

        port = reactor.listenTCP(0, Factory.forProtocol(Garbage), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/"
        error = await self.failure(self.start(url), TransferError)
        self.assertEqual(error.code, "transfer-cut")

    async def test_goes_on_at_the_second_address(self) -> None:
        """When the first origin dies in the middle the second one brings the rest."""
        self.proxy.set("down", cut_after=3 * CHUNK_BYTES)
        await self.start(self.url(), self.url(proxy=False))
        self.assertEqual(self.sink.finished, CONTENT)
        self.assertEqual(self.proxy.connections, 1)

    async def test_cancelling_drops_the_connection(self) -> None:
        """The socket is closed at once and the sink keeps what it has."""
        self.proxy.set("down", stall_after=2 * CHUNK_BYTES + 5000)
        fetching = self.start()
        while len(self.sink.held) < 2 * CHUNK_BYTES:
            await deferLater(reactor, 0.01)
        fetching.cancel()
        await self.failure(fetching, CancelledError)
        while self.proxy.open_connections:
            await deferLater(reactor, 0.01)
        self.assertEqual(self.sink.held, CONTENT[: 2 * CHUNK_BYTES])

    async def test_cancelling_is_never_taken_for_a_failure(self) -> None:
        """While it connects, while it waits for the head: cancelled is cancelled."""
        self.proxy.set("down", stall_after=50)
        for delay_s in (0.0, 0.1):
            fetching = self.start()
            await deferLater(reactor, delay_s)
            fetching.cancel()
            await self.failure(fetching, CancelledError)

    async def test_a_slow_sink_stops_the_server(self) -> None:
        """Bytes that nobody takes stay at the server: memory does not grow with the blob."""
        content = some_bytes(48 * CHUNK_BYTES)
        self.source.__init__(content)  # type: ignore[misc] # a larger source behind the same site
        self.sink.gate = Deferred()
        goal = goal_of(content)
        fetching = Deferred.fromCoroutine(
            fetch(
                goal,
                [HttpOrigin(self.agent, self.url(proxy=False))],
                self.sink,
                clock=reactor,
                random=lambda: 0.01,
                hashing=partial(deferToThreadPool, reactor, self.threads),
                limits=LIMITS,
                progress=lambda _: None,
            )
        )
        seen = -1
        while seen != len(self.source.reads):
            seen = len(self.source.reads)
            await deferLater(reactor, 0.3)
        self.assertLess(seen, 32)  # 12 in the engine, the rest in the kernel's buffers
        gate, self.sink.gate = self.sink.gate, None
        gate.callback(None)
        await fetching
        self.assertEqual(self.sink.finished, content)


class RedirectTests(NetCase):
    """Redirects over real sockets."""

    def agent_of_sources(self) -> Any:
        return source_agent(
            reactor,
            self.pools[0],
            self.pools[1],
            tls=BrowserLikePolicyForHTTPS(),
            connect_timeout_s=2.0,
        )

    async def test_the_typed_host_may_be_private_and_redirect_to_itself(self) -> None:
        """Loopback is fine if an admin typed it, with the range along the way."""
        self.sink = MemorySink(CONTENT[:CHUNK_BYTES])
        await self.start(self.url("/to?/blob"), agent=self.agent_of_sources())
        self.assertEqual(self.sink.finished, CONTENT)
        self.assertTrue(self.blobs.headers[-1].hasHeader("range"))

    async def test_a_redirect_to_a_private_host_is_refused(self) -> None:
        """A name or an address that leads to this machine is not connected to."""
        port = self.port.getHost().port
        for host in ("localhost", "127.0.0.2", "[::1]"):
            url = self.url(f"/to?http://{host}:{port}/blob")
            asked = len(self.blobs.headers)
            error = await self.failure(self.start(url, agent=self.agent_of_sources()), SourceError)
            self.assertEqual(error.code, "source-redirect-private")
            self.assertEqual(len(self.blobs.headers), asked + 1)

    async def test_a_loop_ends(self) -> None:
        """A redirect to itself is refused after three."""
        url = self.url("/to?")
        error = await self.failure(self.start(url, agent=self.agent_of_sources()), SourceError)
        self.assertEqual(error.code, "source-redirect-loop")
        self.assertEqual(len(self.blobs.headers), 4)
