"""A rack's events, kept in memory: what happened, what is still wrong, what to do.

The region keeps events for a month; a rack keeps the last ones since it started, for its own
socket, and writes each to the log. An event is raised once per (code, object) while its
cause lasts, and cleared when the cause is gone.
"""

from collections import deque
from collections.abc import Callable, Collection

import attrs
from twisted.logger import Logger, LogLevel

from common.errors import RackferryError
from common.events import Event, Occurrence, Severity, at_least

_MOST = 1000
_LEAST_S = 0.001
_LEVELS = {
    Severity.INFO: LogLevel.info,
    Severity.WARNING: LogLevel.warn,
    Severity.ERROR: LogLevel.error,
}

_log = Logger()


class EventLog:
    """The last events of this process.

    Args:
        now: the wall clock, in seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._past: deque[Occurrence] = deque(maxlen=_MOST)
        self._open: dict[tuple[str, str], Occurrence] = {}
        self._lasting: dict[tuple[str, str], RackferryError] = {}
        self._last_id = 0
        self._subscribers: list[Callable[[Occurrence], None]] = []

    def note(self, event: Event) -> None:
        """Something happened, and is over."""
        noted = self._begin(event)
        happened = attrs.evolve(noted, cleared_at=noted.first_at)
        self._past.append(happened)
        self._tell(happened)

    async def keep(self, event: Event) -> None:
        """As ``note``, for those who wait until an event is kept."""
        self.note(event)

    def raise_problem(self, error: RackferryError, *, lasts: bool = False) -> None:
        """Something is wrong; said once, and kept up to date, until it is cleared.

        Args:
            error: what.
            lasts: a sync that ends well says nothing about it; ``end`` does.
        """
        key = (error.code, error.object)
        if lasts:
            self._lasting[key] = error
        known = self._open.get(key)
        if known is None:
            self._open[key] = self._begin(Event.of(error))
            self._tell(self._open[key])
            return
        event = attrs.evolve(known.event, cause=error.message, remedy=error.remedy, at=self._now())
        self._open[key] = attrs.evolve(known, event=event, count=known.count + 1)

    def supersede(self, before: RackferryError, by: RackferryError) -> None:
        """A problem is over, since there is another one in its place."""
        if (before.code, before.object) != (by.code, by.object):
            self._clear((before.code, before.object))

    def clear_problems(self) -> None:
        """All is well again, but for what lasts."""
        over = [key for key in self._open if key not in self._lasting]
        if over:
            codes = ", ".join(sorted({code for code, _ in over}))
            for key in over:
                self._clear(key)
            self.note(Event("recovered", Severity.INFO, "", f"over: {codes}"))

    def end(self, about: Collection[str]) -> None:
        """What lasted, and is about these objects, is over."""
        for key in [key for key in self._lasting if key[1] in about]:
            del self._lasting[key]
            self._clear(key)

    @property
    def lasting(self) -> list[RackferryError]:
        """What is wrong and no sync can mend, oldest first."""
        return list(self._lasting.values())

    @property
    def problems(self) -> list[Event]:
        """What is wrong now, oldest first."""
        return [each.event for each in self._open.values()]

    def read(
        self, level: Severity = Severity.INFO, *, cleared: bool = False, code: str = ""
    ) -> list[Occurrence]:
        """The events of at least this severity, oldest first.

        Args:
            level: the least severity.
            cleared: whether problems that are over are wanted, too.
            code: only events with this code; "" for all.
        """
        found = [*self._past, *self._open.values()]
        found.sort(key=lambda each: each.event.id)
        wanted = {"open", "happened", *(["cleared"] if cleared else [])}
        return [
            each
            for each in found
            if each.event.severity in at_least(level)
            and each.state in wanted
            and code in {"", each.event.code}
        ]

    def subscribe(self, callback: Callable[[Occurrence], None]) -> Callable[[], None]:
        """Call ``callback`` with each event that opens, clears or happens.

        Returns:
            a function that ends the subscription.
        """
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def _begin(self, event: Event) -> Occurrence:
        self._last_id += 1
        event = attrs.evolve(event, at=self._now(), id=self._last_id)
        _log.emit(
            _LEVELS[event.severity],
            "{code}: {object}: {cause} ({remedy})",
            code=event.code,
            object=event.object,
            cause=event.cause,
            remedy=event.remedy,
        )
        return Occurrence(event, event.at)

    def _clear(self, key: tuple[str, str]) -> None:
        known = self._open.pop(key, None)
        if known is None:
            return
        # Never the moment it was raised: that would mean it only happened.
        cleared_at = max(self._now(), known.first_at + _LEAST_S)
        cleared = attrs.evolve(known, cleared_at=cleared_at)
        self._past.append(cleared)
        self._tell(cleared)

    def _tell(self, occurrence: Occurrence) -> None:
        for subscriber in tuple(self._subscribers):
            subscriber(occurrence)
