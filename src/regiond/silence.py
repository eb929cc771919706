"""Tells of racks that have said nothing for long, and takes it back when they are heard again.

A rack goes from region to region as it likes, so only the one that it reported to last judges
it; one that has never reported is still being set up.
"""

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from common.commands import SILENCE_LIMIT_S
from common.errors import RackferryError
from common.events import Event, Severity
from regiond.store import events, racks
from regiond.store.database import Database

LONG_S = 900.0
"""How long a rack says nothing before somebody is told: a restart or an update takes less."""
LOOK_S = 60.0


class SilenceWatch(Service):
    """See the module.

    Args:
        database: the store.
        region_name: this region's name.
        silence_s: for how long a rack has said nothing to this process; None: it never did.
        clock: for the timer, and for how long this process runs.
        now: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        database: Database,
        region_name: str,
        silence_s: Callable[[str], float | None],
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._region_name = region_name
        self._silence_s = silence_s
        self._clock = clock
        self._now = now
        self._began_s = 0.0
        self._loop = LoopingCall(self._begin)
        self._loop.clock = clock
        self._looking: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._began_s = self._clock.seconds()
        self._loop.start(LOOK_S, now=False)

    def stopService(self) -> Deferred[None] | None:
        """Stop; fires when nothing is under way."""
        super().stopService()
        self._loop.stop()
        if self._looking is not None:
            self._looking.cancel()
        return self._looking

    def _begin(self) -> Deferred[None]:
        self._looking = Deferred.fromCoroutine(self._look_once())
        return self._looking

    async def _look_once(self) -> None:
        try:
            await self._look()
        except CancelledError:
            return
        except RackferryError as error:
            self.log.warn("silent racks were not looked for: {why}", why=error.line())

    async def _look(self) -> None:
        known = await self._database.read(racks.list_racks)
        found = await self._database.read(events.list_events, code="rack-silent")
        told = {each.event.object for each in found if each.cleared_at is None}
        running_s = self._clock.seconds() - self._began_s
        for rack in known:
            if rack.seen_by != self._region_name:
                continue
            about, silence_s = f"rack {rack.name}", self._silence_s(rack.name)
            if silence_s is None or silence_s > running_s:
                silence_s = running_s
            if silence_s > LONG_S and about not in told:
                await self._database.write(events.raise_event, _silent(about), self._now())
            elif silence_s <= SILENCE_LIMIT_S < running_s and about in told:
                await self._database.write(events.clear_event, "rack-silent", about, self._now())


def _silent(about: str) -> Event:
    return Event(
        "rack-silent",
        Severity.WARNING,
        about,
        f"it has said nothing for more than {LONG_S / 60:.0f} minutes",
        "look whether it runs and reaches a region: on it, systemctl status rackd; if it is gone "
        "for good: rack-controller delete NAME",
    )
