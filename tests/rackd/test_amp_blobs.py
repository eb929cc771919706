"""Blobs through the control port: the whole way over real TLS."""

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.digests import CHUNK_BYTES, sha256_hex
from common.errors import NotFound, Refused
from common.fetching import Limits, fetch
from common.reassembly import WINDOW
from common.throttle import Throttle
from rackd.amp_blobs import AmpBlobs
from rackd.blobs import AMONG_OTHERS
from rackd.region_client import RegionClient
from regiond import pieces
from regiond.racks.sessions import MOST_WAIT_S
from tests.doubles.directories import fresh_directory
from tests.doubles.disks import at_once
from tests.doubles.images import digests_of
from tests.doubles.streams import MemorySink, MemorySource, goal_of, inline, some_bytes
from tests.doubles.tls_regions import Region
from tests.doubles.trust import FakeFleet, LoopbackTestCase, eventually, rack

CONTENT = some_bytes(3 * CHUNK_BYTES + 4321)
NAME = sha256_hex(CONTENT)
LIMITS = Limits(stall_timeout_s=30.0, head_timeout_s=30.0)


class Source(MemorySource):
    """Remembers which chunks were read; ``before`` is called at each."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.read: list[int] = []
        self.before: Callable[[], None] = lambda: None

    async def read_chunk(self, seq: int) -> bytes:
        self.read.append(seq)
        self.before()
        return await super().read_chunk(seq)


class WholeWayTests(LoopbackTestCase):
    """A rack's client, a region's sessions, the transfer engine."""

    async def setUp(self) -> None:
        self.identity = rack()
        self.fleet = FakeFleet(self.identity)
        self.source = Source(CONTENT)
        self.fleet.blobs[NAME] = self.source
        self.fleet.digest_lists[NAME] = digests_of(CONTENT)
        self.region = await Region(self, "region-1", self.fleet).start()
        self.client = RegionClient(
            reactor,
            self.identity,
            [self.region.address],
            fresh_directory(self),
            random=lambda: 0.01,
            on_disk=at_once,
        )
        self.client.startService()
        self.addCleanup(self.client.stopService)
        self.sink = MemorySink()

    async def fetch(self, content: bytes = CONTENT, *, of_digests: bool = False) -> bytes | None:
        await fetch(
            goal_of(content),
            AmpBlobs(self.client).origins(NAME, len(content), of_digests=of_digests),
            self.sink,
            clock=reactor,
            random=lambda: 0.01,
            hashing=inline,
            limits=LIMITS,
            progress=lambda _: None,
        )
        return self.sink.finished

    async def test_whole(self) -> None:
        """A blob arrives whole, begun before there is a connection."""
        self.assertEqual(await self.fetch(), CONTENT)

    async def test_digest_list(self) -> None:
        """So does its digest list."""
        listed = digests_of(CONTENT)
        self.assertEqual(await self.fetch(listed, of_digests=True), listed)

    async def test_resumed(self) -> None:
        """What is held is not asked for again."""
        self.sink = MemorySink(CONTENT[: 2 * CHUNK_BYTES])
        self.assertEqual(await self.fetch(), CONTENT)
        self.assertEqual(set(self.source.read), {2, 3})

    async def test_connection_lost_on_the_way(self) -> None:
        """A new connection goes on where the lost one was."""
        drops: list[int] = []

        def drop() -> None:
            if self.source.read[-1] == 2 and not drops:
                drops.append(len(self.source.read))
                reactor.callLater(0, self.region.sessions.drop, self.identity.serial)

        self.source.before = drop
        self.assertEqual(await self.fetch(), CONTENT)
        self.assertEqual(len(drops), 1)
        self.assertNotIn(0, self.source.read[drops[0] :])

    async def test_outside_the_view(self) -> None:
        """What the rack may not have is not found, and not asked for again and again."""
        self.fleet.blobs.clear()
        with self.assertRaises(NotFound):
            await self.fetch()

    async def test_deleted_on_the_way(self) -> None:
        """A rack that is deleted gets not one more piece."""
        self.patch(pieces, "OPEN_S", 0.0)
        given: list[int] = []

        def delete() -> None:
            if len(self.source.read) == 5:
                self.fleet.racks.clear()
                given.append(len(self.source.read))

        self.source.before = delete
        with self.assertRaises(Refused):
            await self.fetch()
        self.assertLessEqual(len(self.source.read), given[0] + WINDOW)

    async def test_stops_on_the_way(self) -> None:
        """Cancelling leaves nothing that still reads, and the connection stays."""
        fetching: list[Deferred[Any]] = []
        self.source.before = lambda: reactor.callLater(0, fetching[0].cancel)
        fetching.append(Deferred.fromCoroutine(self.fetch()))
        fetching[0].addErrback(lambda _: None)
        await fetching[0]
        self.source.before = lambda: None
        self.assertEqual(await self.client.current_view(""), self.fleet.view)
        before = len(self.source.read)
        await eventually(reactor, lambda: len(self.source.read) == before)


class LimitedRegion:
    """A region that holds a rack to a limit, as its sessions do; see ``rackd.amp_blobs.Reader``."""

    has_others = True

    def __init__(self, clock: Clock, limit_bytes_s: int) -> None:
        self._throttle = Throttle(lambda: limit_bytes_s, clock)
        self._turns = DeferredSemaphore(WINDOW)

    async def connected(self) -> None:
        pass

    async def read_blob(
        self, _: str, *, of_digests: bool, offset: int, length: int
    ) -> tuple[bytes, int]:
        assert not of_digests
        await self._turns.acquire()
        try:
            allowed = await self._throttle.allowed_within(MOST_WAIT_S, length, "rack-1")
        finally:
            self._turns.release()
        return CONTENT[offset : offset + allowed], len(CONTENT)


class LimitedTests(SynchronousTestCase):
    """Two files at once, from a region that allows little; another region is known."""

    def test_slow_is_not_stalled(self) -> None:
        """However little a region allows, its answers show that it lives: nothing is given up."""
        for limit_bytes_s, held_chunks in ((300, 3), (5_000, 2), (40_000, 0)):
            clock = Clock()
            blobs = AmpBlobs(LimitedRegion(clock, limit_bytes_s))
            sinks = [MemorySink(CONTENT[: held_chunks * CHUNK_BYTES]) for _ in range(2)]
            failures: list[str] = []
            fetching = [
                Deferred.fromCoroutine(
                    fetch(
                        goal_of(CONTENT),
                        blobs.origins(NAME, len(CONTENT), of_digests=False),
                        sink,
                        clock=clock,
                        random=lambda: 0.5,
                        hashing=inline,
                        limits=AMONG_OTHERS,
                        progress=lambda _: None,
                        failed=failures.append,
                    )
                )
                for sink in sinks
            ]
            needed_s = 2 * (len(CONTENT) - held_chunks * CHUNK_BYTES) / limit_bytes_s
            clock.pump([0.1] * int(10 * needed_s + 100))
            for each in fetching:
                self.successResultOf(each)
            self.assertEqual(failures, [])
            self.assertEqual([sink.finished for sink in sinks], [CONTENT] * 2)
