"""What surrounds every import that writes: its lease, and the record of how it ended."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from common.errors import Conflict, RackferryError, bug
from regiond.import_run import IMPORT, Run, about_import
from regiond.store import events, imports, leases
from regiond.store.database import Database

LEASE = "import"
LEASE_TTL_S = 15.0
LEASE_RENEWAL_S = 5.0


class ImportRecords:
    """Keeps them.

    Args:
        database: the store.
        holder: this region's name, for the lease.
        clock: for renewing the lease.
        now: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self, database: Database, holder: str, clock: IReactorTime, now: Callable[[], float]
    ) -> None:
        self._database = database
        self._holder = holder
        self._clock = clock
        self._now = now

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[int]:
        """The import lease, renewed while it is held; gives its fencing token.

        Raises:
            Conflict: code ``import-elsewhere``; another region imports.
        """
        epoch = await self._database.write(
            leases.acquire, LEASE, self._holder, self._now(), LEASE_TTL_S
        )
        if epoch is None:
            raise Conflict(
                "another region is importing",
                object=IMPORT,
                code="import-elsewhere",
                remedy="wait for it; racks of all regions get what it publishes",
            )
        renewing = LoopingCall(self._renew, epoch)
        renewing.clock = self._clock
        renewing.start(LEASE_RENEWAL_S, now=False)
        try:
            yield epoch
        finally:
            renewing.stop()
            await self._release(epoch)

    async def _renew(self, epoch: int) -> None:
        # Whoever lost the lease finds out by the next write.
        try:
            await self._database.write(leases.renew, LEASE, epoch, self._now(), LEASE_TTL_S)
        except RackferryError as error:
            self.log.warn("the import lease was not renewed: {reason}", reason=error.line())

    async def _release(self, epoch: int) -> None:
        # It would end by itself; why the import failed is worth more than why this did.
        try:
            await self._database.write(leases.release, LEASE, epoch)
        except RackferryError as error:
            self.log.warn("the import lease was not released: {reason}", reason=error.line())

    @asynccontextmanager
    async def recorded(self, run: Run) -> AsyncIterator[None]:
        """Around the work of ``run``: how it ended is kept, whatever happens."""
        run_id = await self._database.write(imports.begin_import, run.epoch, self._now())
        outcome, reason = "failed", ""
        try:
            yield
            outcome = "incomplete" if run.failed else "complete"
            reason = "; ".join(error.line() for error in run.failed.values())
        except CancelledError:
            outcome = "stopped"
            raise
        except RackferryError as error:
            reason = error.line()
            run.note(about_import(error))
            raise
        except Exception as error:
            unexpected = bug(error, IMPORT, "failed")
            reason = unexpected.line()
            run.note(about_import(unexpected))
            raise
        finally:
            await self._keep_outcome(run, run_id, outcome, reason)

    async def _keep_outcome(self, run: Run, run_id: int, outcome: str, reason: str) -> None:
        """Keep what was found and how it ended; a failure here must not hide the first one."""
        try:
            await self._database.write(
                events.settle, tuple(run.raised.values()), run.looked_at, self._now()
            )
            await self._database.write(
                imports.end_import,
                run_id,
                outcome,
                reason=reason,
                published=len(run.published),
                fetched_bytes=run.progress.fetched_bytes,
                now=self._now(),
            )
        except RackferryError as error:
            self.log.error("the import's end was not kept: {reason}", reason=error.line())
