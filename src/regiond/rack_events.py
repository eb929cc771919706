"""What racks say of themselves, as events (pure)."""

import json
from collections.abc import Mapping

from common.durations import human_duration
from common.events import Event, Severity

PROBLEM_CODE = "rack-sync"
MOST_SKEW_S = 60.0


def clock_of(name: str) -> str:
    """What an event of a rack's clock is about."""
    return f"clock of rack {name}"


def skew_event(name: str, skew_s: float) -> Event | None:
    """A rack's clock is so many seconds ahead of ours; None if that is near enough."""
    if abs(skew_s) <= MOST_SKEW_S:
        return None
    side = "ahead of" if skew_s > 0 else "behind"
    return Event(
        "clock-skew",
        Severity.WARNING,
        clock_of(name),
        f"it is {human_duration(abs(skew_s))} {side} the region's",
        "let both follow the same time servers (chrony, systemd-timesyncd)",
    )


def reported_problem(text: str) -> dict[str, str] | None:
    """An error object that a rack sent; None if it sent none."""
    if not text:
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        fields = {"message": "it failed, and the reason cannot be read"}
    return {name: str(fields.get(name, "")) for name in ("code", "object", "message", "remedy")}


def problem_event(name: str, fields: Mapping[str, str]) -> Event:
    """The event of an error object that a rack sent; ``name`` is how events call the rack."""
    about = f"{fields['object']}: " if fields["object"] else ""
    return Event(
        fields["code"] or PROBLEM_CODE,
        Severity.ERROR,
        name,
        about + fields["message"],
        fields["remedy"],
    )
