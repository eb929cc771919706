"""The region's sink: what it holds it verifies, and what it lost it fetches again."""

from sqlalchemy import delete, update
from twisted.internet.defer import Deferred

from common.digests import CHUNK_BYTES, RunningDigest, digest_list
from common.errors import IntegrityError, Stale
from regiond.chunk_rows import MOST_UNSYNCED_BYTES, ChunkRows
from regiond.store import blobs
from regiond.store.tables import chunk
from tests.doubles.stores import OnSQLite, SlowDisk, Store, finished
from tests.doubles.streams import chunks_of, inline, some_bytes

CONTENT = some_bytes(3 * CHUNK_BYTES + 500)
CHUNKS = chunks_of(CONTENT)
DIGESTS = RunningDigest().add_all(CHUNKS)
NAME = DIGESTS[-1].hex()


class ChunkRowsTests(Store, OnSQLite):
    def setUp(self) -> None:
        super().setUp()
        self.take_lease()

    def rows(self) -> ChunkRows:
        return ChunkRows(self.database, inline, NAME, len(CONTENT), self.epoch)

    def hold(self, count: int) -> ChunkRows:
        """A sink that holds the first chunks."""
        sink = self.rows()
        finished(sink.resume())
        finished(sink.write(CHUNKS[:count], DIGESTS[:count]))
        return sink

    def blob(self) -> blobs.Blob:
        found = self.read(blobs.find_blob, NAME)
        assert found is not None
        return found

    def check_can_go_on(self, from_chunk: int) -> None:
        """A new sink holds that many chunks, takes the rest and completes."""
        sink = self.rows()
        running = finished(sink.resume())
        self.assertEqual(running.chunks, from_chunk)
        self.assertEqual(self.blob().held_chunks, from_chunk)
        finished(sink.write(CHUNKS[from_chunk:], DIGESTS[from_chunk:]))
        finished(sink.finish(digest_list(CHUNKS)))
        self.assertTrue(self.blob().is_complete)

    def test_a_new_blob_begins_empty(self) -> None:
        """Nothing is held of what was never fetched."""
        self.check_can_go_on(from_chunk=0)

    def test_what_was_written_is_held_by_the_next_sink(self) -> None:
        """Chunks survive the sink that wrote them."""
        self.hold(2)
        self.check_can_go_on(from_chunk=2)

    def test_a_stream_waits_when_16_mib_of_its_own_are_at_stake(self) -> None:
        """On a slow disk no stream gets further ahead of it than a loss of power may cost."""
        content = [bytes([number]) * CHUNK_BYTES for number in range(40)]
        digests = RunningDigest().add_all(content)
        sink = ChunkRows(
            self.database, inline, digests[-1].hex(), len(content) * CHUNK_BYTES, self.epoch
        )
        finished(sink.resume())
        disk = SlowDisk()
        self.database.log_file._syncing = disk
        most = 0
        for first in range(0, 40, 4):
            batch = slice(first, first + 4)
            writing = Deferred.fromCoroutine(sink.write(content[batch], digests[batch]))
            most = max(most, self.database.log_file.unsynced_bytes)
            while not writing.called:
                disk.waiting.pop(0).callback(None)
            self.successResultOf(writing)
        self.assertEqual(most, MOST_UNSYNCED_BYTES)

    def test_a_rotten_row_costs_itself_and_what_follows(self) -> None:
        """A wrong byte is found when the blob is taken up again."""
        self.hold(3)
        place = blobs.first_chunk(self.blob().id) + 1
        self.write(lambda conn: conn.execute(
            update(chunk).where(chunk.c.id == place).values(data=b"x" * CHUNK_BYTES)))  # fmt: skip
        self.check_can_go_on(from_chunk=1)

    def test_a_lost_row_costs_itself_and_what_follows(self) -> None:
        """So is a row that a damaged database no longer has."""
        self.hold(3)
        place = blobs.first_chunk(self.blob().id) + 1
        self.write(lambda conn: conn.execute(delete(chunk).where(chunk.c.id == place)))
        self.check_can_go_on(from_chunk=1)

    def test_restart_forgets_everything(self) -> None:
        """After a restart the first chunk comes first again."""
        sink = self.hold(3)
        finished(sink.restart())
        self.assertEqual(self.blob().held_bytes, 0)
        finished(sink.write(CHUNKS, DIGESTS))
        finished(sink.finish(digest_list(CHUNKS)))

    def test_a_sink_of_an_older_import_is_stale(self) -> None:
        """Once another import has the blob, the old one can neither write nor finish."""
        sink = self.hold(1)
        self.take_lease("region-1")
        finished(self.rows().resume())
        with self.assertRaises(Stale):
            finished(sink.write(CHUNKS[1:2], DIGESTS[1:2]))
        with self.assertRaises(Stale):
            finished(sink.finish(digest_list(CHUNKS)))
        self.assertEqual(self.blob().held_chunks, 1)

    def test_nothing_is_complete_before_its_last_byte(self) -> None:
        """Finishing early is refused."""
        sink = self.hold(3)
        with self.assertRaises(IntegrityError):
            finished(sink.finish(digest_list(CHUNKS)))
        self.assertFalse(self.blob().is_complete)
