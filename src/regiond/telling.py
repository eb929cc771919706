"""What a hook is told of events (pure).

A message is one JSON object: the event as the shell shows it, and the region's name. An event
is told when it opens and, if that was told, when it is over; what is over before it could be
told is told once, as over. Of more than a hundred that wait, one message tells how many.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from common.events import Event, Occurrence, Severity

HOOK_FAILED = "hook-failed"
MOST_WAITING = 100
MOST_CODES = 10
GIVE_UP_S = 24 * 3600.0

Message = Mapping[str, Any]


class Hook(StrEnum):
    """Who is told."""

    PROGRAM = "program"
    WEBHOOK = "webhook"


def messages(
    waiting: Sequence[Occurrence], attempts: Mapping[int, int], region: str, now: float
) -> list[tuple[Message, tuple[Occurrence, ...]]]:
    """What to say now, in order, and which events each message is about.

    Those that failed most often come last, so that one that always fails stops no other.

    Args:
        waiting: what is to be told, oldest first.
        attempts: by the id of an event, how often telling it has failed.
        region: who says so.
        now: seconds since the epoch.
    """
    if len(waiting) > MOST_WAITING:
        return [(_message(_summary(waiting, now), region), tuple(waiting))]
    in_turn = sorted(waiting, key=lambda each: attempts.get(each.event.id, 0))
    return [(_message(each, region), (each,)) for each in in_turn]


def environment(message: Message) -> dict[str, str]:
    """The whole environment of a program that is told: the message's main words, and a PATH."""
    words = {
        f"RACKFERRY_EVENT_{key.upper()}": _sayable(str(message[key]))
        for key in ("code", "severity", "object", "state", "cause", "remedy", "id")
    }
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "RACKFERRY_REGION": message["region"],
        **words,
    }


def is_given_up(occurrence: Occurrence, now: float) -> bool:
    """Whether an event that could not be told has waited for so long that it is let go."""
    since = occurrence.cleared_at or occurrence.first_at
    return now - since > GIVE_UP_S


def _sayable(text: str) -> str:
    """What an environment can hold: names of upstream may have anything in them."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _message(occurrence: Occurrence, region: str) -> Message:
    return {**occurrence.to_row(), "region": region}


def _summary(waiting: Sequence[Occurrence], now: float) -> Occurrence:
    order = list(Severity)
    worst = max((each.event.severity for each in waiting), key=order.index)
    found = Counter(each.event.code for each in waiting).most_common()
    shown = ", ".join(f"{code} ({count})" for code, count in found[:MOST_CODES])
    more = ", ..." if len(found) > MOST_CODES else ""
    event = Event(
        "events-many",
        worst,
        "events",
        f"{len(waiting)} events at once: {shown}{more}",
        "events read shows each of them",
        now,
    )
    return Occurrence(event, now, cleared_at=now)
