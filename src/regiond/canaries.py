"""What can be asked about canaries: which racks get new versions first, and what waits."""

from collections.abc import Callable, Sequence
from typing import Any

from common.durations import seconds_of, short_duration
from regiond.fleet import RegionFleet
from regiond.rows import waiting_row
from regiond.store import canaries, promotions
from regiond.store.database import Database


class Canaries:
    """The use-cases.

    Args:
        database: the store, which is all that canaries are in: they hold for every region.
        fleet: the racks.
        now: seconds since the epoch.
    """

    def __init__(self, database: Database, fleet: RegionFleet, now: Callable[[], float]) -> None:
        self._database = database
        self._fleet = fleet
        self._now = now

    async def change(
        self, names: Sequence[str] | None, after: str | None, *, promotes: bool
    ) -> dict[str, Any]:
        """Change what is given, and promote what waits if that is wanted.

        Raises:
            WrongUsage: ``after`` is neither a time nor "promote".
            NotFound: no such rack.
        """
        wait: canaries.After | None = None
        if after is not None:
            is_time = after != canaries.BY_ADMIN
            wait = float(seconds_of(after, "after")) if is_time else canaries.BY_ADMIN
        if names is not None or wait is not None or promotes:
            await self._database.write(
                promotions.change,
                None if names is None else tuple(dict.fromkeys(names)),
                wait,
                self._now(),
                promotes=promotes,
            )
        return await self.row()

    async def row(self) -> dict[str, Any]:
        """Who the canaries are, and what the other racks wait for."""
        after = await self._database.read(canaries.after)
        waiting = await self._database.read(canaries.waiting)
        times = [each.due_at for each in waiting if each.due_at is not None]
        racks = await self._fleet.list_racks()
        return {
            "names": [row["name"] for row in racks if row["canary"]],
            "after": short_duration(after) if isinstance(after, float) else after,
            "racks_waiting": sum(bool(row["waits"]) for row in racks),
            "due_at": min(times, default=None),
            "waiting": [waiting_row(each) for each in waiting],
        }
