import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Conflict, NoSpace, SourceError, StorageError
from regiond.import_service import STOP_PATIENCE_S, ImportResult, ImportService
from regiond.schedule import FIRST_RETRY_S, Schedule

DONE = ImportResult("complete", 1)
FULL = NoSpace("needs 2 GiB", object="import", code="import-space")
FAILED = ImportResult("incomplete", 1, failed={"ubuntu/jammy": SourceError("cut")})


class SteppedImports:
    """Imports that end when the test says so.

    Attributes:
        runs: reason and ending of each.
        looks: the answers that ``revision`` waits for; None: it answers at once.
        room: what ``has_room`` says, or raises.
        stubborn: what a cancelled run still waits for.
    """

    def __init__(self) -> None:
        self.runs: list[tuple[str, Deferred[ImportResult]]] = []
        self.revision_number = 1
        self.looks: list[Deferred[int]] | None = None
        self.room: bool | Exception = False
        self.room_looks = 0
        self.stubborn: Deferred[None] | None = None

    async def run(self, reason: str) -> ImportResult:
        ending: Deferred[ImportResult] = Deferred()
        self.runs.append((reason, ending))
        try:
            return await ending
        finally:
            if self.stubborn is not None:
                await self.stubborn

    async def revision(self) -> int:
        if self.looks is not None:
            look: Deferred[int] = Deferred()
            self.looks.append(look)
            return await look
        return self.revision_number

    async def has_room(self) -> bool:
        self.room_looks += 1
        if isinstance(self.room, Exception):
            raise self.room
        return self.room

    def end(self, result: ImportResult | Exception) -> None:
        ending = self.runs[-1][1]
        if isinstance(result, Exception):
            ending.errback(result)
        else:
            ending.callback(result)


class ServiceCase(SynchronousTestCase):
    """A service and a clock.

    Attributes:
        set_by_s: how far the time of day is from the seconds of the clock.
    """

    set_by_s = 0.0

    def setUp(self) -> None:
        self.clock = Clock()
        self.imports = SteppedImports()
        self.schedule = Schedule(automatic=True, interval_s=3600.0)
        self.service = ImportService(
            self.imports,
            lambda: self.schedule,
            self.clock,
            now=lambda: self.clock.seconds() + self.set_by_s,
        )

    def set_schedule(self, **changed: bool | float) -> None:
        """As if an admin had changed settings."""
        self.schedule = attrs.evolve(self.schedule, **changed)
        self.service.reschedule()

    def start(self) -> None:
        self.service.startService()
        self.clock.advance(0)
        self.addCleanup(self.check_stops)

    def check_stops(self) -> None:
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ImportServiceTests(ServiceCase):
    def test_imports_at_start_and_then_every_interval(self) -> None:
        """The first import runs at start, the next one an interval later."""
        self.start()
        self.assertEqual([reason for reason, _ in self.imports.runs], ["scheduled"])
        self.imports.end(DONE)
        self.clock.advance(3599)
        self.assertEqual(len(self.imports.runs), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.imports.runs), 2)

    def test_what_went_bad_is_fetched_at_once(self) -> None:
        """If imports run by themselves; how it ends is nobody's failure."""
        self.service.repair()
        self.set_schedule(automatic=False)
        self.start()
        self.service.repair()
        self.assertEqual(self.imports.runs, [])
        self.set_schedule(automatic=True)
        self.clock.advance(0)
        self.imports.end(DONE)
        self.service.repair()
        self.assertEqual([reason for reason, _ in self.imports.runs][1:], ["something went bad"])
        self.imports.end(StorageError("broken"))

    def test_the_interval_is_the_documented_one(self) -> None:
        """From beginning to beginning, whatever an import takes and however often settings change."""
        self.start()
        for minutes in (10, 0, 59, 30):
            began_s = self.clock.seconds()
            runs = len(self.imports.runs)
            self.clock.advance(60.0 * minutes)
            self.set_schedule()
            self.imports.end(DONE)
            while len(self.imports.runs) == runs:
                self.clock.advance(1)
            self.assertEqual(self.clock.seconds() - began_s, 3600)

    def test_a_clock_that_is_set_moves_no_import(self) -> None:
        """The next one comes when the interval has passed; people are told the new time of day."""
        self.start()
        self.imports.end(DONE)
        self.set_by_s = -4 * 3600.0
        self.assertEqual(self.service.next_at, 3600 + self.set_by_s)
        self.clock.advance(3600)
        self.assertEqual(len(self.imports.runs), 2)
        self.imports.end(DONE)
        self.assertEqual(self.service.ended_at, 3600 + self.set_by_s)

    def test_an_import_longer_than_the_interval_is_followed_at_once(self) -> None:
        """What is overdue when it ends begins then, and never beside it."""
        self.start()
        self.clock.advance(5000)
        self.assertEqual(len(self.imports.runs), 1)
        self.imports.end(DONE)
        self.clock.advance(0)
        self.assertEqual(len(self.imports.runs), 2)

    def test_switched_off_runs_nothing_by_itself(self) -> None:
        """With automatic imports off no timer is left, and only a request imports."""
        self.schedule = Schedule(automatic=False, interval_s=60)
        self.start()
        self.assertEqual((self.imports.runs, self.service.next_at), ([], None))
        waiting = self.service.request("admin")
        self.imports.end(DONE)
        self.assertEqual(self.successResultOf(waiting), DONE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_switched_off_while_a_timer_runs(self) -> None:
        """The import that would have been next does not come."""
        self.start()
        self.imports.end(DONE)
        self.assertEqual(self.service.next_at, 3600)
        self.set_schedule(automatic=False)
        self.assertEqual((self.clock.getDelayedCalls(), self.service.next_at), ([], None))

    def test_switched_on_again(self) -> None:
        """At once if one is overdue, else when it is due."""
        self.start()
        self.imports.end(DONE)
        self.set_schedule(automatic=False)
        self.clock.advance(600)
        self.set_schedule(automatic=True)
        self.assertEqual(self.service.next_at, 3600)
        self.set_schedule(automatic=False)
        self.clock.advance(6000)
        self.set_schedule(automatic=True)
        self.clock.advance(0)
        self.assertEqual(len(self.imports.runs), 2)

    def test_a_changed_interval_holds_at_once(self) -> None:
        """It is counted from the beginning of the last import, shorter or longer."""
        self.start()
        self.imports.end(DONE)
        self.clock.advance(600)
        self.set_schedule(interval_s=900.0)
        self.assertEqual(self.service.next_at, 900)
        self.set_schedule(interval_s=7200.0)
        self.assertEqual(self.service.next_at, 7200)
        self.set_schedule(interval_s=60.0)
        self.clock.advance(0)
        self.assertEqual(len(self.imports.runs), 2)

    def test_settings_during_an_import_disturb_nothing(self) -> None:
        """No second import beside the first, and the new interval holds for the next."""
        self.start()
        self.clock.advance(100)
        self.set_schedule(interval_s=60.0)
        self.clock.advance(0)
        self.assertEqual((len(self.imports.runs), self.service.next_at), (1, None))

    def test_a_request_joins_the_running_import(self) -> None:
        """Two askers during one import get its result; a second one never starts."""
        self.start()
        first, second = self.service.request("a"), self.service.request("b")
        self.assertTrue(self.service.is_importing)
        self.assertEqual(len(self.imports.runs), 1)
        self.imports.end(DONE)
        self.assertEqual(self.successResultOf(first), DONE)
        self.assertEqual(self.successResultOf(second), DONE)
        self.assertFalse(self.service.is_importing)

    def test_changed_selections_mean_another_import(self) -> None:
        """If a selection changed meanwhile, another import follows before anybody is told."""
        self.start()
        waiting = self.service.request("admin")
        self.imports.revision_number = 2
        self.imports.end(FAILED)
        self.assertNoResult(waiting)
        self.assertEqual(len(self.imports.runs), 2)
        self.imports.end(DONE)
        self.assertEqual(self.successResultOf(waiting), DONE)

    def test_stop_tells_the_waiters(self) -> None:
        """A stopped import ends with a named refusal, and the schedule goes on."""
        self.start()
        waiting = self.service.request("admin")
        self.successResultOf(self.service.stop_import())
        error = self.failureResultOf(waiting, Conflict).value
        self.assertEqual(error.code, "import-stopped")
        self.assertFalse(self.service.is_importing)

    def test_nothing_begins_by_itself_soon_after_a_stop(self) -> None:
        """The next import comes a whole interval later, however long the stopped one ran."""
        self.start()
        self.clock.advance(3599)
        self.successResultOf(self.service.stop_import())
        self.clock.advance(3599)
        self.assertEqual(len(self.imports.runs), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.imports.runs), 2)

    def test_a_stop_does_not_wait_for_a_thread(self) -> None:
        """Told at once, answered after a second; the next import begins when the work has ended."""
        self.start()
        self.imports.stubborn = Deferred()
        waiting = self.service.request("admin")
        stopped, again = self.service.stop_import(), self.service.stop_import()
        self.failureResultOf(waiting, Conflict)
        self.assertNoResult(stopped)
        self.clock.advance(STOP_PATIENCE_S)
        self.successResultOf(stopped)
        self.successResultOf(again)
        self.assertTrue(self.service.is_importing)
        following = self.service.request("admin")
        self.assertEqual(len(self.imports.runs), 1)
        thread, self.imports.stubborn = self.imports.stubborn, None
        thread.callback(None)
        self.assertEqual(len(self.imports.runs), 2)
        self.imports.end(DONE)
        self.assertEqual(self.successResultOf(following), DONE)

    def test_the_end_of_the_service_waits_for_threads_and_tells_everybody(self) -> None:
        """Whoever asked while the daemon was stopping is told so, too."""
        self.service.startService()
        self.clock.advance(0)
        thread = self.imports.stubborn = Deferred()
        stopping = self.service.stopService()
        late = self.service.request("too late")
        self.clock.advance(60)
        self.assertNoResult(stopping)
        thread.callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.failureResultOf(late, Conflict).value.code, "import-stopped")
        self.assertEqual((self.clock.getDelayedCalls(), len(self.imports.runs)), ([], 1))

    def test_a_request_in_the_last_moment_is_not_told_too_early(self) -> None:
        """Who asks while the import looks whether something changed, after a change, gets it."""
        self.imports.looks = []
        self.start()
        self.imports.looks.pop().callback(1)
        self.imports.end(DONE)
        late = self.service.request("after a change that the look did not see")
        self.imports.looks.pop().callback(1)
        self.imports.looks.pop().callback(2)
        self.imports.looks.pop().callback(2)
        self.assertEqual(len(self.imports.runs), 2)
        self.assertNoResult(late)
        self.imports.end(DONE)
        self.imports.looks.pop().callback(2)
        self.assertEqual(self.successResultOf(late), DONE)

    def test_stop_without_an_import(self) -> None:
        """Stopping nothing is done at once."""
        self.successResultOf(self.service.stop_import())

    def test_failures_are_retried_sooner_and_backed_off(self) -> None:
        """After a failure the next try comes in 1, 2, 4 minutes, never later than the hour."""
        self.start()
        delays = []
        for _ in range(8):
            self.imports.end(FAILED)
            (timer,) = self.clock.getDelayedCalls()
            delays.append(timer.getTime() - self.clock.seconds())
            self.clock.advance(delays[-1])
        self.assertEqual(delays[:3], [FIRST_RETRY_S, 2 * FIRST_RETRY_S, 4 * FIRST_RETRY_S])
        self.assertEqual(delays[-1], 3600.0)

    def test_an_expected_failure_reaches_the_waiter(self) -> None:
        """An import that could not run at all tells the waiter why, and is tried again."""
        self.start()
        waiting = self.service.request("admin")
        self.imports.end(SourceError("unreachable"))
        self.failureResultOf(waiting, SourceError)
        self.clock.advance(FIRST_RETRY_S)
        self.assertEqual(len(self.imports.runs), 2)

    def test_a_bug_does_not_end_the_schedule(self) -> None:
        """An unexpected exception is logged, and the next import still comes."""
        self.start()
        self.imports.end(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(FIRST_RETRY_S)
        self.assertEqual(len(self.imports.runs), 2)


class ParkedTests(ServiceCase):
    """Imports that found no space."""

    def parked(self) -> None:
        self.start()
        self.imports.end(FULL)
        self.assertTrue(self.service.is_parked)

    def test_a_parked_import_goes_on_when_there_is_room(self) -> None:
        """It looks each minute, without an import, and then imports; nothing else is tried."""
        self.parked()
        self.assertEqual(self.service.last.outcome, "parked")
        self.clock.pump([60] * 10)
        self.assertEqual((len(self.imports.runs), self.imports.room_looks), (1, 10))
        self.imports.room = True
        self.clock.advance(60)
        self.assertEqual(len(self.imports.runs), 2)
        self.assertFalse(self.service.is_parked)

    def test_whoever_asks_is_told_what_is_missing(self) -> None:
        """A request during the wait tries, and gets the figures."""
        self.parked()
        waiting = self.service.request("admin")
        self.imports.end(FULL)
        self.assertEqual(self.failureResultOf(waiting, NoSpace).value, FULL)

    def test_parked_again_and_again_it_looks_less_often(self) -> None:
        """Where the free space is not known, or misleads: after 1, 2, 4, ... 15 minutes."""
        self.schedule = Schedule(interval_s=7 * 24 * 3600.0)
        self.imports.room = True
        self.parked()
        waits = []
        for _ in range(6):
            (look,) = [
                call for call in self.clock.getDelayedCalls()
                if call.getTime() != self.service.next_at
            ]  # fmt: skip
            waits.append(look.getTime() - self.clock.seconds())
            self.clock.advance(waits[-1])
            self.imports.end(FULL)
        self.assertEqual(waits, [60, 120, 240, 480, 900, 900])

    def test_a_parked_import_comes_at_its_regular_time_as_well(self) -> None:
        """By then the source may want less."""
        self.parked()
        self.clock.advance(3600)
        self.assertEqual(len(self.imports.runs), 2)

    def test_it_goes_on_although_automatic_imports_are_off(self) -> None:
        """It was asked for, and is not over."""
        self.schedule = Schedule(automatic=False)
        self.start()
        waiting = self.service.request("admin")
        self.imports.end(FULL)
        self.failureResultOf(waiting, NoSpace)
        self.imports.room = True
        self.clock.advance(60)
        self.assertEqual(len(self.imports.runs), 2)

    def test_stop_import_ends_the_wait(self) -> None:
        """What an admin stopped does not go on when there is room."""
        self.parked()
        self.successResultOf(self.service.stop_import())
        self.assertFalse(self.service.is_parked)
        self.imports.room = True
        self.clock.advance(600)
        self.assertEqual(len(self.imports.runs), 1)

    def test_a_look_that_fails_does_not_end_the_wait(self) -> None:
        """The free space may be unknown for a while."""
        self.parked()
        self.imports.room = StorageError("no answer")
        self.clock.advance(60)
        self.imports.room = True
        self.clock.advance(60)
        self.assertEqual(len(self.imports.runs), 2)
