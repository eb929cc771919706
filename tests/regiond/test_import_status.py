"""What ``status`` says about imports, also about those before a restart."""

from twisted.internet.task import Clock

from regiond.import_service import ImportService
from regiond.import_status import ImportStatus
from regiond.schedule import Schedule
from regiond.store import imports
from tests.doubles.importing import ImportCase, path_of
from tests.doubles.stream_source import Fault


class StatusTests(ImportCase):
    def build(self, name: str = "region-1") -> None:
        """With a service that imports by hand, as after a start of the region."""
        super().build(name)
        self.schedule = Schedule(automatic=False)
        self.service = ImportService(
            self.importer, lambda: self.schedule, Clock(), now=lambda: self.time
        )
        self.status = ImportStatus(self.database, self.service, self.importer)

    async def test_before_the_first_import(self) -> None:
        """Nothing is known, and nothing is due."""
        self.assertEqual(
            await self.status.row(),
            {"state": "idle", "running": False, "progress": None, "missing_bytes": None,
             "next_at": None, "last": None},
        )  # fmt: skip

    async def test_the_last_import_is_known_after_a_restart(self) -> None:
        """Outcome, figures and reason, as far as they were kept."""
        await self.jammy()
        await self.service.request("a test")
        last = (await self.status.row())["last"]
        self.assertEqual((last["outcome"], last["published"]), ("complete", 1))
        self.build()
        again = (await self.status.row())["last"]
        self.assertEqual(again.keys() - last.keys(), set())
        self.assertEqual((again["outcome"], again["published"]), ("complete", 1))
        self.assertEqual((again["fetched_bytes"], again["ended_at"]), (4, self.time))

    async def test_why_the_last_import_failed_is_known_after_a_restart(self) -> None:
        """In the same words."""
        await self.jammy()
        self.source.faults[path_of("jammy", "squashfs")] = Fault(status=404)
        await self.service.request("a test")
        reason = (await self.status.row())["last"]["reason"]
        self.assertIn("404", reason)
        self.build()
        last = (await self.status.row())["last"]
        self.assertEqual((last["outcome"], last["reason"]), ("incomplete", reason))

    async def test_an_import_that_never_ended_is_not_the_last(self) -> None:
        """The region was killed in it: the one before is shown until the next has ended."""
        await self.jammy()
        await self.run_import()
        await self.database.write(imports.begin_import, 7, self.time)
        self.assertEqual((await self.status.row())["last"]["outcome"], "complete")

    async def test_when_the_next_is_due(self) -> None:
        """By the schedule, as soon as one has ended."""
        await self.jammy()
        self.service.startService()
        self.addCleanup(self.service.stopService)
        await self.service.request("a test")
        self.schedule = Schedule(interval_s=900.0)
        self.service.reschedule()
        self.assertEqual((await self.status.row())["next_at"], self.time + 900.0)
