"""Fetching an import's files: faults of one file, interruptions, a full database."""

import hashlib
import shutil

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from common.digests import CHUNK_BYTES
from common.errors import NoSpace, TransferError
from regiond.fulfilment import all_of
from regiond.store import blobs, imports
from tests.doubles.importing import (
    FIRST,
    HASTY,
    JAMMY,
    KEYS,
    NOBLE,
    PATIENT,
    SECOND,
    ImportCase,
    path_of,
)
from tests.doubles.stream_source import Fault
from tests.doubles.streams import some_bytes

LARGE = some_bytes(5 * CHUNK_BYTES + 1000)
ROOT = path_of("jammy", "squashfs")


class BadFileTests(ImportCase):
    async def check_costs_its_images_only(self, code: str) -> None:
        """Jammy's file is broken somehow; noble's is not."""
        result = await self.run_import()
        self.assertEqual(result.outcome, "incomplete")
        self.assertEqual({name: e.code for name, e in result.failed.items()}, {KEYS["jammy"]: code})
        self.assertEqual(await self.versions(), {"noble": FIRST})
        event = (await self.open_events())[code, KEYS["jammy"]]
        self.assertTrue(event.cause)
        self.assertTrue(event.remedy)

    async def broken(self) -> None:
        self.publish(
            self.product("jammy", {FIRST: {"squashfs": b"root", "boot-kernel": b"kernel"}}),
            self.product("noble"),
        )
        await self.select(JAMMY, NOBLE)

    async def check_heals(self) -> None:
        self.be(PATIENT)
        self.heal()
        await self.succeed()
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})
        self.assertEqual(await self.open_events(), {})

    async def test_a_second_digest(self) -> None:
        """A sha512 in the stream has to be right, too; the file with a wrong one is refused."""
        root = b"root" * CHUNK_BYTES
        jammy = self.product("jammy", {FIRST: {"squashfs": root, "boot-kernel": b"kernel"}})
        noble = self.product("noble")
        for each, digest in ((jammy, "0" * 128), (noble, "")):
            for item in each["versions"][FIRST]["items"].values():
                if item["ftype"] == "squashfs":
                    right = hashlib.sha512(self.source.files[item["path"]]).hexdigest()
                    item["sha512"] = digest or right
        self.publish(jammy, noble)
        await self.select(JAMMY, NOBLE)
        await self.check_costs_its_images_only("integrity-sha512")

    async def test_a_missing_file(self) -> None:
        """A 404 costs the images that need the file; its event goes when it works again."""
        await self.broken()
        self.source.faults[ROOT] = Fault(status=404)
        await self.check_costs_its_images_only("transfer-http-404")
        await self.check_heals()

    async def test_a_broken_server(self) -> None:
        """So does a 500 that does not go away."""
        await self.broken()
        self.source.faults[ROOT] = Fault(status=500)
        await self.check_costs_its_images_only("transfer-http-500")
        await self.check_heals()

    async def test_a_server_that_never_answers(self) -> None:
        """So does silence."""
        await self.broken()
        self.source.faults[ROOT] = Fault(silent=True)
        self.be(HASTY)
        await self.check_costs_its_images_only("transfer-stalled")
        await self.check_heals()

    async def test_a_server_that_stops_in_the_middle(self) -> None:
        """So does a body that stalls."""
        await self.broken()
        self.source.faults[ROOT] = Fault(stop_at=2)
        self.be(HASTY)
        await self.check_costs_its_images_only("transfer-stalled")
        await self.check_heals()

    async def test_other_bytes_than_signed(self) -> None:
        """So do bytes of the right size and the wrong SHA-256, which are never shown."""
        await self.broken()
        self.source.files[ROOT] = b"ruin"
        await self.check_costs_its_images_only("integrity-sha256")
        self.source.files[ROOT] = b"root"
        await self.check_heals()

    async def test_another_size_than_signed(self) -> None:
        """So does a file that is too long, or too short."""
        await self.broken()
        self.source.files[ROOT] = b"root and more"
        await self.check_costs_its_images_only("transfer-length")
        self.source.files[ROOT] = b"ro"
        await self.check_costs_its_images_only("transfer-length")
        self.source.files[ROOT] = b"root"
        await self.check_heals()

    async def test_what_failed_and_is_wanted_no_longer_leaves_no_event(self) -> None:
        """The event of an image goes with its selection."""
        await self.broken()
        self.source.faults[ROOT] = Fault(status=404)
        await self.check_costs_its_images_only("transfer-http-404")
        await self.deselect(1)
        await self.succeed()
        self.assertEqual(await self.open_events(), {})

    async def test_a_fault_that_passes_is_none(self) -> None:
        """One bad answer is tried again within the import."""
        await self.broken()
        self.source.faults[ROOT] = Fault(status=503, times=1)
        await self.succeed()
        self.assertEqual(self.source.requests[ROOT], 2)


class SharedTests(ImportCase):
    async def test_a_shared_file_is_fetched_once(self) -> None:
        """Two images with one root file cost one request, and both are published."""
        self.publish(
            self.product("jammy", {FIRST: {"squashfs": b"same"}}),
            self.product("noble", {FIRST: {"squashfs": b"same"}}),
        )
        await self.select(JAMMY, NOBLE)
        result = await self.succeed()
        asked = [self.source.requests[path_of(name, "squashfs")] for name in ("jammy", "noble")]
        self.assertEqual(sum(asked), 1)
        self.assertEqual(result.fetched_bytes, len(b"same"))
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})

    async def test_another_path_stands_in(self) -> None:
        """When the first path of a shared file is broken, the second is asked."""
        self.publish(
            self.product("jammy", {FIRST: {"squashfs": b"same"}}),
            self.product("noble", {FIRST: {"squashfs": b"same"}}),
        )
        await self.select(JAMMY, NOBLE)
        self.source.faults[ROOT] = Fault(status=404)
        await self.succeed()
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})

    async def test_what_an_update_shares_with_the_old_version_is_not_fetched(self) -> None:
        """Only the files that changed cross the wire."""
        self.publish(self.product("jammy", {FIRST: {"squashfs": b"root", "boot-kernel": b"one"}}))
        await self.select(JAMMY)
        await self.succeed()
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"root", "boot-kernel": b"2nd"}}))
        result = await self.succeed()
        self.assertEqual(result.fetched_bytes, len(b"2nd"))
        self.assertEqual(self.source.requests[path_of("jammy", "squashfs", SECOND)], 0)


class InterruptedTests(ImportCase):
    async def interrupted(self, chunks: int = 4) -> None:
        """An import is cancelled when so many whole chunks are held."""
        await self.jammy(LARGE)
        self.source.faults[ROOT] = Fault(stop_at=chunks * CHUNK_BYTES + 5000)
        running = self.start_import()
        await self.until(lambda: self.importer.progress.fetched_bytes >= chunks * CHUNK_BYTES)
        running.cancel()
        await self.assertFailure(running, CancelledError)
        self.heal()

    async def held_chunks(self) -> int:
        blob = await self.blob(LARGE)
        assert blob is not None
        return blob.held_chunks

    def rot(self, seq: int) -> None:
        """Change one bit of a stored chunk behind everybody's back."""
        assert self.database._opened is not None
        with self.database._opened.writer.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE chunk SET data = CAST(X'00' || substr(data, 2) AS BLOB)"
                f" WHERE id % {blobs.CHUNKS_PER_BLOB} = {seq}"
            )

    async def check_resumes(self, from_chunk: int) -> None:
        result = await self.succeed()
        missing_bytes = len(LARGE) - from_chunk * CHUNK_BYTES
        self.assertEqual(self.source.headers[ROOT]["range"], f"bytes={from_chunk * CHUNK_BYTES}-")
        self.assertEqual(self.source.requests[ROOT], 1)
        self.assertEqual(result.fetched_bytes, missing_bytes)
        blob = await self.blob(LARGE)
        assert blob is not None
        self.assertTrue(blob.is_complete)
        held = [
            await self.database.read(blobs.read_chunk, blob.id, seq)
            for seq in range(blob.held_chunks)
        ]
        self.assertEqual(hashlib.sha256(b"".join(held)).hexdigest(), blob.sha256)

    async def test_a_cancelled_import_goes_on_where_it_was(self) -> None:
        """What was fetched is kept, and only the rest is asked for."""
        await self.interrupted()
        self.assertEqual(await self.held_chunks(), 4)
        self.assertEqual(await self.versions(), {})
        await self.check_resumes(from_chunk=4)

    async def test_a_new_process_goes_on_where_the_old_one_was(self) -> None:
        """Partials survive a restart, under a new lease."""
        await self.interrupted()
        await self.database.close()
        await self.open()
        await self.check_resumes(from_chunk=4)

    async def test_what_a_killed_process_left_is_gone_on_with(self) -> None:
        """The files as they are in mid-transfer, without any goodbye, hold every chunk."""
        await self.jammy(LARGE)
        self.source.faults[ROOT] = Fault(stop_at=3 * CHUNK_BYTES + 5000)
        running = self.start_import()
        await self.until(lambda: self.importer.progress.fetched_bytes >= 3 * CHUNK_BYTES)
        left = self.directory / "left.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.file}{suffix}", f"{left}{suffix}")
        running.cancel()
        await self.assertFailure(running, CancelledError)
        await self.database.close()
        self.file = left
        await self.open()
        self.heal()
        await self.check_resumes(from_chunk=3)
        (before, after) = await self.database.read(imports.last_imports, 2)
        self.assertEqual((before.outcome, after.outcome), ("complete", "interrupted"))

    async def test_a_chunk_that_rotted_is_fetched_again_and_what_follows_it(self) -> None:
        """Wrong bytes in the database are found on resuming; nothing before them is fetched."""
        await self.interrupted()
        self.rot(2)
        result = await self.succeed()
        self.assertEqual(self.source.headers[ROOT]["range"], f"bytes={2 * CHUNK_BYTES}-")
        self.assertEqual(self.source.requests[ROOT], 1)
        self.assertEqual(result.outcome, "complete")

    async def test_a_connection_that_breaks_costs_no_byte_twice(self) -> None:
        """Within an import, too, a cut transfer goes on from the last byte."""
        await self.jammy(LARGE)
        cut = 3 * CHUNK_BYTES + 77
        self.source.faults[ROOT] = Fault(cut_at=cut, times=1)
        await self.succeed()
        self.assertEqual(self.source.headers[ROOT]["range"], f"bytes={cut}-")


class ThreadedTests(ImportCase):
    """As in the daemon: the database and the hashing on threads of their own."""

    hashing = staticmethod(deferToThread)
    database_reactor = reactor

    async def test_stopping_again_and_again_loses_nothing(self) -> None:
        """Stopped at any moment, each import goes on where the last one was, to the end."""
        await self.jammy(LARGE)
        held_bytes = 0
        for stop_s in (0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06):
            running = self.start_import()
            stopping = reactor.callLater(stop_s, running.cancel)
            try:
                await running
            except CancelledError:
                pass
            else:
                stopping.cancel()
            blob = await self.blob(LARGE)
            now_bytes = 0 if blob is None else blob.held_bytes
            self.assertGreaterEqual(now_bytes, held_bytes)
            held_bytes = now_bytes
        self.heal()
        result = await self.run_import()
        self.assertIn(result.outcome, {"complete", "unchanged"})
        self.assertEqual(result.fetched_bytes, len(LARGE) - held_bytes)
        self.assertEqual(await self.versions(), {"jammy": FIRST})


class FullDatabaseTests(ImportCase):
    async def test_a_full_database_ends_the_import_says_so_and_later_it_goes_on(self) -> None:
        """Nothing fetched so far is lost when the disk is full; freeing space is the remedy."""
        await self.jammy(LARGE)
        self.limit_pages(64)  # 4 MiB
        await self.assertFailure(self.start_import(), NoSpace)
        event = (await self.open_events())["no-space", "import"]
        self.assertIn(str(self.file), event.cause)
        self.assertTrue(event.remedy)
        self.assertEqual(await self.versions(), {})
        self.limit_pages(1 << 30)
        self.heal()
        await self.succeed()
        self.assertEqual(self.source.requests[ROOT], 1)
        self.assertEqual(await self.open_events(), {})
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_a_full_database_still_lets_go_of_what_nobody_wants(self) -> None:
        """Deleting a selection makes room, although the rest cannot be fetched yet."""
        self.publish(
            self.product("jammy", {FIRST: {"squashfs": LARGE}}),
            self.product("noble", {FIRST: {"squashfs": some_bytes(4 * CHUNK_BYTES, seed=1)}}),
        )
        await self.select(NOBLE)
        await self.succeed()
        self.limit_pages(0)  # as large as it is
        await self.select(JAMMY)
        await self.assertFailure(self.start_import(), NoSpace)
        await self.deselect(1)
        for _ in range(3):
            await self.assertFailure(self.start_import(), NoSpace)
            self.time += 2 * 3600 + 1
        self.limit_pages(170)  # enough for one of the two
        await self.succeed()
        self.assertEqual(set(await self.versions()), {"jammy"})


class AllOfTests(SynchronousTestCase):
    def test_a_failure_stops_the_others_and_is_what_is_raised(self) -> None:
        """Nobody goes on with work that cannot come to anything."""
        ended: list[str] = []
        slow: Deferred[None] = Deferred(lambda _: ended.append("slow"))
        broken: Deferred[None] = Deferred()
        together = Deferred.fromCoroutine(all_of([slow, broken]))
        broken.errback(TransferError("cut"))
        self.failureResultOf(together, TransferError)
        self.assertEqual(ended, ["slow"])

    def test_cancelling_waits_for_each_to_clean_up(self) -> None:
        """A cancelled one that still has to finish a write is waited for."""
        closing: Deferred[None] = Deferred()

        async def stubborn() -> None:
            try:
                await Deferred()
            finally:
                await closing

        together = Deferred.fromCoroutine(all_of([Deferred.fromCoroutine(stubborn())]))
        together.cancel()
        self.assertNoResult(together)
        closing.callback(None)
        self.failureResultOf(together, CancelledError)
