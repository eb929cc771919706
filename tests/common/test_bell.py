"""A bell that wakes a loop."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.bell import Bell


class BellTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A bell with a clock of its own."""
        self.clock = Clock()
        self.bell = Bell(self.clock)

    def wait(self, timeout_s: float | None = None) -> Deferred[bool]:
        return Deferred.fromCoroutine(self.bell.wait(timeout_s))

    def test_rung_before(self) -> None:
        """A ring that nobody heard is heard by the next, once."""
        self.bell.ring()
        self.bell.ring()
        self.assertTrue(self.successResultOf(self.wait()))
        self.assertNoResult(self.wait())

    def test_silenced(self) -> None:
        """A ring that was silenced wakes nobody."""
        self.bell.ring()
        self.bell.silence()
        self.assertNoResult(self.wait())

    def test_timeout(self) -> None:
        """Who waits is woken by the ring or the time, knows which, and leaves no timer behind."""
        waiting = self.wait(5.0)
        self.clock.advance(5.0)
        self.assertFalse(self.successResultOf(waiting))
        waiting = self.wait(5.0)
        self.bell.ring()
        self.assertTrue(self.successResultOf(waiting))
        self.assertEqual(self.clock.getDelayedCalls(), [])
