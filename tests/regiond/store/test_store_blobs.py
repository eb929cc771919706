"""Blobs, as they are read."""

from common.digests import CHUNK_BYTES, sha256_hex
from regiond.store import blob_writing, blobs
from tests.doubles.blob_writer import RAGGED, WHOLE, BlobStore
from tests.doubles.stores import OnPostgreSQL, OnSQLite, content


class BlobSuite(BlobStore):
    def test_a_completed_blob_reads_back_byte_for_byte(self) -> None:
        """What was appended in pieces is what is read, with its digests."""
        blob = self.claim()
        self.append(blob, RAGGED.rows[:2])
        self.append(blob, RAGGED.rows[2:], first_seq=2)
        self.write(blob_writing.complete_blob, blob.id, self.epoch, RAGGED.digests)
        found = self.read(blobs.find_blob, RAGGED.sha256)
        self.assertEqual((found.state, found.held_chunks, found.held_bytes),
                         ("complete", 3, RAGGED.size_bytes))  # fmt: skip
        for seq, (data, digest) in enumerate(RAGGED.rows):
            self.assertEqual(self.read(blobs.read_chunk, blob.id, seq), data)
            row = self.read(blobs.read_chunk_row, blob.id, seq)
            self.assertEqual((row.data, row.digest), (data, digest))
        self.assertEqual(self.read(blobs.digest_list, RAGGED.sha256), RAGGED.digests)

    def test_an_empty_blob_is_complete_without_chunks(self) -> None:
        """No bytes are a content like any other."""
        empty = content(0)
        self.store(empty)
        self.assertTrue(self.read(blobs.find_blob, sha256_hex(b"")).is_complete)
        self.assertEqual(self.read(blobs.digest_list, empty.sha256), empty.digests)

    def test_a_partial_has_no_digest_list_and_is_not_complete(self) -> None:
        """Nothing unverified can be taken for a blob."""
        self.append(self.claim(), RAGGED.rows[:1])
        self.assertIsNone(self.read(blobs.digest_list, RAGGED.sha256))
        self.assertFalse(self.read(blobs.find_blob, RAGGED.sha256).is_complete)
        self.assertEqual(self.read(blobs.held_bytes, RAGGED.sha256), CHUNK_BYTES)

    def test_sums(self) -> None:
        """Of no blob at all, and of what is complete and what is not."""
        self.assertEqual(self.read(blobs.sums), blobs.BlobSums(0, 0, 0))
        self.append(self.claim(), RAGGED.rows[:1])
        self.store(WHOLE)
        wanted = blobs.BlobSums(2, WHOLE.size_bytes + CHUNK_BYTES, CHUNK_BYTES)
        self.assertEqual(self.read(blobs.sums), wanted)


class BlobsOnSQLite(BlobSuite, OnSQLite):
    pass


class BlobsOnPostgreSQL(BlobSuite, OnPostgreSQL):
    pass
