"""Kept versions and vanished images, import by import."""

from common.images import Selection
from regiond.store import images, settings
from regiond.store.kept import VERSIONS
from tests.doubles.importing import (
    FIRST,
    JAMMY,
    KEYS,
    NOBLE,
    SECOND,
    ImportCase,
    path_of,
)

THIRD = "20250901"


class KeptVersionsTests(ImportCase):
    async def keep(self, versions: int) -> None:
        await self.database.write(settings.put, VERSIONS, versions, self.time)

    async def import_version(self, version: str) -> None:
        self.publish(self.product("jammy", {version: {"squashfs": version.encode()}}))
        await self.succeed()

    async def states(self) -> dict[str, str]:
        found = await self.database.read(images.list_images)
        return {image.version: image.state for image in found}

    async def test_a_newer_version_leaves_the_older_one_kept(self) -> None:
        """As many as the setting says, listed with their state."""
        await self.keep(2)
        await self.select(JAMMY)
        for version in (FIRST, SECOND, THIRD):
            await self.import_version(version)
        rows = await self.region.list_images("synced")
        self.assertEqual({row["version"]: row["state"] for row in rows}, {
            SECOND: "kept", THIRD: "published"})  # fmt: skip
        counts = (await self.region.overview())["images"]
        self.assertEqual([counts[name] for name in ("published", "importing", "kept")], [1, 0, 1])

    async def test_a_lower_setting_lets_the_surplus_go_although_nothing_changed_upstream(
        self,
    ) -> None:
        """The next import sees to it, and the one after has nothing to do."""
        await self.keep(2)
        await self.select(JAMMY)
        for version in (FIRST, SECOND):
            await self.import_version(version)
        self.assertEqual((await self.run_import()).outcome, "unchanged")
        await self.keep(1)
        await self.succeed()
        self.assertEqual(await self.states(), {SECOND: "published"})
        self.assertEqual((await self.run_import()).outcome, "unchanged")

    async def test_a_mirror_that_goes_back_costs_no_bytes(self) -> None:
        """The version that was kept is published again from what is held."""
        await self.keep(2)
        await self.select(JAMMY)
        for version in (FIRST, SECOND):
            await self.import_version(version)
        self.heal()
        await self.import_version(FIRST)
        self.assertEqual(self.source.requests[path_of("jammy", "squashfs")], 0)
        self.assertEqual(await self.states(), {FIRST: "published", SECOND: "kept"})

    async def test_one_kept_version_can_be_deleted(self) -> None:
        """That one goes; nothing is fetched because of it."""
        await self.keep(3)
        await self.select(JAMMY)
        for version in (FIRST, SECOND, THIRD):
            await self.import_version(version)
        found = await self.database.read(images.list_images)
        (gone,) = (image.id for image in found if image.version == FIRST)
        await self.region.delete_image(gone)
        await self.succeed()
        self.assertEqual(await self.states(), {SECOND: "kept", THIRD: "published"})

    async def test_an_unwanted_image_takes_its_kept_versions_along(self) -> None:
        """A deleted selection leaves nothing of it behind, and other images alone."""
        await self.keep(2)
        await self.select(JAMMY, NOBLE)
        for version in (FIRST, SECOND):
            self.publish(
                self.product("jammy", {version: {"squashfs": version.encode()}}),
                self.product("noble"),
            )
            await self.succeed()
        await self.deselect(1)
        result = await self.succeed()
        self.assertEqual(result.retired, (KEYS["jammy"],))
        self.assertEqual(await self.states(), {FIRST: "published"})

    async def test_the_guard_holds_kept_versions_too(self) -> None:
        """A source that suddenly has nothing of what is selected deletes nothing."""
        await self.keep(2)
        await self.select(JAMMY)
        for version in (FIRST, SECOND):
            await self.import_version(version)
        self.publish(self.product("noble"))
        await self.deselect(1)
        await self.select(type(JAMMY)("ubuntu", "jamy", ("amd64",)))
        await self.run_import()
        self.assertIn(("import-guarded", "import"), await self.open_events())
        self.assertEqual(await self.states(), {FIRST: "kept", SECOND: "published"})


class VanishedTests(ImportCase):
    VANISHED = ("image-vanished", KEYS["jammy"])

    async def test_what_vanished_upstream_stays_and_is_told_until_it_is_back(self) -> None:
        """One information with the remedy, also over a restart; then it is cleared."""
        both = (self.product("jammy"), self.product("noble"))
        self.publish(*both)
        await self.select(JAMMY, NOBLE)
        await self.succeed()
        self.publish(self.product("noble"))
        await self.succeed()
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})
        event = (await self.open_events())[self.VANISHED]
        self.assertEqual((event.severity.value, "selection" in event.remedy), ("info", True))
        self.build()
        await self.succeed()
        self.publish(*both)
        await self.succeed()
        self.assertEqual(await self.open_events(), {})

    async def test_it_is_cleared_when_it_is_not_wanted_any_more(self) -> None:
        """The remedy works."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY, NOBLE)
        await self.succeed()
        self.publish(self.product("noble"))
        await self.succeed()
        await self.deselect(1)
        await self.succeed()
        self.assertEqual(await self.open_events(), {})
        self.assertEqual(set(await self.versions()), {"noble"})

    async def test_it_can_be_deleted_where_its_selection_means_others_too(self) -> None:
        """The other remedy works, and the next import brings nothing of it back."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(Selection("ubuntu", "*"))
        await self.succeed()
        self.publish(self.product("noble"))
        await self.succeed()
        gone = (await self.published())["jammy"]
        remedy = (await self.open_events())[self.VANISHED].remedy
        self.assertIn(f"boot-resource delete {gone.id}", remedy)
        await self.region.delete_image(gone.id)
        await self.succeed()
        self.assertEqual(set(await self.versions()), {"noble"})
        self.assertEqual(await self.open_events(), {})

    async def test_a_source_that_is_down_took_nothing_away_and_brought_nothing_back(self) -> None:
        """Only what a source says now can open or clear it."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY, NOBLE)
        await self.succeed()
        self.publish(self.product("noble"))
        await self.succeed()
        index = self.source.files.pop("streams/v1/index.sjson")
        await self.run_import()
        self.assertIn(self.VANISHED, await self.open_events())
        self.source.files["streams/v1/index.sjson"] = index
        await self.succeed()
        self.assertIn(self.VANISHED, await self.open_events())
