"""Freshness of signed documents, which simplestreams itself does not have (pure).

A signature never grows old by itself, so a mirror could show yesterday's documents for
ever. Three rules, all on the signed ``updated``: it must not go back, it must not lie more
than a day ahead, and 30 days without a change are worth an event.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from common.errors import SourceError
from common.events import Event, Severity

MAX_AHEAD_S = 24 * 3600
MAX_AGE_S = 30 * 24 * 3600


def judge_freshness(updated: int | None, last: int | None, now: float, name: str) -> None:
    """Refuse a document whose date cannot be believed.

    Args:
        updated: what the document says, seconds since the epoch.
        last: what it said when it was read last.
        now: seconds since the epoch.
        name: the document's URL, for messages.

    Raises:
        SourceError: ``source-rollback`` or ``source-future``.
    """
    if last is not None and (updated is None or updated < last):
        found = "has no date any more" if updated is None else f"is of {_date(updated)}"
        raise SourceError(
            f"the document {found}, but one of {_date(last)} was read before",
            object=name,
            code="source-rollback",
            remedy="nothing, if a mirror lags behind; the newer one is kept",
        )
    if updated is not None and updated > now + MAX_AHEAD_S:
        raise SourceError(
            f"the document is of {_date(updated)}, more than a day ahead of this machine's clock",
            object=name,
            code="source-future",
            remedy="set this machine's clock, or ask whoever publishes the source",
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


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
