"""Compares what an import needs with what the disk of the database has."""

from collections.abc import Sequence

from common.errors import NoSpace
from regiond.settings_table import all_values
from regiond.space import Room, needed_bytes
from regiond.store import settings
from regiond.store.database import Database


class RoomWatch:
    """Knows what the last import had no room for.

    On PostgreSQL the free space is not known: everything is taken to fit until it does not.

    Args:
        database: whose disk it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lacking_bytes = 0

    async def now(self) -> Room | None:
        """What the last refused import needs, as things are now; None if it is not known."""
        free_bytes = await self._database.free_bytes()
        if free_bytes is None:
            return None
        values = all_values(await self._database.read(settings.everything))
        reserve_bytes = values["boot_images_reserve_mib"] << 20
        return Room(self._lacking_bytes, free_bytes, reserve_bytes)

    async def check(self, fetches: Sequence[int]) -> None:
        """Refuse what does not fit.

        Args:
            fetches: the bytes that are to come of each file.

        Raises:
            NoSpace: code ``import-space``, with the figures.
        """
        self._lacking_bytes = needed_bytes(fetches)
        room = await self.now()
        if fetches and room is not None and room.missing_bytes:
            raise room.refusal()

    async def explained(self, error: NoSpace, fetches: Sequence[int]) -> NoSpace:
        """What the database said when it was full, with the figures.

        Args:
            error: its words.
            fetches: as ``check``, by now.
        """
        self._lacking_bytes = needed_bytes(fetches)
        room = await self.now()
        figures = "" if room is None else f"; the rest {room.figures()}"
        return NoSpace(
            error.message + figures,
            object=error.object,
            code=error.code,
            remedy="free space there; it goes on by itself when there is room",
        )

    async def is_there(self) -> bool:
        """Whether there is room now for what there was none for."""
        room = await self.now()
        return room is None or not room.missing_bytes
