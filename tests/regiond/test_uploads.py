"""Bytes that an admin sends: in order, bounded, verified, and kept through interruptions."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.digests import CHUNK_BYTES, RunningDigest, sha256_hex
from common.errors import (
    Busy,
    Conflict,
    IntegrityError,
    NoSpace,
    ProtocolError,
    Stale,
    StorageError,
    TransferError,
    WrongUsage,
)
from regiond.chunk_rows import ChunkRows
from regiond.store import blob_writing, blobs
from regiond.uploads import (
    CLAIM_S,
    MOST_AT_ONCE,
    MOST_WAITING_BYTES,
    RENEWAL_S,
    SILENCE_S,
    Upload,
    Uploads,
)
from tests.doubles.stores import NOW, OnSQLite, Store, finished
from tests.doubles.streams import inline, some_bytes

PIECE = 48 << 10
CONTENT = some_bytes(3 * CHUNK_BYTES + 77)
NAME = sha256_hex(CONTENT)


def pieces(content: bytes, begin: int = 0) -> list[tuple[int, bytes]]:
    return [(at, content[at : at + PIECE]) for at in range(begin, len(content), PIECE)]


class UploadsTests(Store, OnSQLite):
    def setUp(self) -> None:
        super().setUp()
        self.time = NOW
        self.clock = Clock()
        self.uploads = self.region("region-1")

    def region(self, name: str) -> Uploads:
        return Uploads(self.database, inline, lambda: self.time, name, self.clock)

    def opened(self, content: bytes = CONTENT) -> Upload:
        upload = finished(self.uploads.open(sha256_hex(content), len(content)))
        assert upload is not None
        return upload

    def send(self, upload: Upload, content: bytes = CONTENT, end: int | None = None) -> None:
        for at, piece in pieces(content[:end], upload.held_bytes):
            finished(upload.write(at, piece))

    def held_bytes(self) -> int:
        return self.read(blobs.held_bytes, NAME)

    def test_what_was_sent_is_stored_under_its_name(self) -> None:
        """Every byte, complete, with the digest list of its chunks."""
        upload = self.opened()
        self.assertEqual(upload.held_bytes, 0)
        self.send(upload)
        finished(upload.finish())
        blob = self.read(blobs.find_blob, NAME)
        assert blob is not None
        self.assertTrue(blob.is_complete)
        stored = [self.read(blobs.read_chunk, blob.id, seq) for seq in range(4)]
        self.assertEqual(b"".join(stored), CONTENT)

    def test_what_is_held_is_not_sent_again(self) -> None:
        """A complete blob needs nothing."""
        upload = self.opened()
        self.send(upload)
        finished(upload.finish())
        self.assertIsNone(finished(self.uploads.open(NAME, len(CONTENT))))

    def test_whole_chunks_survive_the_sender(self) -> None:
        """The next one is told of them, and goes on behind them."""
        upload = self.opened()
        self.send(upload, end=2 * CHUNK_BYTES + 5)
        finished(self.uploads.close(upload))
        again = self.opened()
        self.assertEqual(again.held_bytes, 2 * CHUNK_BYTES)
        self.send(again)
        finished(again.finish())
        self.assertIsNone(finished(self.uploads.open(NAME, len(CONTENT))))

    def test_two_shells_do_not_take_it_from_each_other(self) -> None:
        """The second waits while the first sends; it goes on when that has fallen silent."""
        first = self.opened()
        self.send(first, end=CHUNK_BYTES)
        error = self.assertRaises(Busy, self.opened)
        self.assertEqual(error.code, "upload-elsewhere")
        self.time += SILENCE_S
        second = self.opened()
        self.assertEqual(second.held_bytes, CHUNK_BYTES)
        self.send(second)
        self.assertRaises(Stale, self.send_rest, first)
        finished(second.finish())

    def send_rest(self, upload: Upload) -> None:
        for at, piece in pieces(CONTENT, CHUNK_BYTES):
            finished(upload.write(at, piece))
        finished(upload.finish())

    def test_two_regions_do_not_take_it_from_each_other(self) -> None:
        """The other one waits for as long as bytes come to the first, and takes over soon after."""
        first, other = self.opened(), self.region("region-2")
        for at, piece in pieces(CONTENT)[:60]:
            finished(first.write(at, piece))
            self.time += SILENCE_S / 4
            self.clock.advance(SILENCE_S / 4)
            error = self.assertRaises(Busy, finished, other.open(NAME, len(CONTENT)))
            self.assertEqual(error.code, "upload-elsewhere")
        self.time += SILENCE_S
        self.clock.advance(RENEWAL_S)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.time += CLAIM_S
        second = finished(other.open(NAME, len(CONTENT)))
        assert second is not None
        self.assertEqual(second.held_bytes, 2 * CHUNK_BYTES)
        self.assertRaises(Busy, self.opened)
        self.send(second)
        finished(second.finish())
        finished(other.close(second))
        self.assertIsNone(finished(self.uploads.open(NAME, len(CONTENT))))

    def test_one_that_is_given_up_is_free(self) -> None:
        """At once, for every region."""
        first, other = self._with_a_chunk(), self.region("region-2")
        finished(self.uploads.close(first))
        second = finished(other.open(NAME, len(CONTENT)))
        assert second is not None
        self.assertEqual(second.held_bytes, CHUNK_BYTES)

    def test_one_that_is_being_opened(self) -> None:
        """What is held is verified for one shell at a time."""
        finished(self.uploads.close(self._with_a_chunk()))
        held: list[Deferred[Any]] = []

        def hashing(work: Callable[[], Any]) -> "Deferred[Any]":
            held.append(Deferred().addCallback(lambda _: work()))
            return held[-1]

        self.uploads = Uploads(self.database, hashing, lambda: self.time, "region-1", self.clock)
        opening = Deferred.fromCoroutine(self.uploads.open(NAME, len(CONTENT)))
        self.assertRaises(Busy, self.opened)
        held.pop().callback(None)
        self.assertEqual(self.successResultOf(opening).held_bytes, CHUNK_BYTES)

    def _with_a_chunk(self) -> Upload:
        upload = self.opened()
        self.send(upload, end=CHUNK_BYTES)
        return upload

    def test_a_closed_upload_takes_nothing_more(self) -> None:
        """Not while another goes on with it."""
        upload = self.opened()
        finished(self.uploads.stop())
        self.assertRaises(TransferError, finished, upload.write(0, b"x"))
        self.assertRaises(TransferError, finished, self.uploads.open(NAME, len(CONTENT)))

    def test_other_bytes_leave_nothing(self) -> None:
        """A file that changed while it was read is refused, and begun anew the next time."""
        upload = self.opened()
        wrong = some_bytes(len(CONTENT), seed=9)
        self.send(upload, wrong)
        error = self.assertRaises(IntegrityError, finished, upload.finish())
        self.assertEqual(error.code, "upload-digest")
        self.assertEqual(self.opened().held_bytes, 0)

    def test_pieces_out_of_order(self) -> None:
        """A gap, a repetition, too much, too little: each is refused by name."""
        upload = self.opened(b"abcdef")
        finished(upload.write(0, b"abc"))
        for at, piece in ((4, b"e"), (0, b"abc"), (3, b"defg")):
            error = self.assertRaises(ProtocolError, finished, upload.write(at, piece))
            self.assertEqual(error.code, "upload-order")
        self.assertRaises(ProtocolError, finished, upload.finish())
        finished(upload.write(3, b"def"))
        finished(upload.finish())

    def test_names_and_sizes_that_are_none(self) -> None:
        """They are refused before anything is stored."""
        for name, size_bytes in (("x", 1), (NAME.upper(), 1), (NAME, -1)):
            error = self.assertRaises(WrongUsage, finished, self.uploads.open(name, size_bytes))
            self.assertEqual(error.code, "upload-name")
        self.assertEqual(self.read(blobs.all_blobs), ())

    def test_another_size_of_known_bytes(self) -> None:
        """The same SHA-256 with another size is a contradiction."""
        self.take_lease()
        self.write(blob_writing.keep_whole, b"abc")
        name = sha256_hex(b"abc")
        error = self.assertRaises(Conflict, finished, self.uploads.open(name, 4))
        self.assertEqual(error.code, "blob-size")

    def test_what_does_not_fit_is_refused_before_its_first_byte(self) -> None:
        """With the figures."""

        async def free_bytes() -> int:
            return 5 << 20

        self.patch(self.database, "free_bytes", free_bytes)
        error = self.assertRaises(NoSpace, finished, self.uploads.open(NAME, len(CONTENT)))
        self.assertEqual((error.code, error.object), ("upload-space", "upload"))
        self.assertIn("free 5 MiB", error.message)

    def test_a_database_that_fails_is_heard_of(self) -> None:
        """By the next piece, or at the end."""

        def broken(*_: Any) -> None:
            raise StorageError("broken")

        upload = self.opened()
        self.patch(blob_writing, "append_chunks", broken)
        self.send(upload, end=CHUNK_BYTES)
        error = self.assertRaises(StorageError, self.send, upload)
        self.assertEqual(error.message, "broken")

    def test_nothing(self) -> None:
        """An empty blob is complete without a piece."""
        upload = self.opened(b"")
        finished(upload.finish())
        self.assertIsNone(finished(self.uploads.open(sha256_hex(b""), 0)))


class BackPressureTests(Store, OnSQLite):
    """Hashing ends when the test says so."""

    def setUp(self) -> None:
        super().setUp()
        self.hashes: list[Callable[[], None]] = []

    def hashing(self, work: Callable[[], Any]) -> "Deferred[Any]":
        done: Deferred[Any] = Deferred()
        self.hashes.append(lambda: done.callback(work()))
        return done

    def upload(self, size_bytes: int) -> Upload:
        content = some_bytes(size_bytes)
        self.content = content
        epoch = -1
        rows = ChunkRows(self.database, self.hashing, sha256_hex(content), size_bytes, epoch)
        running: RunningDigest = finished(rows.resume())
        return Upload(rows, self.hashing, running, size_bytes, lambda: NOW)

    def test_a_sender_that_is_quicker_than_the_disk_waits(self) -> None:
        """No more than a few MiB are in memory, and all of it arrives in order."""
        upload = self.upload(20 << 20)
        waiting: list[Deferred[None]] = []
        for at, piece in pieces(self.content):
            sent = Deferred.fromCoroutine(upload.write(at, piece))
            if not sent.called:
                waiting.append(sent)
            unstored = at + len(piece) - upload.held_bytes
            most = MOST_WAITING_BYTES + MOST_AT_ONCE * CHUNK_BYTES + 24 * PIECE
            self.assertLessEqual(unstored, most)
            if len(waiting) == 24:
                while not waiting[0].called:
                    self.hashes.pop(0)()
                waiting = [each for each in waiting if not each.called]
        finishing = Deferred.fromCoroutine(upload.finish())
        while self.hashes:
            self.hashes.pop(0)()
        self.successResultOf(finishing)
        for each in waiting:
            self.successResultOf(each)

    def test_a_sender_that_leaves_while_it_waits(self) -> None:
        """What came is stored all the same."""
        upload = self.upload(4 * CHUNK_BYTES)
        sent = [
            Deferred.fromCoroutine(upload.write(at, piece))
            for at, piece in pieces(self.content[: 3 * CHUNK_BYTES + 5])
        ]
        for each in sent:
            each.addErrback(lambda _: None)
            each.cancel()
        stopping = Deferred.fromCoroutine(upload.stop())
        while self.hashes:
            self.hashes.pop(0)()
        self.successResultOf(stopping)
        self.assertEqual(upload.held_bytes, 3 * CHUNK_BYTES)


class AnySizesTests(SynchronousTestCase):
    @settings(max_examples=25)
    @given(st.integers(0, 2 * CHUNK_BYTES + 3), st.data())
    def test_however_it_is_cut(self, size_bytes: int, data: st.DataObject) -> None:
        """Pieces of any length, and any number of stops, come to the same blob."""
        case = UploadsTests("test_nothing")
        case.setUp()
        try:
            content = some_bytes(size_bytes)
            cut = data.draw(st.integers(0, size_bytes))
            first = case.opened(content)
            length = data.draw(st.integers(CHUNK_BYTES // 7, CHUNK_BYTES))
            for at in range(0, cut, length):
                finished(first.write(at, content[at : min(at + length, cut)]))
            finished(case.uploads.close(first))
            second = case.opened(content)
            self.assertEqual(second.held_bytes, size_bytes if cut == size_bytes else
                             cut - cut % CHUNK_BYTES)  # fmt: skip
            if second.held_bytes < size_bytes:
                finished(second.write(second.held_bytes, content[second.held_bytes :]))
            finished(second.finish())
            self.assertIsNone(finished(case.uploads.open(sha256_hex(content), size_bytes)))
        finally:
            case.doCleanups()
