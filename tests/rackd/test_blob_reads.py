"""The window of one connection: how much is on its way, and when it is given up."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase

from common.commands import Ping, ReadBlob
from common.conversation import Conversation, pong
from common.errors import NotFound, TimedOut
from common.reassembly import WINDOW
from rackd.blob_reads import BlobReads

LIMIT_S = 3.0


class Line(SynchronousTestCase):
    """A rack and a region in memory; the region answers what the test lets it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[str] = []
        self.holding: list[Deferred[dict[str, Any]]] = []
        self.rack, _, self.pump = iosim.connectedServerAndClient(
            lambda: Conversation({Ping: pong, ReadBlob: self.answer}, self.clock),
            lambda: Conversation({}, self.clock),
        )
        self.rack, self.region = self.pump.client, self.pump.server
        self.reads = BlobReads(self.rack, self.clock, LIMIT_S)

    async def answer(self, sha256: str, offset: int, length: int, **_: Any) -> dict[str, Any]:
        self.asked.append(sha256)
        self.last = (offset, length)
        held: Deferred[dict[str, Any]] = Deferred()
        self.holding.append(held)
        return await held

    def read(self, name: str) -> "Deferred[tuple[bytes, int]]":
        reading = self.reads.read(name, of_digests=False, offset=0, length=4)
        return Deferred.fromCoroutine(reading)

    def give(self, piece: bytes = b"four") -> None:
        """Let the region answer the oldest question."""
        self.holding.pop(0).callback({"piece": piece, "size_bytes": 9})
        self.pump.flush()


class WindowTests(Line):
    """Taking turns."""

    def test_a_piece(self) -> None:
        """The piece and the size of the whole arrive; so does a refusal."""
        first, second = self.read("a"), self.read("b")
        self.pump.flush()
        self.give()
        self.assertEqual(self.successResultOf(first), (b"four", 9))
        self.holding.pop(0).errback(NotFound("none"))
        self.pump.flush()
        self.failureResultOf(second, NotFound)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_short_piece(self) -> None:
        """What a region's limit lets through is given on as it is: asking on is for the reader."""
        for part in (b"", b"ab"):
            reading = self.read("a")
            self.pump.flush()
            self.give(part)
            self.assertEqual(self.successResultOf(reading), (part, 9))

    def test_few_on_their_way(self) -> None:
        """However much is wanted, a window of pieces is on its way, so a ping waits for no more."""
        results: list[Any] = []
        readings = [self.read("a") for _ in range(5 * WINDOW)]
        for reading in readings:
            reading.addBoth(results.append)
        self.pump.flush()
        self.assertEqual(len(self.asked), WINDOW)
        pinging = Deferred.fromCoroutine(self.rack.call(Ping))
        self.pump.flush()
        self.assertEqual((self.successResultOf(pinging), results), ({}, []))
        while self.holding:
            self.give()
        self.assertEqual(len(results), 5 * WINDOW)

    def test_evenly_shared(self) -> None:
        """Two transfers that want as much as they can get each get every other piece."""
        left = {"a": 60, "b": 60}

        def again(_: Any, name: str) -> None:
            left[name] -= 1
            if left[name] >= WINDOW:
                self.read(name).addCallback(again, name)

        for name in left:
            for _ in range(WINDOW):
                self.read(name).addCallback(again, name)
        self.pump.flush()
        while self.holding:
            self.give()
            self.assertLessEqual(abs(left["a"] - left["b"]), WINDOW)
        self.assertEqual(left, {"a": 0, "b": 0})


class SilenceTests(Line):
    """A region that is gone without a word."""

    def test_silence(self) -> None:
        """The connection is ended when nothing comes, and every read fails with the reason."""
        readings = [self.read("a") for _ in range(2 * WINDOW)]
        self.pump.flush()
        self.clock.advance(LIMIT_S - 0.1)
        self.pump.flush()
        self.assertFalse(self.rack.is_lost)
        self.clock.advance(0.2)
        self.pump.flush()
        self.assertTrue(self.rack.is_lost)
        for reading in readings:
            error = self.failureResultOf(reading, TimedOut).value
            self.assertEqual(error.code, "peer-silent")

    def test_slow_is_not_silent(self) -> None:
        """As long as anything comes at all, the connection stays."""
        reading = self.read("a")
        for _ in range(5):
            self.pump.flush()
            self.clock.advance(LIMIT_S - 0.1)
            pinging = Deferred.fromCoroutine(self.rack.call(Ping))
            self.pump.flush()
            self.successResultOf(pinging)
        self.assertFalse(self.rack.is_lost)
        self.give()
        self.successResultOf(reading)

    def test_idle_is_not_silent(self) -> None:
        """Nothing is expected of a region that nothing was asked of."""
        reading = self.read("a")
        self.pump.flush()
        self.give()
        self.successResultOf(reading)
        self.clock.advance(10 * LIMIT_S)
        self.assertFalse(self.rack.is_lost)
        reading = self.read("a")
        self.pump.flush()
        self.clock.advance(LIMIT_S - 0.1)
        self.assertFalse(self.rack.is_lost)
        self.give()
        self.successResultOf(reading)
