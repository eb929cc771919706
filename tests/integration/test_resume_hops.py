"""Both hops in one process, over bad lines: the real engine, sinks, database, disk and TLS.

Quicker than real daemons, and closer: every attempt starts with a new sink, as after a
restart, and the proxy's random cuts repeat with their seed.
"""

import random
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor as untyped_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.resource import Resource
from twisted.web.server import Site

from common.digests import CHUNK_BYTES, sha256_hex
from common.fetching import Limits, Sink, fetch
from common.images import File
from common.origins import HttpOrigin
from common.serving import answering, serve
from common.throttle import Throttle
from common.tls import RackTLS, ServerTLS
from common.transfer import Goal
from rackd.library import Library
from regiond.chunk_rows import ChunkRows
from regiond.racks.images import ImagesSite
from regiond.store import blobs, leases
from regiond.store.database import Database
from tests.doubles.fault_proxy import FaultProxy
from tests.doubles.images import digests_of, file_of
from tests.doubles.streams import MemorySource, goal_of, some_bytes
from tests.doubles.trust import SERVER, FakeFleet, LoopbackTestCase, now, rack

reactor: Any = untyped_reactor
CONTENT = some_bytes(12 * CHUNK_BYTES + 4321)
NAME = sha256_hex(CONTENT)
LIMITS = Limits(min_rate=1)
NOW = 1_800_000_000.0
SEEDS = range(4)
LOST_PER_CUT_BYTES = 4 * CHUNK_BYTES  # an unfinished chunk, and what sockets held


class Blob(Resource):
    """One source of bytes, whatever the path."""

    isLeaf = True

    def render(self, request: Any) -> int:
        return answering(request, serve(request, MemorySource(CONTENT), clock=reactor))


class Hop(LoopbackTestCase):
    """What both hops have: a line with faults, a directory, hash threads."""

    timeout = 110  # seconds; on a machine with much else to do
    agent: Any
    goal: Goal
    url: str

    async def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="rf-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.pool = HTTPConnectionPool(reactor)
        self.addCleanup(self.pool.closeCachedConnections)
        threads = ThreadPool(1, 3)
        threads.start()
        self.addCleanup(threads.stop)
        self.in_thread: Any = partial(deferToThreadPool, reactor, threads)

    async def line_to(self, port: int) -> int:
        self.proxy = FaultProxy(reactor, "127.0.0.1", port)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.proxy.stop()))
        return await self.proxy.start()

    async def new_sink(self) -> Sink:
        """A sink as a restarted daemon makes it."""
        raise AssertionError

    async def held(self) -> bytes:
        """What stands under the blob's name."""
        raise AssertionError

    async def forget(self) -> None:
        """Hold nothing again."""
        raise AssertionError

    async def attempt(self, stop_at: int | None = None, clock: Any = reactor) -> bool:
        """Fetch with a new sink, until the end or until about ``stop_at`` bytes are held."""
        sink = await self.new_sink()
        fetching: Deferred[None]

        def progress(held_bytes: int) -> None:
            if stop_at is not None and held_bytes >= stop_at:
                reactor.callLater(0, fetching.cancel)

        fetching = Deferred.fromCoroutine(
            fetch(
                self.goal,
                [HttpOrigin(self.agent, self.url)],
                sink,
                clock=clock,
                random=lambda: 0.01,
                hashing=self.in_thread,
                limits=LIMITS,
                progress=progress,
            )
        )
        try:
            await fetching
        except CancelledError:
            return False
        finally:
            if hasattr(sink, "close"):
                await sink.close()
        return True


class Promises:
    """What each hop promises."""

    async def test_cut_at_random_bytes(self: Any) -> None:
        """However often the line is cut, all arrives, and little of it twice."""
        for seed in SEEDS:
            self.proxy.random.seed(seed)
            self.proxy.set_for_new("down", cut_within=3 * CHUNK_BYTES)
            before, connections = self.proxy.counts["down"], self.proxy.connections
            self.assertTrue(await self.attempt(), f"seed {seed}")
            self.assertEqual(await self.held(), CONTENT, f"seed {seed}")
            again = self.proxy.counts["down"] - before - len(CONTENT)
            cuts = self.proxy.connections - connections
            self.assertGreater(cuts, 1, f"seed {seed}: nothing was cut")
            self.assertLess(again, cuts * LOST_PER_CUT_BYTES, f"seed {seed}")
            await self.forget()

    async def test_stopped_at_random_bytes(self: Any) -> None:
        """However often the fetch is stopped, a new one goes on, and nothing shows before the end."""
        self.proxy.set_for_new("down", rate=40 * CHUNK_BYTES)
        for seed in SEEDS:
            draw = random.Random(seed)
            before, stops = self.proxy.counts["down"], 0
            while not await self.attempt(draw.randrange(1, len(CONTENT))):
                stops += 1
                self.assertIn(await self.held(), {b"", CONTENT}, f"seed {seed}")
            self.assertEqual(await self.held(), CONTENT, f"seed {seed}")
            again = self.proxy.counts["down"] - before - len(CONTENT)
            self.assertLess(again, (stops + 1) * LOST_PER_CUT_BYTES, f"seed {seed}: {stops} stops")
            await self.forget()

    async def test_a_stalled_line_is_left(self: Any) -> None:
        """A connection that goes silent in the middle is given up for a new one."""
        self.proxy.set_for_new("down", stall_after=5 * CHUNK_BYTES)
        connections = self.on_connection(lambda: self.proxy.set_for_new("down"))
        clock = Clock()
        fetching = Deferred.fromCoroutine(self.attempt(clock=clock))
        while self.proxy.counts["down"] < 5 * CHUNK_BYTES:
            await deferLater(reactor, 0.01)
        while connections() < 2:
            clock.advance(1.0)
            await deferLater(reactor, 0.0)
        self.assertTrue(await fetching)
        self.assertEqual((await self.held(), connections()), (CONTENT, 2))

    async def test_a_wrong_byte_never_arrives(self: Any) -> None:
        """A byte that changes on the way is noticed, fetched anew, and nowhere to be seen."""
        self.proxy.set_for_new("down", corrupt_at=5 * CHUNK_BYTES)
        connections = self.on_connection(lambda: self.proxy.set_for_new("down"))
        self.assertTrue(await self.attempt())
        self.assertEqual(await self.held(), CONTENT)
        # TLS breaks off at the byte; without it, only the whole blob's name tells.
        begun_anew = self.proxy.counts["down"] // len(CONTENT)
        self.assertEqual(max(connections(), begun_anew), 2)

    async def test_late_and_slow(self: Any) -> None:
        """A long and narrow line delivers everything once."""
        self.proxy.set_for_new("up", delay_s=0.05)
        self.proxy.set_for_new("down", rate=20 * CHUNK_BYTES)
        self.assertTrue(await self.attempt())
        self.assertEqual((await self.held(), self.proxy.connections), (CONTENT, 1))

    def on_connection(self: Any, mend: Any) -> Any:
        """Mend the line for the connections after the next; gives how many there were."""
        before = self.proxy.connections

        async def watch() -> None:
            while self.proxy.connections == before or not self.proxy.counts["down"]:
                pause: Deferred[None] = Deferred()
                reactor.callLater(0.002, pause.callback, None)
                await pause
            mend()

        watching = Deferred.fromCoroutine(watch())
        watching.addErrback(lambda failure: failure.trap(CancelledError) and None)
        self.addCleanup(watching.cancel)
        return lambda: self.proxy.connections - before


class SourceToRegionTests(Promises, Hop):
    """HTTP into the rows of a real database."""

    async def setUp(self) -> None:
        await super().setUp()
        port = reactor.listenTCP(0, Site(Blob()), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{await self.line_to(port.getHost().port)}/blob"
        self.agent = Agent(reactor, pool=self.pool)
        self.goal = goal_of(CONTENT, with_digests=False)
        self.database = Database(f"sqlite:///{self.directory / 'regiond.db'}", reactor)
        await self.database.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.database.close()))

    async def new_sink(self) -> Sink:
        write = self.database.write
        self.epoch = await write(leases.acquire, "import", "region-1", NOW, 3600.0)
        return ChunkRows(self.database, self.in_thread, NAME, len(CONTENT), self.epoch or 0)

    async def held(self) -> bytes:
        blob = await self.database.read(blobs.find_blob, NAME)
        if blob is None or not blob.is_complete:
            return b""
        read = self.database.read
        return b"".join(
            [await read(blobs.read_chunk, blob.id, seq) for seq in range(blob.held_chunks)]
        )

    async def forget(self) -> None:
        def nothing(conn: Any) -> None:
            for table in ("chunk", "blob"):
                conn.exec_driver_sql(f"DELETE FROM {table}")

        await self.database.write(nothing)


class RegionToRackTests(Promises, Hop):
    """Mutual TLS into a partial file on a real disk."""

    async def setUp(self) -> None:
        await super().setUp()
        identity = rack()
        fleet = FakeFleet(identity)
        fleet.blobs[NAME] = MemorySource(CONTENT)
        tls = ServerTLS(SERVER, asks_certificate=True)
        port = await self.listen(ImagesSite(fleet, reactor, Throttle(lambda: None, reactor)), tls)
        self.url = f"https://127.0.0.1:{await self.line_to(port)}/blobs/{NAME}"
        self.agent = Agent(reactor, RackTLS(identity, now), pool=self.pool)
        self.goal = goal_of(CONTENT)
        self.file: File = file_of("squashfs", CONTENT)
        self.library = Library(
            self.directory / "images", on_disk=self.in_thread, on_sync=self.in_thread
        )
        self.library.open()
        self.addCleanup(self.library.close)

    async def new_sink(self) -> Sink:
        return self.library.sink(self.file, digests_of(CONTENT))

    async def held(self) -> bytes:
        finished = self.library.cache / NAME
        return finished.read_bytes() if finished.exists() else b""

    async def forget(self) -> None:
        (self.library.cache / NAME).unlink()
