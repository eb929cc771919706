"""Freshness of signed documents, which simplestreams itself does not have (pure).

A signature never grows old by itself, so a mirror could show yesterday's documents for
ever. Three rules, all on the signed ``updated``:

* It must not go back. Mirrors lag, though: what is older is refused and the last good
  document stays in use, without a word for the first hours. An admin may let a source go
  back, once.
* It must not lie more than a day ahead, or nothing true could follow it. A date that was
  wrong by less than that locks out the right ones for that long at most, and then heals.
* 30 days without a change are worth an event.

What is known of a source's dates stands in its stored documents: it survives restarts, and
is forgotten with them when the source gets another URL or keyring.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from common.errors import SourceError
from common.events import Event, Severity

MAX_AHEAD_S = 24 * 3600
MAX_AGE_S = 30 * 24 * 3600
LAG_S = 6 * 3600


def judge_future(updated: int | None, now: float, name: str) -> None:
    """Refuse a document from the future.

    Args:
        updated: what the document says, seconds since the epoch.
        now: seconds since the epoch.
        name: the document's URL, for messages.

    Raises:
        SourceError: code ``source-future``.
    """
    if updated is not None and updated > now + MAX_AHEAD_S:
        raise SourceError(
            f"the document is of {_date(updated)}, more than a day ahead of this machine's clock",
            object=name,
            code="source-future",
            remedy="set this machine's clock, or ask whoever publishes the source; "
            "the next import that finds both right simply works",
        )


def went_back(updated: int | None, last: int | None) -> str:
    """How a document went back since it was read last, in words; "" if it did not."""
    if last is None or (updated is not None and updated >= last):
        return ""
    found = "has no date any more" if updated is None else f"is of {_date(updated)}"
    return f"{found}, but one of {_date(last)} was read before"


def lag_event(refused: Sequence[str], since: float, now: float, name: str) -> Event | None:
    """The event of a source that has shown older documents for hours; None until then.

    Args:
        refused: what is older, in words.
        since: when that was first seen, seconds since the epoch.
        now: seconds since the epoch.
        name: the source's.
    """
    if not refused or now - since < LAG_S:
        return None
    return rollback_event(refused, since, name)


def rollback_event(refused: Sequence[str], since: float, name: str) -> Event:
    """That older documents are refused, and since when; as for ``lag_event``."""
    return Event(
        "source-rollback",
        Severity.WARNING,
        name,
        f"older documents are refused since {_date(since)}: {'; '.join(refused)}",
        "the newer ones stay in use; look at the mirror, or, if its publisher went back on "
        f"purpose, let it pass once: boot-source update {name.rpartition(' ')[2]} "
        "accept_rollback=true",
    )


def accepted_event(accepted: Sequence[str], by: str, name: str) -> Event:
    """For the record: documents went back, because somebody let them."""
    return Event(
        "source-rollback-accepted",
        Severity.INFO,
        name,
        f"{by} let older documents pass, once: {'; '.join(accepted)}",
    )


def old_age(dates: Iterable[int | None], now: float, name: str) -> Event | None:
    """The event of a source whose newest document is more than 30 days old."""
    newest = max((date for date in dates if date is not None), default=None)
    if newest is None or now - newest <= MAX_AGE_S:
        return None
    return Event(
        "source-old",
        Severity.WARNING,
        name,
        f"nothing was published since {_date(newest)}",
        "look whether the source is still maintained, or a mirror is stuck",
    )


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
