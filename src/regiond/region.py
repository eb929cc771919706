"""What can be asked of a region as a whole: what an import would do, its images, its events.

Use-cases behind the admin socket (and, later, the web page). They return plain values,
keyed as the shell documents them. Sources are in ``boot_sources`` and ``selections``, racks
in ``fleet``.
"""

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

import attrs

from common.backlog import Backlog
from common.canonical import plain
from common.events import Event, Severity, at_least, missed_row
from regiond.importer import Importer
from regiond.notices import plan_obstacles
from regiond.rows import image_row, plan_rows
from regiond.settings_table import all_values
from regiond.store import blobs, events, generations, image_sums, images, publication, settings
from regiond.store.changes import Change
from regiond.store.database import Database

MOST_TOLD = 40
"""Of how many images it is told how far they are, while somebody waits for an import."""


class Region:
    """The use-cases.

    Args:
        database: the store.
        importer: plans imports.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        importer: Importer,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._importer = importer
        self.now = now

    async def plan(self) -> list[dict[str, Any]]:
        """What an import would do now, one row per image; before them, what stands in its way.

        Raises:
            RackferryError: no source can be read, nor was one ever.
        """
        looks = await self._importer.look()
        errors = [look.error for look in looks if look.error is not None and not look.stored]
        if errors and len(errors) == len(looks):
            raise errors[0]
        plan = await self._importer.plan(looks)
        obstacles = [event for look in looks for event in look.obstacles]
        return plan_rows(plan, [*obstacles, *plan_obstacles(plan)])

    # Images

    async def list_images(self, image_type: str) -> list[dict[str, Any]]:
        """The images that are published or being imported, and the versions that are kept."""
        found = await self._database.read(image_sums.image_list)
        return [image_row(each) for each in found if image_type in {"all", each.type}]

    async def importing(self) -> list[dict[str, Any]]:
        """Those images that are begun and not whole, and how far each is."""
        begun = await self._database.read(image_sums.begun_images, MOST_TOLD)
        return [
            {
                "name": f"{each.key.os}/{each.key.release} {each.key.arch}/{each.key.subarch}",
                "state": each.version,
                "fetched_bytes": each.complete_bytes,
                "total_bytes": each.size_bytes,
            }
            for each in begun
        ]

    async def image(self, image_id: int) -> dict[str, Any]:
        """One image and its files."""
        found = await self._database.read(images.image_details, image_id)
        return image_row(found) | {
            "base_image": found.base_image,
            "kflavor": found.kflavor,
            "subarches": list(found.subarches),
            "source": found.source_id,
            "document_sha256": found.document_sha256,
            "published_at": found.published_at,
            "files": [plain(file) for file in found.files],
        }

    async def delete_image(self, image_id: int) -> dict[str, Any]:
        """Let a version go: a published one leaves the racks, and is fetched again if wanted.

        Raises:
            NotFound: there is no such image, or not any more.
            Conflict: it is pinned.
        """
        generation = await self._database.write(publication.delete_image, image_id, self.now())
        self._importer.unsettle()
        return {"id": image_id, "deleted": True, "generation": generation}

    # What happened

    async def note(self, event: Event) -> None:
        """Keep what happened, and is over."""
        await self._database.write(events.record_fact, event, self.now())

    async def list_events(
        self, level: Severity, *, cleared: bool, code: str = ""
    ) -> list[dict[str, Any]]:
        """What an admin would want to know, newest first.

        Args:
            level: the least severity.
            cleared: whether what is over is wanted, too.
            code: only this, and also what only happened; "" for all.
        """
        found = await self._database.read(events.list_events, level, cleared=cleared, code=code)
        return [each.to_row() for each in found]

    async def events_from(
        self, skipped: int, most: int, level: Severity, *, cleared: bool
    ) -> tuple[list[dict[str, Any]], int]:
        """As ``list_events``: at most so many after those that are skipped; and how many in all."""
        found, total = await self._database.read(
            events.events_from, skipped, most, level, cleared=cleared
        )
        return [each.to_row() for each in found], total

    async def follow_events(
        self, level: Severity, *, cleared: bool, code: str = ""
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The events there are, oldest first; then each that opens, clears or happens."""
        backlog: Backlog[int] = Backlog()

        def note(changed: Iterable[Change]) -> None:
            for each in changed:
                if each.kind == "event":
                    backlog.add(int(each.object))

        unsubscribe = self._database.subscribe(note)
        try:
            rows = (await self.list_events(level, cleared=cleared, code=code))[::-1]
            shown = {(row["id"], row["state"]) for row in rows}
            for row in rows:
                yield row
            while True:
                ids, missed = await backlog.take()
                if missed:
                    yield missed_row(missed, self.now())
                for each in await self._database.read(events.some_events, ids):
                    event = each.event
                    if event.severity in at_least(level) and code in {"", event.code}:
                        row = each.to_row()
                        if (row["id"], row["state"]) not in shown:
                            yield row
        finally:
            unsubscribe()

    async def overview(self) -> dict[str, Any]:
        """Images, space and open problems."""
        generation, view = await self._database.read(generations.current_generation)
        kept = await self._database.read(image_sums.image_list)
        return {
            "generation": generation,
            "view": view,
            "images": {
                "published": sum(each.state == "published" for each in kept),
                "importing": sum(each.state == "importing" for each in kept),
                "kept": sum(each.state == "kept" for each in kept),
                "published_bytes": sum(
                    each.size_bytes for each in kept if each.state == "published"
                ),
            },
            "pinned": [image_row(each) for each in kept if each.pinned],
            "space": await self.space(),
            "problems": await self.list_events(Severity.WARNING, cleared=False),
        }

    async def space(self) -> dict[str, Any]:
        """What images take, and what may still be taken."""
        held = await self._database.read(blobs.sums)
        values = all_values(await self._database.read(settings.everything))
        return {
            **attrs.asdict(held),
            "database_bytes": await self._database.size_bytes(),
            "free_bytes": await self._database.free_bytes(),
            "reserve_bytes": values["boot_images_reserve_mib"] << 20,
        }
