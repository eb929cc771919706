"""So many transfers at once, and how many may change meanwhile."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from regiond.slots import Slots


class SlotsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.limit = 2
        self.slots = Slots(lambda: self.limit)
        self.work: dict[int, Deferred[None]] = {}
        self.addCleanup(self.end_all)

    def end_all(self) -> None:
        """Nothing is left at work for the garbage collector."""
        self.limit = 100
        while any(not work.called for work in self.work.values()):
            next(work for work in self.work.values() if not work.called).callback(None)

    def run_one(self, number: int) -> "Deferred[None]":
        async def work() -> None:
            self.work[number] = Deferred()
            await self.work[number]

        return Deferred.fromCoroutine(self.slots.run(work))

    def test_no_more_than_the_limit_and_in_order(self) -> None:
        """When one ends, the next begins; a failure gives its slot back, too."""
        done = [self.run_one(number) for number in range(5)]
        self.assertEqual([*self.work], [0, 1])
        self.work[0].errback(ValueError())
        self.failureResultOf(done[0], ValueError)
        self.assertEqual([*self.work], [0, 1, 2])
        self.work[2].callback(None)
        self.successResultOf(done[2])
        self.assertEqual([*self.work], [0, 1, 2, 3])

    def test_a_raised_limit_holds_with_the_next(self) -> None:
        """As soon as one ends, as many begin as are allowed by now."""
        for number in range(6):
            self.run_one(number)
        self.limit = 4
        self.work[0].callback(None)
        self.assertEqual([*self.work], [0, 1, 2, 3, 4])

    def test_a_lowered_limit_waits_for_those_at_work(self) -> None:
        """Nobody is interrupted; the next begins when there is a slot by the new limit."""
        for number in range(4):
            self.run_one(number)
        self.limit = 1
        self.work[0].callback(None)
        self.assertEqual([*self.work], [0, 1])
        self.work[1].callback(None)
        self.assertEqual([*self.work], [0, 1, 2])

    def test_what_is_cancelled_before_its_turn_never_begins(self) -> None:
        """And takes nobody's slot."""
        done = [self.run_one(number) for number in range(4)]
        done[2].cancel()
        self.failureResultOf(done[2], CancelledError)
        self.work[0].callback(None)
        self.assertEqual([*self.work], [0, 1, 3])
