"""Many transfers held to one limit: exact, on a clock; measured, over sockets."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import RackferryError, TransferError
from common.fetching import Limits
from common.throttle import PacedBody, Throttle
from tests.doubles.fetches import FetchCase
from tests.doubles.streams import Act, MemoryOrigin, MemorySink, some_bytes

READ_BYTES = 1 << 16


class Spring:
    """A body without end: brings a read as soon as nobody holds it."""

    def __init__(self, read_bytes: int = READ_BYTES) -> None:
        self._read = b"x" * read_bytes
        self.receiver: PacedBody | None = None
        self.is_paused = False
        self.brought = 0

    def deliver(self, receiver: PacedBody) -> None:  # type: ignore[override]  # only paced ones here
        self.receiver = receiver

    def pause(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    def resume(self) -> None:
        assert self.is_paused
        self.is_paused = False

    def abort(self) -> None:
        self.receiver = None

    def flow(self) -> None:
        if not self.is_paused and self.receiver is not None:
            self.brought += 1
            self.receiver.received(self._read)


class Counter:
    """A receiver that counts."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.ends: list[RackferryError | None] = []

    def received(self, piece: bytes) -> None:
        assert not self.ends
        self.size_bytes += len(piece)

    def ended(self, error: RackferryError | None) -> None:
        self.ends.append(error)


class ThrottleCase(SynchronousTestCase):
    """Springs and counters behind one throttle."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limit: int | None = 1_000_000
        self.throttle = Throttle(lambda: self.limit, self.clock)
        self.springs: list[Spring] = []
        self.counters: list[Counter] = []
        self.bodies: list[PacedBody] = []

    def begin(self, count: int, read_bytes: int = READ_BYTES) -> None:
        for _ in range(count):
            spring, counter = Spring(read_bytes), Counter()
            body = PacedBody(spring, self.throttle)  # type: ignore[arg-type]  # see Spring.deliver
            body.deliver(counter)
            self.springs.append(spring)
            self.counters.append(counter)
            self.bodies.append(body)

    def run_for(self, seconds: float, step_s: float = 0.01) -> int:
        """Let time pass; returns the bytes that moved in it."""
        before = self.moved
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            for _ in range(100):  # as a reactor does: one read of each in turn
                for spring in self.springs:
                    spring.flow()
                if all(spring.is_paused for spring in self.springs):
                    break
        return self.moved - before

    @property
    def moved(self) -> int:
        return sum(counter.size_bytes for counter in self.counters)


class RateTests(ThrottleCase):
    """The limit."""

    def test_one_two_and_four_together(self) -> None:
        """Within 5 % after 10 s, from 64 kbit/s to 10 Gbit/s, and shares alike."""
        for limit in (8_000, 1_000_000, 25_000_000, 1_250_000_000):
            for count in (1, 2, 4):
                self.setUp()
                self.limit = limit
                seconds = 12 if limit <= 1_000_000 else 3
                self.begin(count, max(READ_BYTES, limit // 1000))
                self.run_for(1)
                moved = self.run_for(seconds)
                self.assertApproximates(moved / seconds / limit, 1, 0.05, msg=(limit, count))
                shares = [counter.size_bytes for counter in self.counters]
                self.assertLess(max(shares) / min(shares), 1.3, (limit, count))

    def test_no_bursts(self) -> None:
        """Within no second more than about a second's bytes move, even after idleness."""
        self.clock.advance(3600)
        self.begin(4)
        for _ in range(20):
            self.assertLessEqual(self.run_for(1), 1_450_000)

    def test_changes_take_effect_within_a_second(self) -> None:
        """A limit, another, none, and nothing at all."""
        self.begin(2)
        self.run_for(5)
        self.limit = 100_000
        self.run_for(1)
        self.assertApproximates(self.run_for(10), 1_000_000, 50_000)
        self.limit = 0
        self.run_for(1)
        self.assertEqual(self.run_for(60), 0)
        self.assertTrue(self.throttle.is_blocked)
        self.limit = 1_000_000
        self.run_for(1)
        self.assertApproximates(self.run_for(10), 10_000_000, 500_000)
        self.assertFalse(self.throttle.is_blocked)
        self.limit = None
        self.run_for(1)
        self.assertGreater(self.run_for(1), 50_000_000)

    def test_without_a_limit_nothing_waits(self) -> None:
        """Bytes pass as they come, and no timer runs."""
        self.limit = None
        self.begin(1)
        self.springs[0].flow()
        self.assertEqual(self.moved, self.springs[0].brought * READ_BYTES)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_groups_have_equal_shares(self) -> None:
        """One with four senders gets as much as one with a single sender."""
        sent = {"many": 0, "one": 0}

        async def send(group: str) -> None:
            while True:
                taken = await self.throttle.allowed(READ_BYTES, group)
                sent[group] += taken

        sending = [Deferred.fromCoroutine(send(group)) for group in ("many",) * 4 + ("one",)]
        for _ in range(1000):
            self.clock.advance(0.01)
        self.assertApproximates(sum(sent.values()), 10_000_000, 500_000)
        self.assertApproximates(sent["many"] / sent["one"], 1, 0.1)
        for each in sending:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WithinTests(ThrottleCase):
    """Senders that cannot wait for long."""

    def test_whole_and_at_the_limit(self) -> None:
        """What the limit gives in time comes whole, and all of it together at the limit."""
        self.limit = 100_000
        began_s = self.clock.seconds()
        for _ in range(20):
            waiting = Deferred.fromCoroutine(self.throttle.allowed_within(2, 60_000, "a"))
            while not waiting.called:
                self.clock.advance(0.01)
            self.assertEqual(self.successResultOf(waiting), 60_000)
        rate = 20 * 60_000 / (self.clock.seconds() - began_s)
        self.assertLess(abs(rate - self.limit), 0.05 * self.limit)

    def test_in_time(self) -> None:
        """What would take too long is granted in part, or not at all; nobody waits on."""
        for self.limit in (10_000, 0):
            waiting = Deferred.fromCoroutine(self.throttle.allowed_within(2, 60_000, "a"))
            self.clock.pump([0.05] * 41)
            granted = self.successResultOf(waiting)
            self.assertLessEqual(abs(granted - 2 * self.limit), 0.3 * self.limit)
            self.assertEqual(self.clock.getDelayedCalls(), [])


class PacedBodyTests(ThrottleCase):
    """What is held back."""

    def test_the_end_comes_last(self) -> None:
        """The end of a body, or its breaking off, is told after the last held byte."""
        for error in (None, TransferError("cut", code="transfer-cut")):
            self.setUp()
            self.begin(1)
            self.bodies[0].received(b"x" * 1_000_000)
            self.bodies[0].ended(error)
            self.clock.pump([0.1] * 9)
            self.assertEqual(self.counters[0].ends, [])
            self.clock.pump([0.1] * 3)
            self.assertEqual((self.moved, self.counters[0].ends), (1_000_000, [error]))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pausing_costs_others_nothing(self) -> None:
        """The share of one whose receiver is full goes to the others."""
        self.begin(2)
        self.run_for(1)
        self.bodies[0].pause()
        before = self.counters[0].size_bytes
        self.assertApproximates(self.run_for(10), 10_000_000, 500_000)
        self.assertEqual(self.counters[0].size_bytes, before)
        self.bodies[0].resume()
        self.run_for(1)
        self.assertGreater(self.counters[0].size_bytes, before)

    def test_abort_forgets(self) -> None:
        """Nothing comes after an abort, and nothing is waited for."""
        self.begin(1)
        self.run_for(1)
        moved = self.moved
        self.bodies[0].abort()
        self.clock.pump([1] * 3)
        self.assertEqual((self.moved, self.clock.getDelayedCalls()), (moved, []))


class FetchTests(FetchCase):
    """A whole transfer behind throttles."""

    def test_a_pause_of_hours_is_no_stall(self) -> None:
        """What a limit of 0 holds back goes on afterwards, on the same connection."""
        limit: list[int | None] = [0]
        content = some_bytes(3_000_000)
        origin = MemoryOrigin(content)
        throttle = Throttle(lambda: limit[0], self.clock)
        fetching = self.start(
            origin, content=content, limits=Limits(stall_timeout_s=3), throttles=(throttle,)
        )
        self.clock.pump([1] * 3600)
        self.assertNoResult(fetching)
        self.assertEqual(len(origin.offsets), 1)
        limit[0] = 1_000_000
        self.clock.pump([0.1] * 50)
        self.successResultOf(fetching)
        self.assertEqual((self.sink.finished, origin.offsets), (content, [0]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slower_than_the_least_rate(self) -> None:
        """A limit below what counts as a stall stalls nothing."""
        content = some_bytes(9_000)
        throttle = Throttle(lambda: 100, self.clock)
        origin = MemoryOrigin(content)
        fetching = self.start(origin, content=content, throttles=(throttle,))
        self.clock.pump([0.2] * 5 * 95)
        self.successResultOf(fetching)
        self.assertEqual(origin.offsets, [0])

    def test_two_throttles(self) -> None:
        """The smaller of two limits is the one that is felt."""
        content = some_bytes(1_000_000)
        throttles = tuple(
            Throttle(lambda limit=limit: limit, self.clock)  # type: ignore[misc]  # a default
            for limit in (100_000, 400_000)
        )
        for order in (throttles, throttles[::-1]):
            self.sink = MemorySink()
            fetching = self.start(MemoryOrigin(content), content=content, throttles=order)
            self.clock.pump([0.05] * 20 * 9)
            self.assertNoResult(fetching)
            self.clock.pump([0.05] * 20 * 2)
            self.successResultOf(fetching)

    def test_silence_is_still_a_stall(self) -> None:
        """An origin that falls silent while nothing is held back is given up as ever."""
        content = some_bytes(3_000_000)
        origin = MemoryOrigin(content, [Act(stall_at=1_000_000)])
        throttle = Throttle(lambda: 10_000_000, self.clock)
        fetching = self.start(origin, content=content, throttles=(throttle,))
        self.clock.pump([0.1] * 20 + [20] * 10 + [0.1] * 20)
        self.successResultOf(fetching)
        self.assertEqual(origin.offsets, [0, 1_000_000])
