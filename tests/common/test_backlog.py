"""What one slow reader has still to read."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from common.backlog import Backlog


class BacklogTests(SynchronousTestCase):
    def setUp(self) -> None:
        """One that holds three."""
        self.backlog: Backlog[int] = Backlog(most=3)

    def take(self) -> Deferred[tuple[list[int], int]]:
        return Deferred.fromCoroutine(self.backlog.take())

    def test_in_order(self) -> None:
        """What came before is taken at once, and in its order."""
        self.backlog.add(1)
        self.backlog.add(2)
        self.assertEqual(self.successResultOf(self.take()), ([1, 2], 0))

    def test_waiting(self) -> None:
        """A reader sleeps until there is something, and is not woken twice for it."""
        taking = self.take()
        self.assertNoResult(taking)
        self.backlog.add(1)
        self.assertEqual(self.successResultOf(taking), ([1], 0))
        self.assertNoResult(self.take())

    def test_bounded(self) -> None:
        """Of too much the newest stay, and the reader learns how many are lost."""
        for number in range(5):
            self.backlog.add(number)
        self.assertEqual(self.successResultOf(self.take()), ([2, 3, 4], 2))
        self.backlog.add(5)
        self.assertEqual(self.successResultOf(self.take()), ([5], 0))

    def test_cancelled(self) -> None:
        """A reader that leaves loses nothing of what comes later."""
        taking = self.take()
        taking.cancel()
        self.failureResultOf(taking, CancelledError)
        self.backlog.add(1)
        self.assertEqual(self.successResultOf(self.take()), ([1], 0))
