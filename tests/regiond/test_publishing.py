"""Images that are ready at about the same time are published together."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Stale
from regiond.publishing import PAUSE_S, Publishing


class PublishingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.batches: list[list[str]] = []
        self.ending: Deferred[None] | None = None
        self.publishing = Publishing(self.publish, self.clock)
        self.running = Deferred.fromCoroutine(self.publishing.run())

    async def publish(self, batch: list[str]) -> None:
        self.batches.append(batch)
        if self.ending is not None:
            await self.ending

    def add(self, *names: str) -> None:
        for name in names:
            self.publishing.add(name)

    def test_the_first_is_published_at_once(self) -> None:
        """Nobody waits for what may never come."""
        self.add("a")
        self.assertEqual(self.batches, [["a"]])

    def test_those_that_follow_shortly_after_wait_for_each_other(self) -> None:
        """No longer than the pause, and then all of them are published together."""
        self.add("a", "b", "c")
        self.clock.advance(PAUSE_S - 0.01)
        self.assertEqual(self.batches, [["a"]])
        self.clock.advance(0.01)
        self.assertEqual(self.batches, [["a"], ["b", "c"]])
        self.clock.advance(10 * PAUSE_S)
        self.add("d")
        self.assertEqual(self.batches[2:], [["d"]])

    def test_what_comes_during_a_publish_goes_with_the_next(self) -> None:
        """There is one at a time."""
        self.ending = Deferred()
        self.add("a", "b")
        self.clock.advance(10 * PAUSE_S)
        self.assertEqual(self.batches, [["a"]])
        ending, self.ending = self.ending, None
        ending.callback(None)
        self.add("c")
        self.clock.advance(PAUSE_S)
        self.assertEqual(self.batches, [["a"], ["b", "c"]])

    def test_the_last_ones_wait_for_nobody(self) -> None:
        """When nothing more comes it publishes what there is, and is over."""
        self.add("a", "b")
        self.publishing.end()
        self.assertEqual(self.batches, [["a"], ["b"]])
        self.successResultOf(self.running)

    def test_nothing_at_all_is_over_at_once(self) -> None:
        """An import without images publishes nothing."""
        self.publishing.end()
        self.successResultOf(self.running)
        self.assertEqual(self.batches, [])

    def test_a_publish_that_fails_ends_it(self) -> None:
        """Whoever lost the lease publishes nothing more."""
        self.ending = Deferred()
        self.add("a")
        self.ending.errback(Stale("another import has taken over"))
        self.failureResultOf(self.running, Stale)

    def test_stopping_leaves_no_timer(self) -> None:
        """Cancelled while something waits, it is over at once."""
        self.add("a", "b")
        self.running.cancel()
        self.failureResultOf(self.running, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
