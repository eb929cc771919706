"""Waiting for what cannot be stopped."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from common.unbroken import unbroken


class UnbrokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.work: Deferred[int] = Deferred()
        self.waiting = Deferred.fromCoroutine(unbroken(self.work))

    def test_result_and_failure_come_through(self) -> None:
        """Uncancelled, it is as if the work were awaited."""
        self.work.callback(3)
        self.assertEqual(self.successResultOf(self.waiting), 3)
        failing: Deferred[int] = Deferred()
        waiting = Deferred.fromCoroutine(unbroken(failing))
        failing.errback(ValueError("x"))
        self.failureResultOf(waiting, ValueError)

    def test_cancelling_does_not_shorten_the_wait(self) -> None:
        """However often it is cancelled, it ends with the work, as cancelled."""
        for _ in range(3):
            self.waiting.cancel()
            self.assertNoResult(self.waiting)
        self.work.callback(3)
        self.failureResultOf(self.waiting, CancelledError)

    def test_a_failure_after_cancelling_is_nobodys(self) -> None:
        """How cancelled work ends does not matter: nothing is logged."""
        self.waiting.cancel()
        self.work.errback(ValueError("x"))
        self.failureResultOf(self.waiting, CancelledError)

    def test_what_is_over_is_not_waited_for(self) -> None:
        """Work that has ended gives its result at once."""
        self.work.callback(3)
        self.assertEqual(self.successResultOf(self.waiting), 3)
        self.successResultOf(Deferred.fromCoroutine(unbroken(self.work)))
