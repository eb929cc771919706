"""What happens to an import while it runs: stopped, changed, deleted under its hands."""

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from common.errors import RackferryError
from common.unbroken import unbroken
from regiond import fulfilment
from regiond.import_service import ImportService
from regiond.schedule import Schedule
from regiond.store import imports, leases
from tests.doubles.importing import FIRST, JAMMY, KEYS, NOBLE, ImportCase, path_of
from tests.doubles.stream_source import Fault
from tests.doubles.streams import some_bytes

LARGE = some_bytes(3 << 20)


class WhileItRunsTests(ImportCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.publish(self.product("jammy", {FIRST: {"squashfs": LARGE}}), self.product("noble"))
        await self.select(JAMMY)
        self.path = path_of("jammy", "squashfs")
        self.source.faults[self.path] = Fault(stop_at=len(LARGE) - 10)

        self.service = ImportService(
            self.importer, lambda: Schedule(automatic=False), reactor, now=reactor.seconds
        )
        self.service.startService()
        self.addCleanup(self.service.stopService)

    async def stalled(self) -> None:
        """Wait until the source has sent what it sends."""

        async def has_come() -> bool:
            return self.importer.progress.fetched_bytes >= 2 << 20

        await self.until(has_come)

    async def test_an_import_stops_at_once_while_a_server_stalls(self) -> None:
        """stop-import needs no more than two seconds, whatever the server does."""
        running = self.service.request("a test")
        await self.stalled()
        began_s = reactor.seconds()
        failed = self.assertFailure(running, RackferryError)
        await self.service.stop_import()
        self.assertLess(reactor.seconds() - began_s, 2.0)
        self.assertEqual((await failed).code, "import-stopped")
        self.assertFalse(self.service.is_importing)
        (run,) = await self.database.read(imports.last_imports)
        self.assertEqual(run.outcome, "stopped")
        self.assertEqual(self.service.last.outcome, "stopped")

    async def test_changed_selections_are_imported_before_anybody_is_told(self) -> None:
        """A selection made during an import is in what its waiters get."""
        waiting = self.service.request("a test")
        await self.stalled()
        await self.select(NOBLE)
        self.heal()
        # The stalled connection breaks; the transfer goes on where it was.
        self.source.drop_connections()
        result = await waiting
        self.assertEqual(result.failed, {})
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})

    async def test_a_source_deleted_during_its_import_ends_clearly(self) -> None:
        """Nothing else stops, and in the end its images are not held."""
        other = self.new_source()
        await self.add_source(other)
        self.publish(self.product("noble", source=other), source=other)
        await self.select(NOBLE, source_id=2)
        waiting = self.service.request("a test")
        await self.stalled()
        await self.boot_sources.delete(1)
        self.heal()
        self.source.drop_connections()
        result = await waiting
        self.assertEqual(result.failed, {})
        self.assertEqual(await self.versions(), {"noble": FIRST})

    async def check_gives_up(self, change: Callable[[], Any], fault: Fault) -> None:
        """Of two sources one is silent and goes; within 2 s the other's image is published."""
        other = self.new_source()
        await self.add_source(other)
        self.publish(self.product("noble", source=other), source=other)
        await self.select(NOBLE, source_id=2)
        self.source.faults[self.path] = fault
        waiting = self.service.request("a test")
        if fault.silent:
            await self.until(lambda: self.source.requests[self.path])
        else:
            await self.stalled()
        held = await self.blob(LARGE)
        began_s = reactor.seconds()
        await change()
        result = await waiting
        self.assertLess(reactor.seconds() - began_s, 2.0)
        self.assertEqual(result.failed, {})
        self.assertEqual(await self.versions(), {"noble": FIRST})
        kept = await self.blob(LARGE)
        if held is not None:
            assert kept is not None
            self.assertGreaterEqual(kept.held_bytes, held.held_bytes)

    async def test_what_comes_from_a_deleted_source_is_given_up(self) -> None:
        """In mid-file; the partial stays."""
        delete = partial(self.boot_sources.delete, 1)
        await self.check_gives_up(delete, Fault(stop_at=len(LARGE) - 10))

    async def test_before_the_first_byte(self) -> None:
        """The same, while the server has not even answered."""
        await self.check_gives_up(partial(self.boot_sources.delete, 1), Fault(silent=True))

    async def test_what_comes_from_a_disabled_source_is_given_up(self) -> None:
        """The same."""
        disable = partial(self.boot_sources.update, 1, {"enabled": False})
        await self.check_gives_up(disable, Fault(stop_at=len(LARGE) - 10))

    async def test_a_file_of_two_sources_goes_on_with_the_other(self) -> None:
        """When the one it comes from is deleted, the rest of it comes from the other."""
        other = self.new_source()
        await self.add_source(other, priority=-1)
        self.publish(
            self.product("noble", {FIRST: {"squashfs": LARGE}}, source=other), source=other
        )
        await self.select(NOBLE, source_id=2)
        waiting = self.service.request("a test")
        await self.stalled()
        await self.boot_sources.delete(1)
        result = await waiting
        self.assertEqual(result.failed, {})
        self.assertEqual(await self.versions(), {"noble": FIRST})
        asked = other.headers[path_of("noble", "squashfs")]["range"]
        self.assertEqual(asked, f"bytes={2 << 20}-")

    async def test_a_selection_of_another_source_changes_nothing(self) -> None:
        """Only what a source is counts: a change beside it stops no transfer."""
        waiting = self.service.request("a test")
        await self.stalled()
        await self.boot_sources.update(1, {"priority": 3})
        await self.select(NOBLE)
        self.assertEqual(self.source.requests[self.path], 1)
        self.heal()
        self.source.drop_connections()
        self.assertEqual((await waiting).failed, {})
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})

    async def test_a_stop_while_a_transfer_is_given_up(self) -> None:
        """It stops all the same: giving up one source does not swallow the end of all."""
        other = self.new_source()
        await self.add_source(other, priority=-1)
        self.publish(
            self.product("noble", {FIRST: {"squashfs": LARGE}}, source=other), source=other
        )
        await self.select(NOBLE, source_id=2)
        begun: list[object] = []
        closing: Deferred[None] = Deferred()

        async def stubborn(goal: object, *_: object, **__: object) -> None:
            begun.append(goal)
            try:
                await Deferred()
            finally:
                await unbroken(closing)

        self.patch(fulfilment, "fetch", stubborn)
        running = self.service.request("a test")
        await self.until(lambda: begun)
        failed = self.assertFailure(running, RackferryError)
        await self.boot_sources.delete(1)
        stopping = self.service.stop_import()
        closing.callback(None)
        await stopping
        self.assertEqual((await failed).code, "import-stopped")
        self.assertFalse(self.service.is_importing)
        self.assertEqual(len(begun), 1)

    async def test_an_image_deleted_during_its_import_stops_no_other(self) -> None:
        """An admin deletes what is being fetched: that is told, and the rest is published."""
        await self.select(NOBLE)
        waiting = self.service.request("a test")
        await self.stalled()
        rows = await self.region.list_images("all")
        (importing,) = [row["id"] for row in rows if row["state"] == "importing"]
        await self.region.delete_image(importing)
        self.heal()
        self.source.drop_connections()
        result = await waiting
        self.assertEqual(set(result.failed), {KEYS["jammy"]})
        self.assertEqual(await self.versions(), {"noble": FIRST})
        self.assertEqual((await self.service.request("again")).failed, {})
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})

    async def test_an_image_deleted_beside_an_import_comes_back_with_the_next(self) -> None:
        """What an admin deletes while another image is fetched is not taken for settled."""
        await self.select(NOBLE)
        waiting = self.service.request("a test")
        await self.stalled()

        async def is_there() -> bool:
            return "noble" in await self.versions()

        await self.until(is_there)
        await self.region.delete_image((await self.published())["noble"].id)
        self.heal()
        self.source.drop_connections()
        self.assertEqual((await waiting).outcome, "complete")
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.assertEqual((await self.service.request("the next")).outcome, "complete")
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})

    async def test_a_cancelled_import_leaves_no_lease(self) -> None:
        """After a stop another region may go on at once."""
        running = self.start_import()
        await self.stalled()
        running.cancel()
        await self.assertFailure(running, CancelledError)
        epoch = await self.database.write(leases.acquire, "import", "region-2", self.time, 15.0)
        self.assertIsNotNone(epoch)
