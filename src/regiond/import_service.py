"""Runs imports when they are due or asked for; one at a time, stoppable.

What an import does is ``importer``'s business, and when one is due ``schedule``'s; this
module holds the timer, and tells everybody who waits for an import how it ended.

* A request during an import joins it. If the selections changed since it began, another
  import follows before the waiters are told.
* A stop is told at once. What a thread still writes, or verifies, ends behind it, and only
  then can the next import begin.
* An import from a bundle is one by itself: it waits for its turn, and nobody joins it.
* An import that found no space is parked: it goes on when there is room.
"""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from common.errors import Conflict, NoSpace, RackferryError, bug
from regiond.schedule import Ending, Past, Schedule, look_every_s, next_due_s

STOP_PATIENCE_S = 1.0


@attrs.frozen
class ImportResult:
    """How an import ended.

    ``outcome`` is "unchanged", "complete" or "incomplete"; in ``ImportService.last`` also
    "failed" (all of it, by the one reason), "parked" (for lack of space) or "stopped".
    ``failed`` maps what failed (an image, a source) to the reason. ``lagging`` names the
    sources that show older documents than they did: the newer ones stay in use. ``work_s`` is
    the time of the work. ``left_out`` are selected images that a bundle does not bring.
    """

    outcome: str
    generation: int
    published: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    failed: Mapping[str, RackferryError] = attrs.Factory(dict)
    fetched_bytes: int = 0
    work_s: float = 0.0
    lagging: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


Work = Callable[[], Coroutine[Deferred[Any], Any, ImportResult]]


class Imports(Protocol):
    """What this service needs of an importer."""

    def run(self, reason: str) -> Coroutine[Deferred[Any], Any, ImportResult]:
        """One import, from the documents to the last publish."""
        ...

    async def revision(self) -> int:
        """A number that changes whenever a source or a selection changes."""
        ...

    async def has_room(self) -> bool:
        """Whether what found no space would find it now, as far as that can be known."""
        ...


class ImportService(Service):
    """One import at a time.

    Args:
        imports: what runs.
        schedule: what admins want now; ``reschedule`` is called when that changes.
        clock: for everything but what people are told.
        ended: told how each import ended, and when it began and ended.
        now: seconds since the epoch.

    Attributes:
        last: how the last import of this process ended.
        ended_at: when that was, in seconds since the epoch.
        past: the same for the schedule; None before the first.
    """

    log = Logger()

    def __init__(
        self,
        imports: Imports,
        schedule: Callable[[], Schedule],
        clock: IReactorTime,
        ended: Callable[[ImportResult, Past], None] = lambda _, __: None,
        *,
        now: Callable[[], float],
    ) -> None:
        self._imports = imports
        self._schedule = schedule
        self._clock = clock
        self._tell_ended = ended
        self._now = now
        self._work: Deferred[None] = succeed(None)
        self._began_s = 0.0
        self._importing = False
        self._is_stopping = False
        self._requests = 0
        self._timer: IDelayedCall | None = None
        self._parked: LoopingCall | None = None
        self._waiters: list[Deferred[ImportResult]] = []
        self._bundles: list[tuple[Work, Deferred[ImportResult]]] = []
        self._bundle: Deferred[ImportResult] | None = None
        self.last: ImportResult | None = None
        self.ended_at = 0.0
        self.past: Past | None = None

    @property
    def is_importing(self) -> bool:
        """Whether an import runs now."""
        return self._importing

    @property
    def is_parked(self) -> bool:
        """Whether an import waits for space."""
        return self._parked is not None

    @property
    def next_at(self) -> float | None:
        """When the next import is due by itself, since the epoch; None if none is."""
        if self._timer is None:
            return None
        return self._now() + self._timer.getTime() - self._clock.seconds()

    def startService(self) -> None:
        """Begin: the first import runs at once, if imports are automatic."""
        super().startService()
        self.reschedule()

    def stopService(self) -> Deferred[None]:
        """Stop the running import and wait until nothing of it is left; partials stay."""
        super().stopService()
        self.stop_import()
        self.reschedule()
        return self._echo()

    def reschedule(self) -> None:
        """The schedule changed: what is due begins now, what is not any more does not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = next_due_s(self._schedule(), self.past)
        if self.running and not self._importing and due_s is not None:
            delay_s = max(0.0, due_s - self._clock.seconds())
            self._timer = self._clock.callLater(delay_s, self._timer_fired)

    def request(self, reason: str) -> Deferred[ImportResult]:
        """Import now, or join the running import; fires with how it ended."""

        def forget(waiter: Deferred[ImportResult]) -> None:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

        waiter: Deferred[ImportResult] = Deferred(forget)
        self._waiters.append(waiter)
        self._requests += 1
        if not self._importing:
            self._begin(reason)
        return waiter

    def repair(self) -> None:
        """Something that is held went bad: import now, if imports may run by themselves."""
        if self.running and self._schedule().automatic:
            waiter = self.request("something went bad")
            waiter.addErrback(lambda failure: failure.trap(RackferryError) and None)

    def request_bundle(self, work: Work) -> Deferred[ImportResult]:
        """Import from a bundle when nothing else is being imported; fires with how it ended.

        Who cancels it, stops it: a bundle is gone with the shell that gives it.

        Args:
            work: the import.
        """

        def leave(waiter: Deferred[ImportResult]) -> None:
            self._bundles = [each for each in self._bundles if each[1] is not waiter]
            if self._bundle is waiter:
                self._bundle = None
                self._is_stopping = True
                self._work.cancel()

        waiter: Deferred[ImportResult] = Deferred(leave)
        self._bundles.append((work, waiter))
        if not self._importing:
            self._begin("a bundle")
        return waiter

    def stop_import(self) -> Deferred[None]:
        """Stop the running import, or the one that is parked; partials are kept.

        Returns:
            fires when it has stopped, or soon: what is left then is a thread at work.
        """
        self._unpark()
        if not self._importing:
            return succeed(None)
        if not self._is_stopping:
            self._is_stopping = True
            self._tell(_stopped())
            self._work.cancel()
        return self._echo().addTimeout(
            STOP_PATIENCE_S, self._clock, onTimeoutCancel=lambda _, __: None
        )

    def _echo(self) -> Deferred[None]:
        """Fires when nothing of the import is left."""
        ended: Deferred[None] = Deferred()
        if self._importing:
            self._work.addBoth(lambda _: ended.callback(None))
        else:
            ended.callback(None)
        return ended

    def _timer_fired(self) -> None:
        self._timer = None
        self._begin("scheduled")

    def _begin(self, reason: str) -> None:
        self._importing = True
        self._is_stopping = False
        self._began_s = self._clock.seconds()
        self.reschedule()
        if self._bundles:
            work, self._bundle = self._bundles.pop(0)
        else:
            self._unpark()
            work = partial(self._import_until_settled, reason)
        self._work = Deferred.fromCoroutine(self._import_and_tell(work))

    async def _import_and_tell(self, work: Work) -> None:
        try:
            outcome: ImportResult | RackferryError = await work()
        except RackferryError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - a bug must not end the schedule
            if not (self._is_stopping and isinstance(error, CancelledError)):
                self.log.failure("import failed")
            outcome = bug(error, "import", "failed")
        self._importing = False
        if not self._is_stopping:
            self._tell(outcome)
        if (self._waiters or self._bundles) and not self._importing:
            self._go_on()
        self.reschedule()

    def _go_on(self) -> None:
        """Somebody asked while an import was being stopped."""
        if self.running:
            self._begin("asked for again")
        else:
            self._tell(_stopped())
            bundles, self._bundles = self._bundles, []
            for _, self._bundle in bundles:
                self._tell_bundle(_stopped())

    async def _import_until_settled(self, reason: str) -> ImportResult:
        while True:
            revision = await self._imports.revision()
            result = await self._imports.run(reason)
            if not await self._is_overtaken(revision):
                return result
            reason = "the selections changed during the import"

    async def _is_overtaken(self, revision: int) -> bool:
        """Whether something changed since; who asks while we look is not told too early."""
        while True:
            requests = self._requests
            if await self._imports.revision() != revision:
                return True
            if self._requests == requests:
                return False

    def _tell(self, outcome: ImportResult | RackferryError) -> None:
        """Remember how the import ended, and tell those who wait."""
        if self._bundle is not None:
            self._tell_bundle(outcome)
            return
        waiters, self._waiters = self._waiters, []
        if isinstance(outcome, ImportResult):
            self._ended(outcome, Ending.FAILED if outcome.failed else Ending.DONE)
            for waiter in waiters:
                waiter.callback(outcome)
            return
        ending = _ending_of(outcome)
        generation = self.last.generation if self.last else 0
        self._ended(ImportResult(ending, generation, failed={"import": outcome}), ending)
        if ending is Ending.PARKED and self.running:
            self._park()
        if ending is not Ending.STOPPED:
            self.log.error("import {ending}: {why}", ending=ending.value, why=outcome.line())
        for waiter in waiters:
            waiter.errback(outcome)

    def _tell_bundle(self, outcome: ImportResult | RackferryError) -> None:
        """Tell who gave the bundle; when the next import is due is not changed by it."""
        waiter, self._bundle = self._bundle, None
        if waiter is None:
            return
        if isinstance(outcome, ImportResult):
            self.last, self.ended_at = outcome, self._now()
            waiter.callback(outcome)
        else:
            waiter.errback(outcome)

    def _ended(self, result: ImportResult, ending: Ending) -> None:
        self.last, self.ended_at = result, self._now()
        past = Past(self._began_s, self._clock.seconds(), ending)
        self._tell_ended(result, past)
        self.past = past if self.past is None else past.after(self.past)

    def _park(self) -> None:
        if self.past is not None:
            self._parked = LoopingCall(self._look_for_room)
            self._parked.clock = self._clock
            self._parked.start(look_every_s(self.past), now=False)

    def _unpark(self) -> None:
        if self._parked is not None:
            self._parked.stop()
            self._parked = None

    async def _look_for_room(self) -> None:
        looking = self._parked
        try:
            has_room = await self._imports.has_room()
        except RackferryError as error:
            self.log.warn("the free space is not known: {reason}", reason=error.line())
            return
        if has_room and self._parked is looking and not self._importing:
            self._begin("there is room now")


def _stopped() -> Conflict:
    return Conflict(
        "the import was stopped; what it fetched is kept",
        object="import",
        code="import-stopped",
        remedy="import again to go on where it stopped",
    )


def _ending_of(error: RackferryError) -> Ending:
    if isinstance(error, NoSpace):
        return Ending.PARKED
    return Ending.STOPPED if error.code == "import-stopped" else Ending.FAILED
