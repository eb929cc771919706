"""Saying how far something is."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Conflict, StorageError
from common.meanwhile import meanwhile


class MeanwhileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.work: Deferred[Any] = Deferred()
        self.said = 0
        self.failure: Exception | None = None
        self.hold: Deferred[None] | None = None

    async def say(self) -> None:
        self.said += 1
        if self.failure is not None:
            raise self.failure
        if self.hold is not None:
            await self.hold

    def begin(self) -> "Deferred[Any]":
        return Deferred.fromCoroutine(meanwhile(self.work, self.say, 1.0, self.clock))

    def test_until_it_is_done(self) -> None:
        """Said at once and then again and again; nothing goes on when it is over."""
        waiting = self.begin()
        self.clock.pump([1.0, 1.0])
        self.assertEqual(self.said, 3)
        self.work.callback(7)
        self.assertEqual(self.successResultOf(waiting), 7)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_failure_to_say_costs_nothing(self) -> None:
        """The result comes all the same, and it is said again when that works again."""
        self.failure = StorageError("the database is busy")
        waiting = self.begin()
        self.clock.advance(1.0)
        self.assertEqual(self.said, 2)
        self.work.callback(7)
        self.assertEqual(self.successResultOf(waiting), 7)

    def test_failing_and_leaving(self) -> None:
        """The work's own failure is the answer; who leaves ends the saying, too."""
        waiting = self.begin()
        self.work.errback(Conflict("no"))
        self.failureResultOf(waiting, Conflict)
        self.work = Deferred()
        waiting = self.begin()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_being_said_is_said_to_its_end(self) -> None:
        """Nothing is left running behind the answer."""
        self.hold = Deferred()
        waiting = self.begin()
        self.work.callback(7)
        self.assertNoResult(waiting)
        self.hold.callback(None)
        self.assertEqual(self.successResultOf(waiting), 7)
