"""Asks racks to sync, and waits until they have: all, or one."""

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from regiond.fleet import RegionFleet
from regiond.sync_standing import Standing, failure_of, progress_of, standing_of

LOOK_INTERVAL_S = 0.5
NOT_CONNECTED = "not connected"


class RackSyncs:
    """See the module.

    Args:
        fleet: knows how racks are.
        ask: tells one rack, or all (None), to sync now; the names of those that took it.
        clock: for the time between two looks.
    """

    def __init__(
        self,
        fleet: RegionFleet,
        ask: Callable[[str | None], Awaitable[list[str]]],
        clock: IReactorTime,
    ) -> None:
        self._fleet = fleet
        self._ask = ask
        self._clock = clock

    async def begin(self, name: str | None) -> list[dict[str, str]]:
        """Tell one rack, or all, to sync; who was told."""
        told = await self._ask(name)
        rows = await self._rows(name)
        return [
            {"name": row["name"], "status": "told" if row["name"] in told else NOT_CONNECTED}
            for row in rows
        ]

    async def wait(self, name: str | None, tell: Callable[[Any], None]) -> list[dict[str, str]]:
        """Tell one rack, or all, to sync, and wait until each holds what it is to hold now.

        A rack that cannot be reached is waited for; one that comes back syncs by itself.

        Raises:
            NotFound: no such rack.
            TransferError: racks have said why they could not; code racks-not-synced.
        """
        rows = await self._rows(name)
        wanted = await self._fleet.generation()
        names = {row["name"] for row in rows}
        before = self._fleet.looks_ended()
        told = await self._ask(name)
        while True:
            rows = [row for row in await self._fleet.list_racks() if row["name"] in names]
            ended = self._fleet.looks_ended()
            looked = {each for each in names if ended.get(each, 0) > before.get(each, 0)}
            standings = {
                row["name"]: standing_of(row, wanted, has_looked=row["name"] in looked)
                for row in rows
            }
            away = names - looked - set(told)
            pending = [row for row in rows if standings[row["name"]] is Standing.PENDING]
            failed = [row for row in rows if standings[row["name"]] is Standing.FAILED]
            if not pending:
                break
            seen = [
                row | {"status": NOT_CONNECTED} if row["name"] in away else row for row in pending
            ]
            tell(progress_of(rows, seen, failed))
            await deferLater(self._clock, LOOK_INTERVAL_S)
        if name is not None and not rows:
            await self._rows(name)  # it was deleted meanwhile, and is not found
        if failed:
            raise failure_of(failed, len(rows))
        return [{"name": row["name"], "status": row["status"]} for row in rows]

    async def _rows(self, name: str | None) -> list[dict[str, Any]]:
        if name is None:
            return await self._fleet.list_racks()
        return [await self._fleet.describe_rack(name)]
