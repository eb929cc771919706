"""Blobs, as they are made."""

from common.digests import CHUNK_BYTES
from common.errors import Conflict, IntegrityError, NotFound, Stale
from regiond.store import blob_writing, blobs
from tests.doubles.blob_writer import RAGGED, WHOLE, BlobStore
from tests.doubles.stores import OnPostgreSQL, OnSQLite, content


class WritingSuite(BlobStore):
    def test_a_newer_writer_takes_over_what_is_held(self) -> None:
        """A later import goes on where the earlier one stopped."""
        self.append(self.claim(), RAGGED.rows[:1])
        taken = self.claim(epoch=self.epoch + 1)
        self.assertEqual((taken.held_chunks, taken.held_bytes), (1, CHUNK_BYTES))

    def test_a_stale_writer_can_do_nothing(self) -> None:
        """Each write of a writer whose lease went to another is refused and changes nothing."""
        blob = self.claim()
        self.append(blob, RAGGED.rows[:1])
        self.claim(epoch=self.epoch + 1)
        for work, *arguments in (
            (blob_writing.append_chunks, blob.id, self.epoch, 1, RAGGED.rows[1:]),
            (blob_writing.drop_chunks, blob.id, self.epoch, 0),
            (blob_writing.complete_blob, blob.id, self.epoch, RAGGED.digests),
            (blob_writing.claim_blob, RAGGED.sha256, RAGGED.size_bytes, self.epoch),
        ):
            self.assertRaises(Stale, self.write, work, *arguments)
        self.assertEqual(self.read(blobs.held_bytes, RAGGED.sha256), CHUNK_BYTES)
        self.assertEqual(self.read(blobs.read_chunk, blob.id, 0), RAGGED.chunks[0])
        self.assertRaises(NotFound, self.read, blobs.read_chunk, blob.id, 1)

    def test_chunks_follow_each_other_without_gap_or_repetition(self) -> None:
        """Only the next chunks fit; a refused append leaves nothing behind."""
        blob = self.claim(WHOLE)
        self.append(blob, WHOLE.rows[:1])
        for first_seq in (0, 2):
            self.assertRaises(IntegrityError, self.append, blob, WHOLE.rows[1:2], first_seq)
        self.assertEqual(self.read(blobs.held_bytes, WHOLE.sha256), CHUNK_BYTES)

    def test_only_the_last_chunk_is_short_and_it_is_never_extended(self) -> None:
        """A short chunk is accepted exactly where the promised size ends."""
        digest = WHOLE.rows[0][1]
        blob = self.claim(WHOLE)
        for rows in (
            [(b"short", digest)],
            [(b"short", digest), WHOLE.rows[1]],
            [(b"", digest)],
            [(WHOLE.chunks[0] + b"x", digest)],
            [*WHOLE.rows, (b"more", digest)],
        ):
            self.assertRaises(IntegrityError, self.append, blob, rows)
        ragged = self.claim(RAGGED)
        self.append(ragged, RAGGED.rows)
        self.assertRaises(IntegrityError, self.append, ragged, [(b"x", digest)], 3)

    def test_completing_needs_every_byte_and_the_right_digests(self) -> None:
        """A blob is complete only under its own name, with the digests that were stored."""
        blob = self.claim()
        complete = (self.write, blob_writing.complete_blob, blob.id, self.epoch)
        self.append(blob, RAGGED.rows[:2])
        self.assertRaises(IntegrityError, *complete, RAGGED.digests)
        self.append(blob, [(RAGGED.chunks[2], b"\0" * 32)], first_seq=2)
        self.assertRaises(IntegrityError, *complete, WHOLE.digests)
        self.assertRaises(IntegrityError, *complete, RAGGED.digests)
        self.write(blob_writing.drop_chunks, blob.id, self.epoch, 2)
        self.append(blob, RAGGED.rows[2:], first_seq=2)
        self.write(blob_writing.complete_blob, blob.id, self.epoch, RAGGED.digests)

    def test_a_complete_blob_never_changes(self) -> None:
        """Even its own writer cannot append, drop or claim it with another size."""
        self.store(WHOLE)
        blob = self.read(blobs.find_blob, WHOLE.sha256)
        self.assertRaises(Stale, self.append, blob, WHOLE.rows[:1])
        self.assertRaises(Stale, self.write, blob_writing.drop_chunks, blob.id, self.epoch)
        self.assertRaises(
            Conflict, self.write, blob_writing.claim_blob, WHOLE.sha256, 5, self.epoch + 1
        )
        self.assertEqual(self.read(blobs.read_chunk, blob.id, 2), WHOLE.chunks[2])

    def test_completed_twice_is_once(self) -> None:
        """Whoever was stopped in the moment of completion asks again; with other digests not."""
        self.store(WHOLE)
        blob = self.read(blobs.find_blob, WHOLE.sha256)
        self.write(blob_writing.complete_blob, blob.id, self.epoch, WHOLE.digests)
        self.assertRaises(
            Stale, self.write, blob_writing.complete_blob, blob.id, self.epoch, b"x" * 32
        )

    def test_dropping_keeps_what_stands_before(self) -> None:
        """Only the chunks from the given one on go; dropping beyond the end drops nothing."""
        blob = self.claim(WHOLE)
        self.append(blob, WHOLE.rows[:2])
        self.write(blob_writing.drop_chunks, blob.id, self.epoch, 5)
        self.assertEqual(self.read(blobs.held_bytes, WHOLE.sha256), 2 * CHUNK_BYTES)
        self.write(blob_writing.drop_chunks, blob.id, self.epoch, 1)
        self.assertEqual(self.read(blobs.held_bytes, WHOLE.sha256), CHUNK_BYTES)
        self.assertEqual(self.read(blobs.read_chunk, blob.id, 0), WHOLE.chunks[0])
        self.assertRaises(NotFound, self.read, blobs.read_chunk, blob.id, 1)

    def test_another_promised_size_starts_a_partial_over(self) -> None:
        """Chunks fetched for a size that is no longer promised are not built upon."""
        self.append(self.claim(WHOLE), WHOLE.rows[:2])
        again = self.write(blob_writing.claim_blob, WHOLE.sha256, WHOLE.size_bytes + 1, self.epoch)
        self.assertEqual((again.held_chunks, again.size_bytes), (0, WHOLE.size_bytes + 1))

    def test_a_size_beyond_the_key_space_is_refused(self) -> None:
        """A blob's chunks can never run into those of the next blob."""
        self.assertRaises(
            Conflict, self.write, blob_writing.claim_blob, WHOLE.sha256, 2**41, self.epoch
        )

    def test_neighbours_keep_their_chunks(self) -> None:
        """Dropping one blob's chunks leaves those of the blobs before and after alone."""
        before, middle, after = (content(CHUNK_BYTES, seed=n) for n in (5, 6, 7))
        for each in (before, middle, after):
            self.append(self.claim(each), each.rows)
        blob = self.read(blobs.find_blob, middle.sha256)
        self.write(blob_writing.drop_chunks, blob.id, self.epoch)
        for each in (before, after):
            kept = self.read(blobs.find_blob, each.sha256)
            self.assertEqual(self.read(blobs.read_chunk, kept.id, 0), each.chunks[0])


class WritingOnSQLite(WritingSuite, OnSQLite):
    pass


class WritingOnPostgreSQL(WritingSuite, OnPostgreSQL):
    pass
