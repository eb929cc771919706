"""Letting go of what nobody needs any more: old images, views, events, and their bytes.

Runs at the end of an import, under its lease. Versions beyond those that are kept are
retired first. Times of grace, one after the other: a retired image or document keeps its
bytes for two hours (``store.images.GRACE_S``: racks may still be fetching them); a blob
without any reference stays for another hour (``GARBAGE_GRACE_S``: an admin may want back
what was just deleted); a past event is kept for ``events_days``. Events
expire daily, too, even if nothing is ever imported.
"""

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from common.errors import RackferryError
from regiond.settings_table import all_values
from regiond.store import events, garbage, generations, images, kept, mirrors, settings
from regiond.store.database import Database

GARBAGE_GRACE_S = 3600.0
DAY_S = 24 * 3600.0


async def is_due(database: Database, now: float) -> bool:
    """Whether there is anything to let go of; reads only."""
    if await database.read(kept.surplus_images):
        return True
    return await database.read(garbage.is_due, now, GARBAGE_GRACE_S)


async def clean_up(database: Database, now: float) -> None:
    """Let go; the file of an embedded database gets smaller."""
    await database.write(generations.let_surplus_go, now)
    await database.write(images.forget_retired, now)
    await database.write(mirrors.forget_retired, now)
    await database.write(generations.prune, now)
    await expire_events(database, now)
    await garbage.collect(database, now, GARBAGE_GRACE_S)


async def expire_events(database: Database, now: float) -> None:
    """Forget the events that were over, or were mere news, for long; writes only if there are any."""
    values = all_values(await database.read(settings.everything))
    before = now - values["events_days"] * DAY_S
    if await database.read(events.has_expired, before):
        await database.write(events.expire, before)


class EventExpiry(Service):
    """Lets events expire at the start and once a day.

    Args:
        database: the store.
        clock: for the day.
        now: seconds since the epoch.
    """

    log = Logger()

    def __init__(self, database: Database, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        self._loop = LoopingCall(self._begin)
        self._loop.clock = clock
        self._expiring: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._loop.start(DAY_S)

    def stopService(self) -> Deferred[None] | None:
        """Stop; fires when nothing is under way."""
        super().stopService()
        self._loop.stop()
        if self._expiring is not None:
            self._expiring.cancel()
        return self._expiring

    def _begin(self) -> Deferred[None]:
        self._expiring = Deferred.fromCoroutine(self._expire())
        return self._expiring

    async def _expire(self) -> None:
        try:
            await expire_events(self._database, self._now())
        except CancelledError:
            return
        except RackferryError as error:
            self.log.warn("events did not expire today: {reason}", reason=error.line())
