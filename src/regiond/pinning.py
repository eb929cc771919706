"""What can be asked about the version of an image: pin it, let it go on, go back to another."""

from collections.abc import Callable
from typing import Any

from regiond.rows import image_row
from regiond.store import images, pins
from regiond.store.database import Database


class Pinning:
    """The use-cases. Each answers with the row of the image and a ``message`` about it.

    Args:
        database: the store, which is all that pins are in: they hold for every region.
        now: seconds since the epoch.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def pin(self, image_id: int) -> dict[str, Any]:
        """Let a published version stay.

        Raises:
            NotFound, Conflict: see ``store.pins``.
        """
        await self._database.write(pins.pin, image_id, self._now())
        return await self._row(
            image_id, f"stays, whatever is newer; boot-resource unpin {image_id} ends that"
        )

    async def unpin(self, image_id: int) -> dict[str, Any]:
        """Let imports update it again.

        Raises:
            NotFound, Conflict: see ``store.pins``.
        """
        before = await self._database.write(pins.unpin, image_id, self._now())
        if not before.pinned:
            return await self._row(image_id, "it was not pinned")
        if before.type == "uploaded":
            said = "no import updates an upload; boot-resource rollback ID goes to the version ID"
        elif before.waiting_version:
            said = f"the next import updates it to {before.waiting_version}"
        else:
            said = "the next import updates it, if there is anything"
        return await self._row(image_id, said)

    async def roll_back(self, image_id: int) -> dict[str, Any]:
        """Publish an older version again, at once and on all racks, and pin it.

        Raises:
            NotFound, Conflict: see ``store.pins``.
        """
        done = await self._database.write(pins.roll_back, image_id, self._now())
        instead = f" in place of {done.before.version}" if done.before else ""
        row = await self._row(
            done.now.id,
            f"{done.now.version} is published{instead}, for all racks; it is pinned, so that no "
            f"import undoes this: boot-resource unpin {done.now.id} lets it be updated again",
        )
        return row | {"generation": done.generation}

    async def _row(self, image_id: int, message: str) -> dict[str, Any]:
        found = await self._database.read(images.image_details, image_id)
        return image_row(found) | {"message": message}
