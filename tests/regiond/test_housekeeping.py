"""Letting go: bytes that nobody needs go after their times of grace, and their space with them."""

from twisted.internet.task import Clock

from common.digests import CHUNK_BYTES
from common.events import Event, Severity
from regiond.housekeeping import DAY_S, GARBAGE_GRACE_S, EventExpiry, clean_up, is_due
from regiond.store import events, settings
from regiond.store.images import GRACE_S
from tests.doubles.importing import (
    FIRST,
    HASTY,
    JAMMY,
    NOBLE,
    PATIENT,
    SECOND,
    ImportCase,
    path_of,
)
from tests.doubles.stream_source import Fault
from tests.doubles.streams import some_bytes

LARGE = some_bytes(6 * CHUNK_BYTES)
ROOT = path_of("jammy", "squashfs")


class GarbageTests(ImportCase):
    async def test_the_space_of_a_deleted_selection_comes_back(self) -> None:
        """After both times of grace, not before, the database file gets smaller."""
        self.publish(self.product("jammy", {FIRST: {"squashfs": LARGE}}), self.product("noble"))
        await self.select(JAMMY, NOBLE)
        await self.succeed()
        await self.deselect(1)
        await self.succeed()  # retires
        self.time += GRACE_S - 1
        await self.run_import()
        self.assertTrue(await self.blob(LARGE))
        self.time += 2
        await self.run_import()  # forgets the image; its bytes are unreferenced from now on
        self.time += GARBAGE_GRACE_S - 1
        await self.run_import()
        self.assertTrue(await self.blob(LARGE))
        large_bytes = await self.file_bytes()
        self.time += 2
        await self.run_import()
        self.assertIsNone(await self.blob(LARGE))
        self.assertGreater(large_bytes - await self.file_bytes(), len(LARGE) * 9 // 10)
        self.assertEqual((await self.run_import()).outcome, "unchanged")

    async def file_bytes(self) -> int:
        await self.database.give_back()  # moves the log into the file
        return self.file.stat().st_size

    async def test_bytes_wanted_back_in_time_are_not_fetched_again(self) -> None:
        """Within the grace a mistake costs nothing."""
        await self.jammy(LARGE)
        await self.succeed()
        await self.deselect(1)
        await self.succeed()
        self.time += GRACE_S + 1
        await self.succeed()
        self.heal()
        self.time += GARBAGE_GRACE_S / 2
        await self.select(JAMMY)
        result = await self.succeed()
        self.assertEqual((result.fetched_bytes, self.source.requests[ROOT]), (0, 0))
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_the_partial_of_a_version_that_vanished_goes_after_its_grace(self) -> None:
        """An update that was overtaken while it was fetched leaves nothing behind."""
        await self.jammy(LARGE)
        self.source.faults[ROOT] = Fault(stop_at=3 * CHUNK_BYTES)
        self.be(HASTY)
        await self.run_import()
        self.be(PATIENT)
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"new"}}))
        await self.succeed()
        self.time += GARBAGE_GRACE_S - 1
        await self.run_import()
        self.assertTrue(await self.blob(LARGE))
        self.time += 2
        await self.run_import()
        self.assertIsNone(await self.blob(LARGE))
        self.assertEqual(await self.versions(), {"jammy": SECOND})

    async def test_a_half_fetched_image_that_is_still_wanted_keeps_its_bytes(self) -> None:
        """However long the source is broken, a partial of what is selected stays."""
        await self.jammy(LARGE)
        self.source.faults[ROOT] = Fault(stop_at=4 * CHUNK_BYTES)
        self.be(HASTY)
        await self.run_import()
        for _ in range(3):
            self.time += 24 * 3600
            await self.run_import()
        blob = await self.blob(LARGE)
        assert blob is not None
        self.assertGreater(blob.held_bytes, 0)


class CleanUpTests(ImportCase):
    async def test_nothing_is_due_in_an_empty_region(self) -> None:
        """A region without garbage has nothing to do, and says so without a write."""
        self.assertFalse(await is_due(self.database, self.time))


class EventTests(ImportCase):
    """Events that are over expire; nothing else is needed for it."""

    async def setUp(self) -> None:
        """One event that is over, one that is open."""
        await super().setUp()
        self.began = self.time
        for about in ("past", "open"):
            event = Event("source", Severity.ERROR, about, "why")
            await self.database.write(events.raise_event, event, self.time)
        await self.database.write(events.clear_event, "source", "past", self.time)

    async def objects(self) -> set[str]:
        kept = await self.database.read(events.list_events, cleared=True)
        return {each.event.object for each in kept}

    async def test_past_events_are_kept_for_thirty_days(self) -> None:
        """What was cleared can be looked up for a month; what is open stays for ever."""
        await clean_up(self.database, self.time + 30 * DAY_S)
        self.assertEqual(await self.objects(), {"past", "open"})
        await clean_up(self.database, self.time + 30 * DAY_S + 1)
        self.assertEqual(await self.objects(), {"open"})

    async def test_admins_choose_how_long(self) -> None:
        """The setting holds at once."""
        await self.database.write(settings.put, "events_days", 2, self.time)
        await clean_up(self.database, self.time + 2 * DAY_S + 1)
        self.assertEqual(await self.objects(), {"open"})

    async def test_without_any_import_too(self) -> None:
        """Once a day is enough for it, and a day with nothing to forget writes nothing."""
        clock = Clock()
        expiry = EventExpiry(self.database, clock, lambda: self.began + clock.seconds())
        expiry.startService()
        self.addCleanup(expiry.stopService)
        before = self.fingerprint()
        clock.pump([DAY_S] * 30)
        self.assertEqual((await self.objects(), self.fingerprint()), ({"past", "open"}, before))
        clock.advance(DAY_S)
        self.assertEqual(await self.objects(), {"open"})

    async def test_a_day_on_which_the_database_fails_is_not_the_last(self) -> None:
        """It is tried again the next day."""
        clock = Clock()
        expiry = EventExpiry(self.database, clock, lambda: self.began + clock.seconds())
        expiry.startService()
        self.addCleanup(expiry.stopService)
        opened, self.database._opened = self.database._opened, None
        clock.advance(31 * DAY_S)
        self.database._opened = opened
        self.assertEqual(await self.objects(), {"past", "open"})
        clock.advance(DAY_S)
        self.assertEqual(await self.objects(), {"open"})
