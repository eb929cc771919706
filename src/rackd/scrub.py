"""The scrub: reads every finished blob from the disk, slowly, and finds what went bad.

It also looks whether the tree that machines see is still made of these blobs.

Once a week by itself, and when an admin says so. It goes on after a restart with the blob
that it was at. Reads are at idle priority where the disk's scheduler knows that, and never
faster than a limit. What ``rackd.checks`` does with a blob that is wrong is the same as
before a first serve.

After a start, small files that machines see and that were not verified since the machine
started are checked first: what is read past our HTTP port (TFTP, another web server) is
found soon, too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from common import durable
from common.bell import Bell
from common.canonical import canonical_json, parse
from common.errors import InternalError, NoDaemon, ProtocolError, RackferryError, StorageError
from common.events import Event, Severity
from common.pools import Threads
from common.scrub_record import ScrubRecord
from common.unbroken import unbroken
from rackd.checks import Checks
from rackd.event_log import EventLog
from rackd.examination import Examination, be_idle
from rackd.library import Library

START_S = 60.0
"""How long after a start before anything is read: machines that boot come first."""

LOOK_S = 3600.0
SAVE_EVERY_S = 10.0

_log = Logger()


class Scrub(Service):
    """See the module.

    Args:
        library: the blobs.
        checks: acts on what is found.
        path: where the record of it is kept.
        clock: for the time that passes.
        now: seconds since the epoch.
        random: gives a number in [0, 1).
        on_scrub: runs the reads, on a thread of their own.
        events: where failures are named.
        limit_bytes_s: how fast it reads at most.
    """

    def __init__(
        self,
        library: Library,
        checks: Checks,
        path: Path,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        random: Callable[[], float],
        on_scrub: Threads,
        events: EventLog,
        limit_bytes_s: float,
    ) -> None:
        self._library = library
        self._checks = checks
        self._path = path
        self._clock = clock
        self._now = now
        self._random = random
        self._on_scrub = on_scrub
        self._events = events
        self._limit_bytes_s = limit_bytes_s
        self._bell = Bell(clock)
        self._record = ScrubRecord()
        self._is_asked = False
        self._is_reading = False
        self._saved_at = 0.0
        self._total_bytes = 0
        self._waiters: list[Deferred[None]] = []
        self._looping: Deferred[None] | None = None

    # What can be asked

    def start(self) -> None:
        """Begin now; one that is not over goes on."""
        if not self._is_reading:
            self._is_asked = True
            self._bell.ring()

    async def wait(self) -> dict[str, Any]:
        """Begin now, and return how it is when it is over.

        Raises:
            NoDaemon: rackd is stopped before.
        """
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        self.start()
        await waiter
        return self.status()

    def status(self) -> dict[str, Any]:
        """How it is: a running one, the last whole one, and the next."""
        return self._record.row(self._total_bytes, is_asked=self._is_asked)

    # Life

    def startService(self) -> None:
        """Begin to look when it is due (called by Twisted)."""
        super().startService()
        self._looping = Deferred.fromCoroutine(self._loop())
        self._looping.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def _stop(self) -> None:
        looping, self._looping = self._looping, None
        if looping is not None:
            looping.cancel()
            await looping
        self._fail_waiters(NoDaemon("rackd is being stopped"))

    def stopService(self) -> Deferred[None]:
        """Stop; fires when no file is being read (called by Twisted)."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _loop(self) -> None:
        self._record = await self._on_scrub(self._read_record)
        await self._save(self._record.planned(self._now(), self._random()))
        await self._bell.wait(START_S)
        if not self._is_asked:  # else all is read now, and counted
            await self._guarded(self._check_small)
        while True:
            if self._is_asked or self._record.is_due(self._now()):
                await self._guarded(self._pass)
            due_s = max(0.0, self._record.next_at - self._now())
            await self._bell.wait(LOOK_S if self._record.is_running else min(LOOK_S, due_s))

    async def _guarded(self, work: Callable[[], Any]) -> None:
        """A failure is named and ends this attempt; nothing ends the loop."""
        try:
            await work()
        except CancelledError:
            raise
        except RackferryError as error:
            self._events.note(Event.of(error, Severity.WARNING))
            self._fail_waiters(error)
        except Exception:  # noqa: BLE001  (see above)
            _log.failure("a bug in the scrub")
            self._fail_waiters(InternalError("internal error; the log of rackd says more"))

    def _fail_waiters(self, error: RackferryError) -> None:
        for waiter in self._take_waiters():
            waiter.errback(error)

    # A pass

    async def _pass(self) -> None:
        self._is_asked, self._is_reading = False, True
        try:
            await self._save(self._record.begun(self._now()))
            await self._checks.compare_tree()
            blobs = await self._on_scrub(self._library.finished)
            self._total_bytes = sum(blobs.values())
            for sha256, size_bytes in blobs.items():
                if sha256 > self._record.after:
                    is_damaged = await self._scrub(sha256)
                    passed = self._record.passed(sha256, size_bytes, is_damaged=is_damaged)
                    await self._keep(passed)
            await self._checks.forget_all_but(await self._on_scrub(self._library.finished))
            await self._save(self._record.ended(self._now(), self._random()))
        finally:
            self._is_reading = False
        for waiter in self._take_waiters():
            waiter.callback(None)

    async def _scrub(self, sha256: str) -> bool:
        """Read one blob; whether it was found wrong, or could not be read for any reason.

        One that is gone meanwhile is fine.
        """
        path = self._library.cache / sha256
        try:
            examination = await unbroken(self._on_scrub(lambda: Examination(path, past_cache=True)))
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            self._events.raise_problem(error, lasts=True)
            return True
        try:
            while await self._read_piece(examination):
                pass
        finally:
            examination.close()
        try:
            found = await self._checks.conclude(sha256, examination, "by the scrub")
        except RackferryError as error:
            self._events.raise_problem(error)
            return True
        return found is not None

    async def _read_piece(self, examination: Examination) -> int:
        def work() -> int:
            be_idle()
            return examination.read_on()

        began_at = self._clock.seconds()
        size_bytes = await unbroken(self._on_scrub(work))
        await self._pace(size_bytes, began_at)
        return size_bytes

    async def _pace(self, size_bytes: int, began_at: float) -> None:
        rest_s = size_bytes / self._limit_bytes_s - (self._clock.seconds() - began_at)
        if rest_s > 0:
            await deferLater(self._clock, rest_s)

    async def _check_small(self) -> None:
        """What machines see, and nobody has read since the machine started."""
        record = self._library.current.record if self._library.current else None
        for file in {each.sha256: each for each in record.held_files}.values() if record else ():
            began_at = self._clock.seconds()
            try:
                is_read = await self._checks.before_serving(file)
            except RackferryError as error:
                _log.info("checked after the start: {line}", line=error.line())
                is_read = True
            if is_read:
                await self._pace(file.size_bytes, began_at)

    # The record

    async def _keep(self, record: ScrubRecord) -> None:
        """Go on with this record; it is saved now and then."""
        self._record = record
        if self._clock.seconds() - self._saved_at >= SAVE_EVERY_S:
            await self._save(record)

    async def _save(self, record: ScrubRecord) -> None:
        self._record = record
        self._saved_at = self._clock.seconds()
        try:
            await unbroken(
                self._on_scrub(lambda: durable.write_durably(self._path, canonical_json(record)))
            )
        except RackferryError as error:  # it costs some reading again after a restart
            _log.warn("the scrub's record was not kept: {line}", line=error.line())

    def _read_record(self) -> ScrubRecord:
        try:
            return parse(ScrubRecord, self._path.read_bytes(), "the scrub's record")
        except (OSError, ProtocolError):
            return ScrubRecord()

    def _take_waiters(self) -> list[Deferred[None]]:
        waiters, self._waiters = self._waiters, []
        return waiters
