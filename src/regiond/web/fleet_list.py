"""Every rack, as the page shows it (pure)."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from common.sizes import human_size
from regiond.web.html_ids import html_id
from regiond.web.picture import done_of

Row = Mapping[str, Any]

_ORDER = ("unknown", "out-of-sync", "syncing", "region-importing", "synced")


@attrs.frozen
class RackRow:
    """One rack. ``done``: how far its sync is, from 0 to 1; None if it fetches nothing."""

    name: str
    status: str
    done: float | None
    lag_said: str
    rate_said: str
    behind_since: float | None
    last_sync: float | None
    problem: str

    @property
    def html_id(self) -> str:
        """A name that may stand in any page, and is short: there may be many."""
        return html_id("r", self.name)


def rack_rows(racks: Sequence[Row]) -> list[RackRow]:
    """Those first that need somebody, then by name.

    Args:
        racks: of ``rack-controllers read``.
    """
    rows = [
        RackRow(
            rack["name"],
            rack["status"],
            done_of(rack),
            _lag(rack),
            _rate(rack["progress"]),
            rack["lag_since"],
            rack["last_sync"],
            rack["problem"]["message"] if rack["problem"] else "",
        )
        for rack in racks
    ]
    return sorted(rows, key=lambda row: (not row.problem, _ORDER.index(row.status), row.name))


def _lag(rack: Row) -> str:
    behind = int(rack["lag_generations"])
    if behind and not rack["generation"]:
        return "everything"
    return f"{behind} generation{'' if behind == 1 else 's'}" if behind else "0"


def _rate(progress: Row | None) -> str:
    rate_bytes_s = progress and progress["rate_bytes_s"]
    return f"{human_size(int(rate_bytes_s))}/s" if rate_bytes_s else ""
