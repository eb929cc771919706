"""What can be asked about the settings, and their values at any moment.

The values are those of the database; ``reload`` is called whenever the change feed says that
one of them changed, so that every part of every region goes by the new ones at once.
"""

from collections.abc import Callable, Mapping
from typing import Any

from regiond.settings_table import SETTINGS, all_values, read_changes, setting
from regiond.store import settings
from regiond.store.database import Database


class RegionSettings:
    """The settings of the region.

    Args:
        database: where they are kept.
        now: seconds since the epoch.

    Attributes:
        values: by name, as of the last ``reload``; the defaults before the first.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        self.values: Mapping[str, Any] = all_values({})

    async def reload(self) -> None:
        """Bring ``values`` up to date."""
        self.values = all_values(await self._database.read(settings.everything))

    async def list_all(self) -> list[dict[str, Any]]:
        """Every setting."""
        await self.reload()
        return [each.row(self.values[each.name]) for each in SETTINGS]

    async def one(self, name: str) -> dict[str, Any]:
        """One setting.

        Raises:
            NotFound: code ``setting-unknown``.
        """
        found = setting(name)
        await self.reload()
        return found.row(self.values[name])

    async def change(self, texts: Mapping[str, str]) -> list[dict[str, Any]]:
        """Set these, all or none; an empty text gives a setting its default back.

        Raises:
            NotFound: code ``setting-unknown``.
            WrongUsage: one of them cannot be that, or there is none.
        """
        changes = read_changes(texts)
        await self._database.write(settings.change, changes, self._now())
        return [await self.one(name) for name in changes]
