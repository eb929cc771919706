"""Imports that have no room: refused before the first byte, or parked half way."""

from twisted.internet.task import Clock

from common.errors import NoSpace
from regiond.import_service import ImportService
from regiond.import_status import ImportStatus
from regiond.schedule import Schedule
from tests.doubles.importing import DOCUMENTS, FIRST, JAMMY, NOBLE, ImportCase, path_of
from tests.doubles.streams import some_bytes

MIB = 1 << 20
LARGE = some_bytes(8 * MIB)
ROOT = path_of("jammy", "squashfs")


class RoomCase(ImportCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.free_bytes: int | None = 1 << 40
        self.looks = 0

        async def free_bytes() -> int | None:
            self.looks += 1
            return self.free_bytes

        self.patch(self.database, "free_bytes", free_bytes)

    async def refused(self) -> NoSpace:
        return await self.fails(self.run_import(), NoSpace, "import-space")


class RefusalTests(RoomCase):
    async def test_what_does_not_fit_is_refused_before_its_first_byte(self) -> None:
        """With the figures, in the answer and in one event; nothing is staged or retired."""
        await self.jammy(b"old")
        await self.succeed()
        self.publish(self.product("jammy", {"20250801": {"squashfs": LARGE}}))
        self.heal()
        self.free_bytes = 1024 * MIB
        error = await self.refused()
        self.assertRegex(error.message, r"needs 1\d.* MiB, free 1 GiB, reserve 1 GiB, missing 1\d")
        self.assertEqual(set(self.source.requests), set(DOCUMENTS))
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.assertEqual(len(await self.region.list_images("all")), 1)
        await self.refused()
        (event,) = (await self.open_events()).values()
        self.assertEqual((event.code, event.object), ("import-space", "import"))
        self.assertIn(error.message, event.cause)
        self.free_bytes = 1 << 40
        await self.succeed()
        self.assertEqual(await self.open_events(), {})

    async def test_the_reserve_is_a_setting(self) -> None:
        """With a smaller one it fits."""
        await self.jammy(LARGE)
        self.free_bytes = 64 * MIB
        await self.refused()
        await self.settings.change({"boot_images_reserve_mib": "10"})
        await self.succeed()

    async def test_what_nobody_wants_any_more_goes_although_there_is_no_room(self) -> None:
        """It is what makes room."""
        self.publish(self.product("jammy"), self.product("noble", {FIRST: {"squashfs": LARGE}}))
        await self.select(JAMMY)
        await self.succeed()
        await self.select(NOBLE)
        await self.deselect(1)
        self.free_bytes = 0
        await self.refused()
        self.assertEqual(await self.versions(), {})

    async def test_an_import_that_fetches_nothing_needs_no_room(self) -> None:
        """A full disk keeps nobody from taking a selection away."""
        await self.jammy()
        await self.succeed()
        await self.deselect(1)
        self.free_bytes = 0
        await self.succeed()
        self.assertEqual(await self.versions(), {})

    async def test_where_the_free_space_is_not_known_nothing_is_checked(self) -> None:
        """The disk of a database server is its own business."""
        self.free_bytes = None
        await self.jammy(LARGE)
        await self.succeed()


class ParkedTests(RoomCase):
    async def start(self) -> None:
        self.clock = Clock()
        self.service = ImportService(
            self.importer, lambda: Schedule(automatic=False), self.clock, now=self.clock.seconds
        )
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.status = ImportStatus(self.database, self.service, self.importer)

    async def parks(self, code: str) -> None:
        error = await self.assertFailure(self.service.request("a test"), NoSpace)
        self.assertEqual(error.code, code)
        self.assertTrue(self.service.is_parked)

    async def test_it_waits_for_room_and_goes_on_by_itself(self) -> None:
        """Without a write or a request meanwhile; status says what is missing."""
        await self.jammy(LARGE)
        await self.start()
        self.free_bytes = 1024 * MIB
        await self.parks("import-space")
        row = await self.status.row()
        self.assertEqual((row["state"], row["last"]["outcome"]), ("parked", "parked"))
        self.assertTrue(8 * MIB < row["missing_bytes"] < 32 * MIB)
        before, self.looks = self.fingerprint(), 0
        self.heal()
        self.clock.pump([60] * 10)
        self.assertEqual((self.looks, self.fingerprint()), (10, before))
        self.assertEqual(dict(self.source.requests), {})
        self.free_bytes = 1 << 40
        self.clock.advance(60)
        await self.until(lambda: not self.service.is_importing)
        self.assertEqual(self.service.last.outcome, "complete")
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        row = await self.status.row()
        self.assertEqual((row["state"], row["missing_bytes"]), ("idle", None))

    async def test_a_disk_that_fills_up_half_way_parks_with_the_partials_kept(self) -> None:
        """The event has the figures of the rest, and only the rest is fetched later."""
        await self.jammy(LARGE)
        await self.start()
        self.limit_pages(96)  # 6 MiB

        def fills_up(path: str) -> None:
            if path == ROOT:
                self.free_bytes = 0

        self.source.on_request = fills_up
        await self.parks("no-space")
        event = (await self.open_events())["no-space", "import"]
        self.assertRegex(event.cause, r"needs .*, free 0 B, reserve 1 GiB, missing ")
        self.assertIn("by itself", event.remedy)
        blob = await self.blob(LARGE)
        assert blob is not None
        self.assertGreater(blob.held_bytes, 0)
        self.limit_pages(1 << 30)
        self.source.on_request = lambda path: None
        self.free_bytes = 1 << 40
        self.clock.advance(60)
        await self.until(lambda: not self.service.is_importing)
        self.assertEqual(self.service.last.fetched_bytes, len(LARGE) - blob.held_bytes)
        self.assertEqual(await self.open_events(), {})

    async def test_a_stop_ends_the_wait(self) -> None:
        """Status says so."""
        await self.jammy(LARGE)
        await self.start()
        self.free_bytes = 0
        await self.parks("import-space")
        await self.service.stop_import()
        self.assertEqual((await self.status.row())["state"], "idle")
        self.assertEqual(self.clock.getDelayedCalls(), [])
