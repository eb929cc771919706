"""Waiting no longer than somebody wants to."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Conflict, TimedOut
from common.patience import in_time


class InTimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cancelled: list[object] = []
        self.work: Deferred[Any] = Deferred(self.cancelled.append)

    async def do(self) -> Any:
        return await self.work

    def begin(self, timeout_s: float | None) -> "Deferred[Any]":
        waiting = in_time(
            self.do(), timeout_s, self.clock, what="scrub", missing=lambda: "disk", remedy="wait"
        )
        return Deferred.fromCoroutine(waiting)

    def test_in_time(self) -> None:
        """What is done in time is the answer, and so is its failure; no timer stays."""
        waiting = self.begin(10)
        self.work.callback(7)
        self.assertEqual(self.successResultOf(waiting), 7)
        self.work = Deferred()
        waiting = self.begin(10)
        self.work.errback(Conflict("no"))
        self.failureResultOf(waiting, Conflict)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        """The waiting ends, and says how long it was, for what, and what is missing."""
        waiting = self.begin(600)
        self.clock.advance(599)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        error = self.failureResultOf(waiting, TimedOut).value
        self.assertEqual(error.line(), "scrub: not done within 10 min: disk (wait)")
        self.assertEqual(len(self.cancelled), 1)

    def test_for_ever(self) -> None:
        """Without a time there is none."""
        waiting = self.begin(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(waiting)
        self.work.callback(1)
        self.successResultOf(waiting)
