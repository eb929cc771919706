"""A rack's events, kept in memory: what happened, what is still wrong, what to do.

The region keeps events for ever; a rack keeps the last ones since it started, for its own
socket, and writes each to the log. An event is raised once per (code, object) while its
cause lasts, and cleared when the cause is gone.
"""

from collections import deque
from collections.abc import Callable

import attrs
from twisted.logger import Logger, LogLevel

from common.errors import RackferryError
from common.events import Event, Severity

_MOST = 1000
_LEVELS = {
    Severity.INFO: LogLevel.info,
    Severity.WARNING: LogLevel.warn,
    Severity.ERROR: LogLevel.error,
}
_ORDER = list(Severity)

_log = Logger()


class EventLog:
    """The last events of this process.

    Args:
        now: the wall clock, in seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._events: deque[Event] = deque(maxlen=_MOST)
        self._open: dict[tuple[str, str], Event] = {}
        self._last_id = 0

    def note(self, event: Event) -> None:
        """Something happened, and is over."""
        self._last_id += 1
        event = attrs.evolve(event, at=self._now(), id=self._last_id)
        self._events.append(event)
        _log.emit(
            _LEVELS[event.severity],
            "{code}: {object}: {cause} ({remedy})",
            code=event.code,
            object=event.object,
            cause=event.cause,
            remedy=event.remedy,
        )

    def raise_problem(self, error: RackferryError) -> None:
        """Something is wrong; said once, and kept up to date, until it is cleared."""
        key = (error.code, error.object)
        if key in self._open:
            self._open[key] = attrs.evolve(
                self._open[key], cause=error.message, remedy=error.remedy
            )
            return
        self.note(Event.of(error))
        self._open[key] = self._events[-1]

    def supersede(self, before: RackferryError, by: RackferryError) -> None:
        """A problem is over, since there is another one in its place."""
        if (before.code, before.object) != (by.code, by.object):
            self._open.pop((before.code, before.object), None)

    def clear_problems(self) -> None:
        """All is well again."""
        if self._open:
            codes = ", ".join(sorted({code for code, _ in self._open}))
            self._open.clear()
            self.note(Event("recovered", Severity.INFO, "", f"over: {codes}"))

    @property
    def problems(self) -> list[Event]:
        """What is wrong now, oldest first."""
        return list(self._open.values())

    def read(self, least: Severity = Severity.INFO, *, cleared: bool = True) -> list[Event]:
        """The events of at least this severity, oldest first.

        Args:
            least: the least severity.
            cleared: whether those that are over are wanted, too.
        """
        events = list(self._events) if cleared else self.problems
        return [event for event in events if _ORDER.index(event.severity) >= _ORDER.index(least)]
