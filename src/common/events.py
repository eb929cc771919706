"""Events: failures and facts that an admin would want to know (pure).

Every event has a stable ``code``, a severity, the object it is about, its cause and a
remedy. An event is raised once per (code, object) and cleared when its cause is gone. What
only happened, and is over, is an event that is never open.
"""

from enum import StrEnum
from typing import Any

import attrs

from common.errors import RackferryError


class Severity(StrEnum):
    """How much an event matters, least first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@attrs.frozen
class Event:
    """Something that happened. ``at`` is seconds since the epoch (set by the store)."""

    code: str
    severity: Severity
    object: str
    cause: str
    remedy: str = ""
    at: float = 0.0
    id: int = 0

    @classmethod
    def of(cls, error: RackferryError, severity: Severity = Severity.ERROR) -> "Event":
        """The event of an expected failure."""
        return cls(error.code, severity, error.object, error.message, error.remedy)


@attrs.frozen
class Occurrence:
    """An event with its history.

    Attributes:
        event: as it was raised last; ``event.at`` is when.
        first_at: when it was raised first, in seconds since the epoch.
        count: how often it was raised.
        cleared_at: when its cause was gone; None while it is open.
    """

    event: Event
    first_at: float
    count: int = 1
    cleared_at: float | None = None

    @property
    def state(self) -> str:
        """``open``, ``cleared``; or ``happened``: over as it began."""
        if self.cleared_at is None:
            return "open"
        return "happened" if self.cleared_at == self.first_at else "cleared"

    def to_row(self) -> dict[str, Any]:
        """As the shell and the hooks get it."""
        event = self.event
        return {
            "id": event.id,
            "at": event.at,
            "severity": event.severity.value,
            "code": event.code,
            "object": event.object,
            "cause": event.cause,
            "remedy": event.remedy,
            "state": self.state,
            "count": self.count,
            "first_at": self.first_at,
            "cleared_at": self.cleared_at,
        }


def missed_row(count: int, now: float) -> dict[str, Any]:
    """For a reader that was too slow: how many changes it has not seen."""
    missed = Event(
        "events-missed",
        Severity.WARNING,
        "events",
        f"{count} changes came faster than they were read, and are not shown",
        "events read shows what is open",
        now,
    )
    return Occurrence(missed, now, cleared_at=now).to_row()


def at_least(level: Severity) -> frozenset[Severity]:
    """That severity, and all that are worse."""
    order = list(Severity)
    return frozenset(order[order.index(level) :])
