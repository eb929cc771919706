import threading

import pytest
from sqlalchemy import Connection

from common.digests import CHUNK_BYTES
from common.errors import NotFound, Stale
from regiond.store import blob_writing, blobs, garbage, images, publication
from regiond.store.tables import chunk
from tests.doubles.stores import (
    DAY_S,
    NOW,
    Content,
    OnPostgreSQL,
    OnSQLite,
    Store,
    content,
    finished,
    key,
)

KEPT = content(CHUNK_BYTES + 5, seed=1)
GARBAGE = content(3 * CHUNK_BYTES, seed=2)


def _chunk_ids(conn: Connection) -> list[int]:
    return list(conn.execute(chunk.select()).scalars())


class GarbageSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.take_lease()

    def collect(self, now: float = NOW, grace_s: float = 0.0) -> int:
        return finished(garbage.collect(self.database, now, grace_s))

    def test_what_nothing_refers_to_goes_with_all_its_chunks(self) -> None:
        """Collecting deletes exactly the unreferenced blobs."""
        self.publish([KEPT])
        self.store(GARBAGE)
        self.assertEqual(self.collect(), 1)
        self.assertIsNone(self.read(blobs.find_blob, GARBAGE.sha256))
        kept = self.read(blobs.find_blob, KEPT.sha256)
        self.assertEqual(
            self.read(_chunk_ids), [blobs.first_chunk(kept.id), blobs.first_chunk(kept.id) + 1]
        )

    def test_images_being_imported_keep_their_partials(self) -> None:
        """What was fetched of a staged image is still there after collecting."""
        self.stage([GARBAGE])
        blob = self.write(blob_writing.claim_blob, GARBAGE.sha256, GARBAGE.size_bytes, self.epoch)
        self.write(blob_writing.append_chunks, blob.id, self.epoch, 0, GARBAGE.rows[:1])
        self.assertEqual(self.collect(NOW + DAY_S), 0)
        self.assertEqual(self.read(blobs.held_bytes, GARBAGE.sha256), CHUNK_BYTES)

    def test_garbage_is_kept_for_the_grace_time(self) -> None:
        """The grace time counts from when a blob was first seen without reference."""
        self.store(GARBAGE)
        self.assertEqual(self.collect(NOW, grace_s=DAY_S), 0)
        self.assertEqual(self.collect(NOW + DAY_S - 1, grace_s=DAY_S), 0)
        self.assertEqual(self.collect(NOW + DAY_S, grace_s=DAY_S), 1)

    def test_a_reference_that_comes_back_in_time_saves_a_blob(self) -> None:
        """The grace time starts anew when a blob loses its reference again."""
        self.store(GARBAGE)
        self.write(garbage.mark_unreferenced, NOW)
        image = self.stage([GARBAGE])
        self.assertEqual(self.write(garbage.condemn, NOW + DAY_S), 0)
        self.write(garbage.mark_unreferenced, NOW + DAY_S)
        self.write(publication.retire_images, [image], None, NOW)
        self.write(garbage.mark_unreferenced, NOW + 2 * DAY_S)
        self.assertEqual(self.write(garbage.condemn, NOW + DAY_S), 0)
        self.assertEqual(self.write(garbage.condemn, NOW + 2 * DAY_S), 1)

    def test_a_dead_blob_is_not_revived_half_way(self) -> None:
        """A blob that is wanted again while it is being deleted starts as a new, empty one."""
        self.store(GARBAGE)
        dead = self.read(blobs.find_blob, GARBAGE.sha256)
        self.write(garbage.mark_unreferenced, NOW)
        self.write(garbage.condemn, NOW)
        self.assertEqual(self.write(garbage.delete_dead, 2), 2)
        self.stage([GARBAGE])
        self.store(GARBAGE)
        while self.write(garbage.delete_dead, 1):
            pass
        revived = self.read(blobs.find_blob, GARBAGE.sha256)
        self.assertNotEqual(revived.id, dead.id)
        self.assertTrue(revived.is_complete)
        for seq, data in enumerate(GARBAGE.chunks):
            self.assertEqual(self.read(blobs.read_chunk, revived.id, seq), data)
        self.assertRaises(NotFound, self.read, blobs.read_chunk, dead.id, 0)

    def test_a_writer_whose_blob_was_condemned_is_stale(self) -> None:
        """Nobody appends to a blob that is being deleted."""
        blob = self.write(blob_writing.claim_blob, GARBAGE.sha256, GARBAGE.size_bytes, self.epoch)
        self.write(garbage.mark_unreferenced, NOW)
        self.write(garbage.condemn, NOW)
        self.assertRaises(
            Stale, self.write, blob_writing.append_chunks, blob.id, self.epoch, 0, GARBAGE.rows
        )
        self.assertEqual(self.read(_chunk_ids), [])

    def test_a_claim_ends_being_garbage(self) -> None:
        """What an import has claimed is not condemned by a note made before."""
        self.store(GARBAGE)
        self.write(garbage.mark_unreferenced, NOW)
        self.write(blob_writing.claim_blob, GARBAGE.sha256, GARBAGE.size_bytes, self.epoch)
        self.assertEqual(self.write(garbage.condemn, NOW + DAY_S), 0)


def _import(conn: Connection, epoch: int, wanted: Content, version: str, now: float) -> int:
    """Stage and store an image in one go; returns its id."""
    needed = [images.NeededFile("f", "boot-kernel", wanted.sha256, wanted.size_bytes)]
    (image,) = images.stage_images(conn, [images.NewImage(key(), version, needed)], now)
    blob = blob_writing.claim_blob(conn, wanted.sha256, wanted.size_bytes, epoch)
    if not blob.is_complete:
        blob_writing.append_chunks(conn, blob.id, epoch, 0, wanted.rows)
        blob_writing.complete_blob(conn, blob.id, epoch, wanted.digests)
    return image


def _forget_image(conn: Connection, image_id: int) -> None:
    conn.execute(images.image.delete().where(images.image.c.id == image_id))


def _served(conn: Connection, wanted: Content) -> bytes:
    blob = blobs.find_blob(conn, wanted.sha256)
    assert blob is not None, "an image lost its blob"
    assert blob.is_complete
    return blobs.read_chunk(conn, blob.id, 0)


class GarbageOnSQLite(GarbageSuite, OnSQLite):
    def test_collecting_never_takes_what_an_import_needs(self) -> None:
        """Wherever the steps of collecting fall between those of an import, what an image
        needs is complete at once and stays so; nothing is left over.
        """
        self.collect_beside_imports(100)

    @pytest.mark.slow
    def test_no_loss_in_a_thousand_cycles(self) -> None:
        """The same, 1,000 times."""
        self.collect_beside_imports(1000)

    def collect_beside_imports(self, count: int) -> None:
        wanted = content(7, seed=3)

        def cycles(conn: Connection) -> None:
            steps = (
                lambda now: garbage.mark_unreferenced(conn, now),
                lambda now: garbage.condemn(conn, now),
                lambda _: garbage.delete_dead(conn, 1),
            )
            for cycle in range(count):
                now = NOW + cycle
                # Where in its three steps the collection stands when the image comes.
                for step in steps[: cycle % 4]:
                    step(now)
                image = _import(conn, self.epoch, wanted, str(cycle), now)
                for step in steps:
                    step(now)
                self.assertEqual(_served(conn, wanted), wanted.chunks[0])
                _forget_image(conn, image)
            garbage.mark_unreferenced(conn, now)
            garbage.condemn(conn, now)
            while garbage.delete_dead(conn, 1):
                pass

        self.write(cycles)
        self.assertEqual(self.read(_chunk_ids), [])

    def test_space_comes_back_on_the_file(self) -> None:
        """After collecting, the database file is smaller by what was deleted."""
        self.publish([KEPT])
        big = content(40 * CHUNK_BYTES, seed=4)
        self.store(big)
        self._settle()
        before = self.file.stat().st_size
        self.collect()
        self._settle()
        after = self.file.stat().st_size
        self.assertGreater(before, 41 * CHUNK_BYTES)
        self.assertLess(after, before - 40 * CHUNK_BYTES)

    def _settle(self) -> None:
        """Bring the whole log into the file, as closing does."""
        finished(self.database.close())
        finished(self.database.open())


class GarbageOnPostgreSQL(GarbageSuite, OnPostgreSQL):
    def test_a_collector_beside_an_importer_loses_nothing(self) -> None:
        """With both running at once on connections of their own, 50 imports of the same
        blob are each complete at once and stay so.
        """
        wanted = content(7, seed=3)
        done = threading.Event()
        collected: list[int] = []
        failures: list[BaseException] = []

        def collecting() -> None:
            try:
                while not done.is_set():
                    collected.append(self.collect(NOW))
            except BaseException as error:  # noqa: BLE001 - handed to the test below
                failures.append(error)

        collector = threading.Thread(target=collecting)
        collector.start()
        try:
            for cycle in range(50):
                image = self.write(_import, self.epoch, wanted, str(cycle), NOW)
                self.assertEqual(self.read(_served, wanted), wanted.chunks[0])
                self.write(_forget_image, image)
        finally:
            done.set()
            collector.join()
        self.assertEqual(failures, [])
        self.assertGreater(sum(collected), 0)
