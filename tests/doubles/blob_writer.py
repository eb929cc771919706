"""A store, and a writer of blobs."""

from collections.abc import Sequence

from common.digests import CHUNK_BYTES
from regiond.store import blob_writing, blobs
from tests.doubles.stores import Content, Store, content

WHOLE = content(3 * CHUNK_BYTES)
RAGGED = content(2 * CHUNK_BYTES + 10, seed=1)


class BlobStore(Store):
    """What suites of blobs use. The lease is taken."""

    def setUp(self) -> None:
        super().setUp()
        self.take_lease()

    def claim(self, of: Content = RAGGED, epoch: int | None = None) -> blobs.Blob:
        return self.write(blob_writing.claim_blob, of.sha256, of.size_bytes, epoch or self.epoch)

    def append(
        self, blob: blobs.Blob, rows: Sequence[tuple[bytes, bytes]], first_seq: int = 0
    ) -> None:
        self.write(blob_writing.append_chunks, blob.id, self.epoch, first_seq, rows)
