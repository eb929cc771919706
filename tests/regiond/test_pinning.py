"""Pins and going back, import by import, with a real source."""

from sqlalchemy import update
from twisted.internet.defer import Deferred

from common.images import View
from regiond.store import generations, images
from regiond.store.tables import image
from tests.doubles.importing import FIRST, JAMMY, KEYS, SECOND, ImportCase, path_of

THIRD = "20250901"
UNWANTED = ("pin-unwanted", KEYS["jammy"])


class PinningTests(ImportCase):
    """One image that was imported in two versions, of which the older is kept."""

    async def setUp(self) -> None:
        await super().setUp()
        await self.settings.change({"boot_images_versions": "2"})
        await self.select(JAMMY)
        self.ids = [await self.import_version(version) for version in (FIRST, SECOND)]
        self.heal()

    def offer(self, version: str) -> None:
        self.publish(self.product("jammy", {version: {"squashfs": version.encode()}}))

    async def import_version(self, version: str) -> int:
        self.offer(version)
        await self.succeed()
        return (await self.published())["jammy"].id

    async def held(self) -> dict[str, str]:
        return {each.version: each.state for each in await self.database.read(images.list_images)}

    async def test_a_pinned_version_stays_and_everybody_is_told_what_waits(self) -> None:
        """Nothing is fetched; plan, list, status and what is offered say so."""
        row = await self.pinning.pin(self.ids[1])
        self.assertIn(f"unpin {self.ids[1]}", row["message"])
        self.offer(THIRD)
        await self.succeed()
        self.assertEqual(await self.held(), {FIRST: "kept", SECOND: "published"})
        self.assertEqual(self.source.requests[path_of("jammy", "squashfs", THIRD)], 0)
        (planned,) = await self.region.plan()
        self.assertEqual(
            [planned[name] for name in ("action", "version", "pinned", "fetch_bytes")],
            ["wait", THIRD, SECOND, 0],
        )
        (offered,) = await self.selections.available_images(None, {})
        self.assertEqual((offered["version"], offered["pinned"]), (THIRD, SECOND))
        overview = await self.region.overview()
        for (found,) in (
            overview["pinned"],
            [each for each in await self.region.list_images("all") if each["pinned"]],
        ):
            self.assertEqual((found["id"], found["waiting_version"]), (self.ids[1], THIRD))
        self.assertEqual((await self.run_import()).outcome, "unchanged")

    async def test_no_import_updates_an_upload(self) -> None:
        """So nobody is told to wait for one."""
        await self.pinning.pin(self.ids[1])
        uploaded = update(image).values(type="uploaded")
        await self.database.write(lambda conn: conn.execute(uploaded) and None)
        said = (await self.pinning.unpin(self.ids[1]))["message"]
        self.assertIn("no import updates an upload", said)

    async def test_unpinned_it_is_updated_by_the_next_import(self) -> None:
        """Although nothing has changed upstream; the answer says to what."""
        await self.pinning.pin(self.ids[1])
        self.offer(THIRD)
        await self.succeed()
        self.assertIn(THIRD, (await self.pinning.unpin(self.ids[1]))["message"])
        self.assertIn("not pinned", (await self.pinning.unpin(self.ids[1]))["message"])
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": THIRD})

    async def test_going_back_costs_no_bytes_and_the_next_import_does_not_undo_it(self) -> None:
        """Nor does a restart of the region; unpinned, the newer one is back without a byte."""
        row = await self.pinning.roll_back(self.ids[1])
        self.assertEqual((row["id"], row["version"], row["pinned"]), (self.ids[0], FIRST, True))
        self.assertEqual(row["generation"], await self.generation())
        self.assertIn("unpin", row["message"])
        self.build()
        await self.run_import()
        self.assertEqual(await self.held(), {FIRST: "published", SECOND: "kept"})
        await self.pinning.unpin(self.ids[0])
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": SECOND})
        self.assertEqual(self.source.requests[path_of("jammy", "squashfs", FIRST)], 0)
        self.assertEqual(self.source.requests[path_of("jammy", "squashfs", SECOND)], 0)

    async def test_a_pin_during_an_import_holds(self) -> None:
        """What it has fetched is not published, and that is no failure."""
        self.offer(THIRD)

        def pin(path: str) -> None:
            if path == path_of("jammy", "squashfs", THIRD):
                Deferred.fromCoroutine(self.pinning.pin(self.ids[1]))

        self.source.on_request = pin
        result = await self.run_import()
        self.assertEqual((result.failed, result.published), ({}, ()))
        await self.succeed()
        self.assertEqual(await self.held(), {FIRST: "kept", SECOND: "published"})

    async def test_a_pinned_image_survives_its_selection(self) -> None:
        """It stays, one event says why; unpinned it goes."""
        await self.pinning.pin(self.ids[1])
        await self.deselect(1)
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": SECOND})
        self.assertIn(f"unpin {self.ids[1]}", (await self.open_events())[UNWANTED].remedy)
        await self.pinning.unpin(self.ids[1])
        await self.succeed()
        self.assertEqual(await self.versions(), {})
        self.assertEqual(await self.open_events(), {})

    async def test_a_pinned_image_survives_its_source(self) -> None:
        """The same for a source that is deleted, or moved to another address."""
        await self.pinning.pin(self.ids[1])
        await self.boot_sources.delete(1)
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": SECOND})
        self.assertIn(UNWANTED, await self.open_events())

    async def test_the_mirror_names_what_it_has_all_the_same(self) -> None:
        """After a rollback the newer version stays for mirrors: their documents name it."""
        await self.pinning.roll_back(self.ids[1])
        await self.run_import()
        newer = await self.database.read(images.image_details, self.ids[1])
        _, digest = await self.database.read(generations.current_generation)
        view = View.from_document(
            await self.database.read(generations.read_document, digest) or b""
        )
        self.assertEqual(view.mirror_only, (newer.document_sha256,))
        self.assertTrue(view.documents)
