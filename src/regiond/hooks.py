"""Tells a site's own program or web address of events, at least once each.

What was told is in the database, so that it survives restarts, and only the region that has
the lease tells. One message is on its way at a time. What could not be told is tried again,
later and later, for a day. A hook that fails is itself an event, which clears when it works
again, and is told to no hook.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from common.backoff import backoff
from common.bell import Bell
from common.errors import RackferryError
from common.events import Event, Occurrence, Severity
from regiond.store import events, leases
from regiond.store.changes import Change
from regiond.store.database import Database
from regiond.telling import GIVE_UP_S, HOOK_FAILED, Hook, Message, is_given_up, messages

LEASE_TTL_S = 60.0
RETRY_BASE_S = 10.0
RETRY_CAP_S = 1800.0
MOST_READ = 1000
MOST_FAILURES = 3  # in a row: the hook itself is at fault, not a message

Deliver = Callable[[Message], Awaitable[None]]


@attrs.frozen
class Telling:
    """The region that tells: its database, its name, and its time.

    ``now`` is in seconds since the epoch; ``random`` gives a number in [0, 1).
    """

    database: Database
    name: str
    clock: IReactorTime
    now: Callable[[], float]
    random: Callable[[], float]


class Teller(Service):
    """Tells one hook.

    Args:
        hook: which.
        deliver: hands one message over; raises ``RackferryError`` if that failed.
        level: events of this severity and worse are told.
        region: who tells.
    """

    log = Logger()

    def __init__(self, hook: Hook, deliver: Deliver, level: Severity, region: Telling) -> None:
        self._hook = hook
        self._deliver = deliver
        self._level = level
        self._region = region
        self._database = region.database
        self._bell = Bell(region.clock)
        self._attempts: dict[int, int] = {}
        self._rounds_failed = 0
        self._may_have_failed = True  # in an earlier life
        self._telling: Deferred[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    def startService(self) -> None:
        """Begin with what was left."""
        super().startService()
        self._unsubscribe = self._database.subscribe(self._changed)
        self._telling = Deferred.fromCoroutine(self._tell_for_ever())
        self._telling.addErrback(self._ended)

    def stopService(self) -> Deferred[None] | None:
        """Stop; what is on its way is cut off, and told again later."""
        super().stopService()
        self._unsubscribe()
        if self._telling is not None:
            self._telling.cancel()
        return self._telling

    def _ended(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            self.log.failure("the hook is told nothing any more", failure)

    def _changed(self, changes: tuple[Change, ...]) -> None:
        if any(change.kind == "event" for change in changes):
            self._bell.ring()

    async def _tell_for_ever(self) -> None:
        while self.running:
            try:
                pause_s = await self._round()
            except CancelledError:
                raise
            except RackferryError as error:
                self.log.warn("hooks: {reason}", reason=error.line())
                pause_s = RETRY_CAP_S if self.running else 0.0
            except Exception:  # noqa: BLE001 - a bug must not end it
                self.log.failure("hooks")
                pause_s = RETRY_CAP_S
            if pause_s is None:
                await self._bell.wait()
            else:
                await self._pause(pause_s)

    async def _pause(self, pause_s: float) -> None:
        """Wait, whatever happens meanwhile."""
        over: Deferred[None] = Deferred()
        call = self._region.clock.callLater(pause_s, over.callback, None)
        try:
            await over
        finally:
            if call.active():
                call.cancel()

    async def _round(self) -> float | None:
        """Tell what waits; how long to wait until the next round, None for the next event."""
        if not await self._waiting():
            return None
        name, now = f"hook-{self._hook}", self._region.now()
        token = await self._database.write(
            leases.acquire, name, self._region.name, now, LEASE_TTL_S
        )
        if token is None:
            return LEASE_TTL_S
        try:
            is_done = await self._tell_waiting(name, token)
        finally:
            await self._database.write(leases.release, name, token)
        if is_done:
            self._rounds_failed = 0
            return 0.0  # what came meanwhile
        self._rounds_failed += 1
        return backoff(
            self._rounds_failed, self._region.random, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S
        )

    async def _waiting(self) -> tuple[Occurrence, ...]:
        since = self._region.now() - GIVE_UP_S
        return await self._database.read(events.untold, self._hook, self._level, since, MOST_READ)

    async def _tell_waiting(self, lease: str, token: int) -> bool:
        """One attempt for each message; whether all went well."""
        # An event may clear while it is being told: told is what it was when it was read.
        read_at = self._region.now()
        waiting = await self._waiting()
        self._attempts = {each.event.id: self._attempts.get(each.event.id, 0) for each in waiting}
        failures, in_a_row = 0, 0
        for message, about in messages(waiting, self._attempts, self._region.name, read_at):
            now = self._region.now()
            if not await self._database.write(leases.renew, lease, token, now, LEASE_TTL_S):
                return False
            try:
                await self._deliver(message)
            except RackferryError as error:
                failures, in_a_row = failures + 1, in_a_row + 1
                await self._failed(error, about, read_at)
            else:
                in_a_row = 0
                await self._database.write(events.mark_told, self._hook, _ids(about), read_at)
                await self._works()
            if in_a_row == MOST_FAILURES:
                break
        return not failures

    async def _failed(
        self, error: RackferryError, about: tuple[Occurrence, ...], read_at: float
    ) -> None:
        self._may_have_failed = True
        for each in about:
            self._attempts[each.event.id] += 1
        event = Event(
            "hook-failed",
            Severity.ERROR,
            object_name(self._hook),
            error.message,
            "look at [hooks] in regiond.toml and at what it names; what was not told is tried "
            "again for a day",
        )
        await self._database.write(events.raise_event, event, self._region.now())
        lost = [each for each in about if is_given_up(each, self._region.now())]
        if lost:
            self.log.error(
                "the {hook} of the hooks was never told of {codes}",
                hook=self._hook,
                codes=", ".join(each.event.code for each in lost),
            )
            await self._database.write(events.mark_told, self._hook, _ids(lost), read_at)

    async def _works(self) -> None:
        if self._may_have_failed:
            self._may_have_failed = False
            await forget_failure(self._database, self._hook, self._region.now())


async def forget_failure(database: Database, hook: Hook, now: float) -> None:
    """A hook works, or there is none any more; usually writes nothing."""
    known = await database.read(events.list_events, Severity.ERROR)
    place = (HOOK_FAILED, object_name(hook))
    if any((each.event.code, each.event.object) == place for each in known):
        await database.write(events.clear_event, *place, now)


def object_name(hook: Hook) -> str:
    """How events call a hook."""
    return f"hook {hook}"


def _ids(about: tuple[Occurrence, ...] | list[Occurrence]) -> list[int]:
    return [each.event.id for each in about]
