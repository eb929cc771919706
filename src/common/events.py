"""Events: failures and facts that an admin would want to know (pure).

Every event has a stable ``code``, a severity, the object it is about, its cause and a
remedy. An event is raised once per (code, object) and cleared when its cause is gone.
"""

from enum import StrEnum

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
