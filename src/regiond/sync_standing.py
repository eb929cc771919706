"""What those who wait for racks, or look after them, are to know (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from common.errors import TransferError

LONG_BEHIND_S = 600.0
MOST_NAMED = 10
MOST_TOLD = 40

Row = Mapping[str, Any]


class Standing(StrEnum):
    """How a rack stands with what somebody waits for."""

    DONE = "done"
    FAILED = "failed"
    PENDING = "pending"


def standing_of(row: Row, wanted: int, *, has_looked: bool) -> Standing:
    """How a rack stands.

    Args:
        row: the rack, as it is shown.
        wanted: the generation that it is to hold, or a newer one.
        has_looked: whether it has ended a look since it was asked for one: what it said
            before that is old.
    """
    if row["status"] == "unknown" or not has_looked:
        return Standing.PENDING
    if row["status"] == "synced" or row["generation"] >= wanted > 0:
        return Standing.DONE
    if row["problem"] and row["progress"] is None:
        return Standing.FAILED
    return Standing.PENDING


def to_look_at(
    rows: Iterable[Row], now: float, problems: Iterable[Row]
) -> dict[tuple[str, str], int]:
    """How many racks somebody is to look at although no event says so.

    Args:
        rows: all racks, as they are shown.
        now: seconds since the epoch.
        problems: the open events.
    """
    rows = list(rows)
    silent = {each["object"] for each in problems if each["code"] == "rack-silent"}
    unknown = [row for row in rows if row["status"] == "unknown"]
    return {
        ("rack unknown", "racks unknown"): sum(
            f"rack {row['name']}" not in silent for row in unknown
        ),
        ("rack long behind", "racks long behind"): sum(_is_stuck(row, now) for row in rows),
    }


def _is_stuck(row: Row, now: float) -> bool:
    """Behind for long, and neither fetching nor saying why."""
    return (
        row["status"] == "out-of-sync"
        and row["problem"] is None
        and row["lag_since"] is not None
        and now - row["lag_since"] > LONG_BEHIND_S
    )


def progress_of(
    rows: Sequence[Row], pending: Sequence[Row], failed: Sequence[Row]
) -> dict[str, Any]:
    """How far they are, as the shell is told."""
    moving = [row["progress"] for row in pending if row["progress"] is not None]
    return {
        "phase": "syncing racks",
        "done": len(rows) - len(pending) - len(failed),
        "failed": len(failed),
        "total": len(rows),
        "fetched_bytes": sum(each["fetched_bytes"] for each in moving),
        "total_bytes": sum(each["total_bytes"] for each in moving),
        "parts": [_part(row) for row in sorted(pending, key=_most_telling)[:MOST_TOLD]],
        "waiting_for": missing_text(pending, failed),
    }


def _part(row: Row) -> dict[str, Any]:
    progress = row["progress"] or {}
    return {
        "name": row["name"],
        "state": row["status"],
        "fetched_bytes": progress.get("fetched_bytes"),
        "total_bytes": progress.get("total_bytes"),
    }


def _most_telling(row: Row) -> tuple[bool, str]:
    """Those that move first."""
    return row["progress"] is None, row["name"]


def missing_text(pending: Sequence[Row], failed: Sequence[Row]) -> str:
    """Which racks are missing, and why."""
    texts = [f"{row['name']} is {row['status']}" for row in pending]
    texts += [f"{row['name']} failed: {row['problem']['message']}" for row in failed]
    more = len(texts) - MOST_NAMED
    return ", ".join(texts[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def failure_of(failed: Sequence[Row], count: int) -> TransferError:
    """What became of the racks that said why they did not sync."""
    named = "; ".join(_reason(row) for row in failed[:MOST_NAMED])
    more = f"; and {len(failed) - MOST_NAMED} more" if len(failed) > MOST_NAMED else ""
    return TransferError(
        f"{len(failed)} of {count} did not sync: {named}{more}",
        object="racks",
        code="racks-not-synced",
        remedy=failed[0]["problem"]["remedy"] or "rack-controller read NAME says more",
    )


def _reason(row: Row) -> str:
    problem = row["problem"]
    about = f"{problem['object']}: " if problem["object"] else ""
    return f"{row['name']}: {about}{problem['message']}"
