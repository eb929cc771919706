"""The loop that keeps a rack at its region's view.

It is level-triggered: whatever woke it, it asks which view the rack is to hold now and
compares that with the disk. So a lost notice heals at the next look, and a notice too many
costs one small round trip. It looks on connect, on a notice, when an admin says so, every
``INTERVAL_S``, and after a failure when its back-off is over. Failures never end it.

A notice during a sync is looked at at once: transfers that are no longer wanted are let go
of, all others go on, and one more look follows the sync.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from common.backoff import backoff
from common.bell import Bell
from common.errors import (
    Conflict,
    InternalError,
    NoDaemon,
    NoSpace,
    RackferryError,
    TimedOut,
    TransferError,
)
from common.metrics import Tally
from common.pace import Pace
from rackd.event_log import EventLog
from rackd.library import Library
from rackd.metrics_table import SYNC_FAILURES, SYNC_SECONDS, SYNCS
from rackd.snapshot import Snapshot
from rackd.syncing import Syncing
from rackd.wanted import Documents

FIRST_LOOK_S = 15.0
"""How long a rack is without a region before that is a problem: a restart takes less."""

INTERVAL_S = 300.0
PROGRESS_S = 1.0
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0
NO_SPACE_RETRY_S = 30.0
_MOST_TOLD = 4000
_BUG = "internal"

_log = Logger()


class Region(Documents, Protocol):
    """The region, as the follower needs it; ``rackd.region_client`` is one.

    All raise ``RackferryError`` when no region answers.
    """

    async def current_view(self, held: str) -> tuple[int, str]:
        """Generation and digest of the view to hold; ``held`` is the one held ("": none)."""

    async def report_progress(self, generation: int, fetched_bytes: int, total_bytes: int) -> None:
        """How far a sync is."""

    async def report_sync(self, generation: int, held: str, problem: str) -> None:
        """How a sync ended; ``problem`` is an error object in JSON, or ""."""


@attrs.frozen
class Outcome:
    """How a look ended.

    Attributes:
        generation: the region's generation.
        held: the digest of the view held now.
        fetched_bytes: what was fetched for it.
    """

    generation: int
    held: str
    fetched_bytes: int = 0


class Follower(Service):
    """See the module.

    Args:
        region: whom to follow.
        library: the disk, to know what is held.
        syncing: makes the disk hold a view.
        clock: timers.
        random: jitter, in [0, 1).
        events: where failures are named.
        tally: where syncs are counted.
    """

    def __init__(
        self,
        region: Region,
        library: Library,
        syncing: Syncing,
        *,
        clock: IReactorTime,
        random: Callable[[], float],
        events: EventLog,
        tally: Tally,
    ) -> None:
        self._region = region
        self._library = library
        self._syncing = syncing
        self._clock = clock
        self._random = random
        self._events = events
        self._tally = tally
        self._bell = Bell(clock)
        self._is_triggered = False
        self._looping: Deferred[None] | None = None
        self._waiters: list[Deferred[Outcome]] = []
        self._failures = 0
        self._told: tuple[int, str, str] | None = None
        self._pace = Pace()
        self._absence: IDelayedCall | None = None
        self.generation = 0
        self.wanted = ""
        self.is_connected = False
        self.problem: RackferryError | None = None

    @property
    def progress(self) -> tuple[int, int] | None:
        """Bytes there and bytes in all, of the sync that is running; None if none is."""
        transfers = self._syncing.transfers
        return (transfers.held_bytes, transfers.total_bytes) if transfers else None

    def parts(self) -> list[dict[str, Any]]:
        """How far each image of the sync is that is running."""
        return self._syncing.parts()

    async def kept(self) -> dict[str, Any]:
        """How much of the older versions is here that are to be at hand."""
        return await self._syncing.keeping.status()

    @property
    def rate_bytes_s(self) -> float | None:
        """How fast the running sync is; None if none runs, or it is not known yet."""
        return self._pace.bytes_s if self.progress else None

    @property
    def status(self) -> str:
        """The first that fits: unknown, syncing, paused (no space), synced, out-of-sync."""
        if not self.is_connected:
            return "unknown"
        if self.progress is not None:
            return "syncing"
        if isinstance(self.problem, NoSpace):
            return "paused"
        is_held = self.wanted in {"", self._library.held_view}
        return "synced" if is_held and self.problem is None else "out-of-sync"

    # What wakes it

    def connected(self) -> None:
        """A region answers (again)."""
        self._end_absence()
        self.is_connected = True
        self._told = None
        self._failures = 0
        self.trigger()

    def lost(self) -> None:
        """No region answers any more. Transfers go on as long as they can.

        If that lasts, a look finds out why, so that people are told before the next is due.
        """
        self.is_connected = False
        if self._absence is None and self.running:
            self._absence = self._clock.callLater(FIRST_LOOK_S, self._absent)

    def troubled(self, problem: RackferryError) -> None:
        """There is no region, for this reason; what waiting does not cure is said at once."""
        if not isinstance(problem, TransferError | TimedOut):
            self.trigger()

    def _absent(self) -> None:
        self._absence = None
        self.trigger()

    def _end_absence(self) -> None:
        absence, self._absence = self._absence, None
        if absence is not None:
            absence.cancel()

    def trigger(self) -> None:
        """Look now; during a sync: once more after it."""
        self._is_triggered = True
        self._bell.ring()

    def asked(self) -> None:
        """An admin of the region wants a look now, and to be told how it ended, news or not."""
        self._told = None
        self.trigger()

    async def sync_now(self) -> Outcome:
        """Look now, and say how it ended.

        Raises:
            RackferryError: as it failed; the loop itself tries again.
        """
        waiter: Deferred[Outcome] = Deferred()
        self._waiters.append(waiter)
        self.trigger()
        return await waiter

    # The loop

    def startService(self) -> None:
        """Begin to follow."""
        super().startService()
        self._looping = _beside(self._loop())

    def stopService(self) -> Deferred[None] | None:
        """Stop; fires when every transfer has let go of its files."""
        super().stopService()
        self._end_absence()
        looping, self._looping = self._looping, None
        if looping is not None:
            looping.cancel()
        for waiter in self._take_waiters():
            waiter.errback(NoDaemon("rackd is being stopped"))
        return looping

    async def _loop(self) -> None:
        await self._syncing.reconcile()
        delay_s = FIRST_LOOK_S
        while True:
            await self._bell.wait(delay_s)
            self._is_triggered = False
            waiters = self._take_waiters()
            try:
                outcome = await self._look()
            except CancelledError:
                self._waiters += waiters
                raise
            except Exception as error:  # noqa: BLE001  (nothing may end the loop)
                delay_s = await self._failed(error, waiters)
                continue
            self._failures = 0
            if outcome is None:
                self._waiters += waiters
                delay_s = 0.0
                continue
            delay_s = INTERVAL_S
            for waiter in waiters:
                waiter.callback(outcome)
            await self._keep()

    async def _keep(self) -> None:
        """Get what is only to be at hand, until it is time to look again."""
        ended: list[Failure | None] = []
        until_s = self._clock.seconds() + INTERVAL_S

        def end(result: Failure | None) -> None:
            ended.append(result)
            self._bell.ring()

        keeping = Deferred.fromCoroutine(self._syncing.keeping.run())
        keeping.addBoth(end)
        try:
            while not ended and not self._is_triggered:
                await self._bell.wait(until_s - self._clock.seconds())
                self._is_triggered |= self._clock.seconds() >= until_s
        finally:
            keeping.cancel()
            while not ended:
                await self._bell.wait()
            self._bell.silence()
            if self._is_triggered:
                self.trigger()
        if ended[0] is not None and not ended[0].check(CancelledError):
            if not ended[0].check(RackferryError):
                _log.failure("a bug while older versions were fetched", ended[0])
            _log.info("not all older versions are here: {why}", why=ended[0].getErrorMessage())

    async def _look(self) -> Outcome | None:
        """One comparison, and the sync that it may lead to; None: look again at once."""
        await self._syncing.take_disk()
        held = self._library.held_view
        generation, digest = await self._region.current_view(held)
        self.generation, self.wanted = generation, digest
        if self._told is not None and self._told[1] != held:
            self._told = None  # the question itself has told the region otherwise
        fetched_bytes = 0
        if digest in {held, ""}:
            await self._syncing.tidy()
        else:
            telling = _beside(self._tell_progress())
            try:
                fetched = await self._sync(digest)
            finally:
                telling.cancel()
                await telling
            if fetched is None:
                return None
            fetched_bytes = fetched
        self.problem = None
        self._events.clear_problems()
        await self._report()
        return Outcome(generation, self._library.held_view, fetched_bytes)

    async def _sync(self, digest: str) -> int | None:
        """Run a sync, and listen meanwhile; see ``Syncing.run``."""
        ended: list[int | Failure | None] = []

        def end(result: int | Failure | None) -> None:
            # Its end rings the bell, too, so that this coroutine waits for nothing else.
            ended.append(result)
            self._bell.ring()

        began_s = self._clock.seconds()
        syncing = Deferred.fromCoroutine(self._syncing.run(digest))
        syncing.addBoth(end)
        was_triggered = False
        try:
            while not ended:
                await self._bell.wait()
                if self._is_triggered and not ended:
                    self._is_triggered = False
                    was_triggered = True
                    await self._let_go(digest)
        finally:
            syncing.cancel()
            while not ended:
                await self._bell.wait()
            self._bell.silence()
            if was_triggered or self._is_triggered:
                self.trigger()
        self._count(ended[0], self._clock.seconds() - began_s)
        if isinstance(ended[0], Failure):
            ended[0].raiseException()
        return ended[0]

    def _count(self, end: int | Failure | None, took_s: float) -> None:
        is_failed = isinstance(end, Failure)
        outcome = "failed" if is_failed else "abandoned" if end is None else "complete"
        self._tally.add(SYNCS, 1, outcome)
        self._tally.add(SYNC_SECONDS, took_s)
        if isinstance(end, Failure):
            error = end.value
            reason = error.code if isinstance(error, RackferryError) else _BUG
            self._tally.add(SYNC_FAILURES, 1, reason)

    async def _let_go(self, digest: str) -> None:
        """End the transfers that a newer view than ``digest`` does not want."""
        try:
            _, newer = await self._region.current_view(self._library.held_view)
            if newer not in {digest, ""}:
                await self._syncing.abandon_for(newer)
        except RackferryError as error:
            _log.debug("no newer view: {line}", line=error.line())

    async def _tell_progress(self) -> None:
        """While a sync runs: say how far it is."""
        self._pace = Pace()
        told = None
        while True:
            await deferLater(self._clock, PROGRESS_S)
            progress = self.progress
            if progress is not None:
                self._pace = self._pace.saw(self._clock.seconds(), progress[0])
            if progress is None or progress == told or not self.is_connected:
                continue
            try:
                await self._region.report_progress(self.generation, *progress)
                told = progress
            except RackferryError as error:
                _log.debug("the region was not told: {line}", line=error.line())

    async def _failed(self, error: Exception, waiters: list[Deferred[Outcome]]) -> float:
        """Say so everywhere; returns how long to wait, in seconds."""
        if not isinstance(error, RackferryError):
            _log.failure("a bug in the sync")
            error = InternalError("internal error; the log of rackd says more")
        self._failures += 1
        if self.problem is not None:
            self._events.supersede(self.problem, error)
        self.problem = error
        self._events.raise_problem(error)
        await self._report()
        for waiter in waiters:
            waiter.errback(error)
        cap_s = NO_SPACE_RETRY_S if isinstance(error, NoSpace) else LAST_RETRY_S
        return backoff(self._failures, self._random, base_s=FIRST_RETRY_S, cap_s=cap_s)

    async def _report(self) -> None:
        """Tell the region how we are, if that is news."""
        lasting = self._events.lasting
        found = self.problem or (lasting[0] if lasting else _skipped(self._library.current))
        problem = json.dumps(found.to_json()) if found else ""
        report = (self.generation, self._library.held_view, problem)
        if not self.is_connected or report == self._told:
            return
        try:
            await self._region.report_sync(*report)
            self._told = report
        except RackferryError as error:
            _log.info("the region was not told: {line}", line=error.line())

    def _take_waiters(self) -> list[Deferred[Outcome]]:
        waiters, self._waiters = self._waiters, []
        return waiters


def _skipped(current: Snapshot | None) -> RackferryError | None:
    """What a rack that holds its view has to say all the same: not all of it has a place."""
    skipped = current.record.skipped if current else {}
    if not skipped:
        return None
    named = "; ".join(f"{image}: {reason}" for image, reason in sorted(skipped.items()))
    return Conflict(
        f"{len(skipped)} images of the view cannot be laid out: {named[:_MOST_TOLD]}",
        object="sync",
        code="image-skipped",
        remedy="select fewer, or tell the publisher",
    )


def _beside(work: Coroutine[Any, Any, None]) -> Deferred[None]:
    """Start something that is cancelled later, and whose cancellation is no failure."""
    started = Deferred.fromCoroutine(work)
    started.addErrback(lambda failure: failure.trap(CancelledError) and None)
    return started
