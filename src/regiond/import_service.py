"""When imports run: at start, every hour, on demand; one at a time, stoppable.

What an import does is ``importer``'s business; this module only decides when, and tells
everybody who waits for one how it ended.

* A request during an import joins it. If the selections changed since it began, another
  import follows before the waiters are told.
* A failed import is tried again sooner than the interval: after a minute, then two, four,
  ... so that an outage upstream heals by itself.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from common.errors import Conflict, InternalError, RackferryError

FIRST_RETRY_S = 60.0


@attrs.frozen
class ImportResult:
    """How an import ended.

    ``outcome`` is "unchanged", "complete" or "incomplete"; in ``ImportService.last`` also
    "failed" (all of it, by the one reason) or "stopped". ``failed`` maps what failed (an
    image, a source) to the reason. ``lagging`` names the sources that show older documents
    than they did: the newer ones stay in use. ``work_s`` is the time of the work.
    """

    outcome: str
    generation: int
    published: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    failed: Mapping[str, RackferryError] = attrs.Factory(dict)
    fetched_bytes: int = 0
    work_s: float = 0.0
    lagging: tuple[str, ...] = ()


@attrs.frozen
class Schedule:
    """What admins can change at run time."""

    automatic: bool = True
    interval_s: float = 3600.0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Schedule":
        """The schedule that the region's settings describe."""
        return cls(
            bool(settings.get("boot_images_auto_import", True)),
            60.0 * float(settings.get("boot_images_import_interval_minutes", 60)),
        )


class Imports(Protocol):
    """What this service needs of an importer."""

    def run(self, reason: str) -> Coroutine[Deferred[Any], Any, ImportResult]:
        """One import, from the documents to the last publish."""
        ...

    async def revision(self) -> int:
        """A number that changes whenever a source or a selection changes."""
        ...


class ImportService(Service):
    """One import at a time."""

    log = Logger()

    def __init__(
        self,
        imports: Imports,
        schedule: Callable[[], Awaitable[Schedule]],
        clock: IReactorTime,
    ) -> None:
        self._imports = imports
        self._schedule = schedule
        self._clock = clock
        self._work: Deferred[None] | None = None
        self._importing = False
        self._scheduling: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self._waiters: list[Deferred[ImportResult]] = []
        self._failures = 0
        self.last: ImportResult | None = None

    @property
    def is_importing(self) -> bool:
        """Whether an import runs now."""
        return self._importing

    def startService(self) -> None:
        """Begin: the first import runs at once, if imports are automatic."""
        super().startService()
        self._plan_next(0.0)

    def stopService(self) -> Deferred[None]:
        """Stop the running import and wait for it; what it fetched stays."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._scheduling is not None:
            self._scheduling.cancel()
        return self.stop_import()

    def request(self, reason: str) -> Deferred[ImportResult]:
        """Import now, or join the running import; fires with how it ended."""

        def forget(waiter: Deferred[ImportResult]) -> None:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

        waiter: Deferred[ImportResult] = Deferred(forget)
        self._waiters.append(waiter)
        if not self._importing:
            self._begin(reason)
        return waiter

    def stop_import(self) -> Deferred[None]:
        """Stop the running import; fires when it has stopped. Partials are kept."""
        if self._work is None or not self._importing:
            stopped: Deferred[None] = Deferred()
            stopped.callback(None)
            return stopped
        done: Deferred[None] = Deferred()
        self._work.addBoth(lambda _: done.callback(None))
        self._work.cancel()
        return done

    def _begin(self, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._importing = True
        self._work = Deferred.fromCoroutine(self._import_and_tell(reason))

    async def _import_and_tell(self, reason: str) -> None:
        try:
            result = await self._import_until_settled(reason)
        except CancelledError:
            self._tell(
                Conflict(
                    "the import was stopped; what it fetched is kept",
                    object="import",
                    code="import-stopped",
                    remedy="import again to go on where it stopped",
                )
            )
        except RackferryError as error:
            self.log.error("import failed: {reason}", reason=error.line())
            self._tell(error)
        except Exception as error:  # noqa: BLE001 - a bug must not end the schedule
            self.log.failure("import failed")
            self._tell(InternalError(f"the import failed: {type(error).__name__}, see the log"))
        else:
            self._tell(result)

    async def _import_until_settled(self, reason: str) -> ImportResult:
        while True:
            revision = await self._imports.revision()
            result = await self._imports.run(reason)
            if await self._imports.revision() == revision:
                return result
            reason = "the selections changed during the import"

    def _tell(self, outcome: ImportResult | RackferryError) -> None:
        self._importing = False
        waiters, self._waiters = self._waiters, []
        if isinstance(outcome, ImportResult):
            self.last = outcome
            failed = bool(outcome.failed)
            for waiter in waiters:
                waiter.callback(outcome)
        else:
            failed = outcome.code != "import-stopped"
            generation = self.last.generation if self.last else 0
            reasons = {"import": outcome}
            self.last = ImportResult("failed" if failed else "stopped", generation, failed=reasons)
            for waiter in waiters:
                waiter.errback(outcome)
        self._failures = self._failures + 1 if failed else 0
        if self.running and self._timer is None:
            self._scheduling = Deferred.fromCoroutine(self._schedule_next())
            self._scheduling.addErrback(self._schedule_failed)

    async def _schedule_next(self) -> None:
        schedule = await self._schedule()
        delay_s = schedule.interval_s
        if self._failures:
            delay_s = min(delay_s, FIRST_RETRY_S * 2 ** (self._failures - 1))
        self._plan_next(delay_s)

    def _schedule_failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("the import schedule could not be read", failure)
            self._plan_next(FIRST_RETRY_S)

    def _plan_next(self, delay_s: float) -> None:
        if self.running:
            self._timer = self._clock.callLater(delay_s, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._scheduling = Deferred.fromCoroutine(self._import_if_automatic())
        self._scheduling.addErrback(self._schedule_failed)

    async def _import_if_automatic(self) -> None:
        schedule = await self._schedule()
        if self._importing or not self.running:
            return
        if schedule.automatic:
            self._begin("scheduled")
        else:
            self._plan_next(schedule.interval_s)
