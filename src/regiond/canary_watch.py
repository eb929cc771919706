"""Promotes what canaries have tried for long enough; any region does, whichever looks first."""

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from common.bell import Bell
from common.errors import RackferryError
from regiond.store import promotions
from regiond.store.changes import Change
from regiond.store.database import Database

LONGEST_S = 300.0
"""How often it looks although nothing is due: another region may have published and ended."""
OVERDUE_S = 10.0
"""How often while a canary keeps back what is due."""
_KINDS = frozenset({"generation", "canary"})


class CanaryWatch(Service):
    """See the module. It looks when something is due, and when the store says so.

    Args:
        database: the store.
        clock: for the timer.
        now: seconds since the epoch.
    """

    log = Logger()

    def __init__(self, database: Database, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        self._bell = Bell(clock)
        self._said: tuple[str, ...] = ()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._watching: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._unsubscribe = self._database.subscribe(self._changed)
        self._watching = Deferred.fromCoroutine(self._watch())
        self._watching.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def stopService(self) -> Deferred[None] | None:
        """Stop; fires when nothing is under way."""
        super().stopService()
        self._unsubscribe()
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
        return watching

    def _changed(self, changes: tuple[Change, ...]) -> None:
        if any(each.kind in _KINDS for each in changes):
            self._bell.ring()

    async def _watch(self) -> None:
        while True:
            try:
                delay_s = await self._look()
            except RackferryError as error:
                self.log.warn("canaries were not looked at: {why}", why=error.line())
                delay_s = OVERDUE_S
            await self._bell.wait(delay_s)

    async def _look(self) -> float:
        """Promote what is due; returns when to look again, in seconds from now."""
        now = self._now()
        found = await self._database.read(promotions.outlook, now)
        # What is held back is said when it begins and when its reasons change, not each time.
        is_news = found.failing != self._said if found.failing else found.due or found.is_told
        if is_news:
            await self._database.write(promotions.promote_due, now)
        self._said = found.failing
        if found.failing:
            return OVERDUE_S
        return LONGEST_S if found.next_at is None else min(LONGEST_S, found.next_at - now)
