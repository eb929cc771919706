from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Conflict, SourceError
from regiond.import_service import FIRST_RETRY_S, ImportResult, ImportService, Schedule

DONE = ImportResult("complete", 1)
FAILED = ImportResult("incomplete", 1, failed={"ubuntu/jammy": SourceError("cut")})


class SteppedImports:
    """Imports that end when the test says so."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, Deferred[ImportResult]]] = []
        self.revision_number = 1

    async def run(self, reason: str) -> ImportResult:
        ending: Deferred[ImportResult] = Deferred()
        self.runs.append((reason, ending))
        return await ending

    async def revision(self) -> int:
        return self.revision_number

    def end(self, result: ImportResult | Exception) -> None:
        ending = self.runs[-1][1]
        if isinstance(result, Exception):
            ending.errback(result)
        else:
            ending.callback(result)


class ImportServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.imports = SteppedImports()
        self.schedule = Schedule(automatic=True, interval_s=3600.0)
        self.service = ImportService(self.imports, self._schedule, self.clock)

    async def _schedule(self) -> Schedule:
        return self.schedule

    def start(self) -> None:
        self.service.startService()
        self.clock.advance(0)
        self.addCleanup(self.check_stops)

    def check_stops(self) -> None:
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_imports_at_start_and_then_every_interval(self) -> None:
        """The first import runs at start, the next one interval after it ended."""
        self.start()
        self.assertEqual([reason for reason, _ in self.imports.runs], ["scheduled"])
        self.imports.end(DONE)
        self.clock.advance(3599)
        self.assertEqual(len(self.imports.runs), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.imports.runs), 2)

    def test_switched_off_runs_nothing_by_itself(self) -> None:
        """With automatic imports off, only a request imports, and switching on is noticed."""
        self.schedule = Schedule(automatic=False, interval_s=60)
        self.start()
        self.assertEqual(self.imports.runs, [])
        waiting = self.service.request("admin")
        self.imports.end(DONE)
        self.assertEqual(self.successResultOf(waiting), DONE)
        self.schedule = Schedule(automatic=True, interval_s=60)
        self.clock.advance(60)
        self.assertEqual(len(self.imports.runs), 2)

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
        self.clock.advance(3600)
        self.assertEqual(len(self.imports.runs), 2)

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
