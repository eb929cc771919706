"""Reads that outlive a flip and a clean-up."""

from twisted.internet.defer import Deferred

from common.digests import CHUNK_BYTES
from common.errors import StorageError
from rackd.cached_file import CachedFile
from rackd.planning import CleanUp
from rackd.records import HeldFile
from tests.doubles.disks import LibraryCase, at_once
from tests.doubles.images import content

BLOB = content(1000)


class CachedFileTests(LibraryCase):
    """A file that is being read."""

    def source(self, blob: bytes) -> tuple[CachedFile, str]:
        file = self.put("squashfs", blob)
        path = self.library.cache / file.sha256
        source = CachedFile(path, HeldFile(file.sha256, len(blob)), at_once)
        source.open()
        self.addCleanup(source.close)
        return source, file.sha256

    def read(self, source: CachedFile, seq: int) -> bytes:
        return self.successResultOf(Deferred.fromCoroutine(source.read_chunk(seq)))

    def test_a_reader_who_left_while_it_was_opened(self) -> None:
        """Closed first, it is not opened any more: no descriptor stays behind."""
        file = self.put("boot-kernel", BLOB)
        held = HeldFile(file.sha256, len(BLOB))
        source = CachedFile(self.library.cache / file.sha256, held, at_once)
        source.close()
        self.assertRaises(StorageError, source.open)
        self.assertEqual(source.fileno(), -1)

    def test_outlives_a_clean_up(self) -> None:
        """A read that has begun goes on after its file was deleted."""
        blob = content(CHUNK_BYTES + 10)
        source, sha256 = self.source(blob)
        first = self.read(source, 0)
        self.library.discard(CleanUp(cache=(sha256,)))
        self.assertEqual(first + self.read(source, 1), blob)

    def test_shortened(self) -> None:
        """A file that gets shorter is an error, never a short answer."""
        source, sha256 = self.source(BLOB)
        path = self.library.cache / sha256
        path.chmod(0o644)
        path.write_bytes(BLOB[:10])
        reading = Deferred.fromCoroutine(source.read_chunk(0))
        self.failureResultOf(reading, StorageError)

    def test_close_twice(self) -> None:
        """Closing twice is fine, and a read afterwards fails."""
        source, _ = self.source(BLOB)
        source.close()
        source.close()
        self.failureResultOf(Deferred.fromCoroutine(source.read_chunk(0)), StorageError)
