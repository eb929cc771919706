"""The region's sink for what fits one chunk: stored complete, or not at all."""

from collections.abc import Callable
from hashlib import sha512
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from common.digests import CHUNK_BYTES, RunningDigest
from common.errors import IntegrityError, Stale
from regiond.small_blob import SmallBlob, SmallBlobs
from regiond.store import blob_writing, blobs
from regiond.store.blobs import Blob
from tests.doubles.stores import OnPostgreSQL, OnSQLite, Store, finished
from tests.doubles.streams import inline, some_bytes

SMALL = some_bytes(5000)


def digest_of(content: bytes) -> bytes:
    running = RunningDigest()
    if content:
        running.add(content)
    return running.digests


class SmallBlobSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.take_lease()

    def fetched(self, content: bytes, promised: str = "", *, finish: bool = True) -> SmallBlob:
        """What a transfer does with its sink."""
        sink = SmallBlob(SmallBlobs(self.database, self.epoch), inline, sha512=promised)
        self.assertEqual(finished(sink.resume()).size_bytes, 0)
        if content:
            finished(sink.write([content], [digest_of(content)]))
        if finish:
            finished(sink.finish(digest_of(content)))
        return sink

    def blob(self, content: bytes) -> Blob | None:
        return self.read(blobs.find_blob, digest_of(content).hex())

    def check_is_stored(self, content: bytes) -> None:
        found = self.blob(content)
        assert found is not None
        self.assertTrue(found.is_complete)
        self.assertEqual(found.held_bytes, len(content))
        self.assertEqual(self.read(blobs.digest_list, found.sha256), digest_of(content))
        if content:
            self.assertEqual(self.read(blobs.read_chunk, found.id, 0), content)

    def test_it_is_stored_complete(self) -> None:
        """Of every size that fits, nothing included; twice is once."""
        for content in (b"", b"x", SMALL, some_bytes(CHUNK_BYTES)):
            for _ in range(2):
                self.fetched(content)
                self.check_is_stored(content)

    def test_nothing_is_stored_before_it_is_verified(self) -> None:
        """A transfer that was stopped before its end leaves nothing behind."""
        self.fetched(SMALL, finish=False)
        self.assertIsNone(self.blob(SMALL))

    def test_what_is_thrown_away_is_not_stored(self) -> None:
        """After a restart only what came later counts."""
        sink = self.fetched(b"wrong", finish=False)
        finished(sink.restart())
        finished(sink.write([SMALL], [digest_of(SMALL)]))
        finished(sink.finish(digest_of(SMALL)))
        self.check_is_stored(SMALL)
        self.assertIsNone(self.blob(b"wrong"))

    def test_a_partial_of_an_earlier_import_is_completed(self) -> None:
        """With its chunk or without."""
        name = digest_of(SMALL)
        for rows in ([], [(SMALL, name)]):
            stale = self.write(blob_writing.claim_blob, name.hex(), len(SMALL), self.epoch)
            if rows and not stale.is_complete:
                self.write(blob_writing.append_chunks, stale.id, self.epoch, 0, rows)
            self.take_lease()
            self.fetched(SMALL)
            self.check_is_stored(SMALL)

    def test_a_partial_that_claimed_another_size_is_put_right(self) -> None:
        """What was verified counts, not what somebody promised."""
        name = digest_of(SMALL).hex()
        self.write(blob_writing.claim_blob, name, 3 * CHUNK_BYTES, self.epoch)
        self.fetched(SMALL)
        self.check_is_stored(SMALL)

    def test_several_are_stored_at_once(self) -> None:
        """New ones, empty ones, complete ones and partials, and one that is named twice."""
        self.fetched(b"known")
        self.write(blob_writing.claim_blob, digest_of(SMALL).hex(), len(SMALL), self.epoch)
        new = [some_bytes(size, seed=size) for size in (1, 9000, 1 << 17, CHUNK_BYTES)]
        contents = [*new, b"", b"known", SMALL, new[0]]
        pairs = [(content, digest_of(content)) for content in contents]
        self.write(blob_writing.keep_small, pairs, self.epoch)
        for content in contents:
            self.check_is_stored(content)
        self.assertEqual(len(self.read(blobs.all_blobs)), len(contents) - 1)

    def test_whoever_lost_the_lease_leaves_a_partial_of_its_successor_alone(self) -> None:
        """Its write is stale."""
        sink = self.fetched(SMALL, finish=False)
        self.take_lease()
        self.write(blob_writing.claim_blob, digest_of(SMALL).hex(), len(SMALL), self.epoch)
        with self.assertRaises(Stale):
            finished(sink.finish(digest_of(SMALL)))

    def test_a_second_digest_has_to_be_right_too(self) -> None:
        """With another SHA-512 than the stream's nothing is stored."""
        with self.assertRaises(IntegrityError) as caught:
            self.fetched(SMALL, promised="0" * 128)
        self.assertEqual(caught.exception.code, "integrity-sha512")
        self.assertIsNone(self.blob(SMALL))
        self.fetched(SMALL, promised=sha512(SMALL).hexdigest())
        self.check_is_stored(SMALL)


class SlowDatabase:
    """Whose writes end when the test says so.

    Attributes:
        writes: what each write was to store, and its end.
    """

    def __init__(self) -> None:
        self.writes: list[tuple[list[bytes], Deferred[None]]] = []

    async def write(
        self, _: Callable[..., None], contents: list[tuple[bytes, bytes]], __: int
    ) -> None:
        end: Deferred[None] = Deferred()
        self.writes.append(([content for content, _ in contents], end))
        await end


class TogetherTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A store that is asked for three blobs."""
        self.database = SlowDatabase()
        database: Any = self.database
        small = SmallBlobs(database, 1)
        self.kept = [small.keep(content, digest_of(content)) for content in (b"a", b"b", b"c")]

    def test_those_that_wait_are_stored_by_one_write(self) -> None:
        """One write at a time; whoever comes meanwhile shares the next, and waits for its end."""
        self.assertEqual([contents for contents, _ in self.database.writes], [[b"a"]])
        self.database.writes[0][1].callback(None)
        self.successResultOf(self.kept[0])
        self.assertNoResult(self.kept[1])
        self.assertEqual([contents for contents, _ in self.database.writes], [[b"a"], [b"b", b"c"]])
        self.database.writes[1][1].callback(None)
        for kept in self.kept[1:]:
            self.successResultOf(kept)

    def test_a_write_that_fails_fails_for_its_own(self) -> None:
        """Each of them is told why; the next write is another matter."""
        self.database.writes[0][1].errback(Stale("too late"))
        self.failureResultOf(self.kept[0], Stale)
        self.database.writes[1][1].callback(None)
        self.successResultOf(self.kept[1])

    def test_who_leaves_takes_nobody_along(self) -> None:
        """Its bytes are stored all the same."""
        self.kept[1].cancel()
        self.failureResultOf(self.kept[1])
        self.database.writes[0][1].callback(None)
        self.assertEqual(self.database.writes[1][0], [b"b", b"c"])
        self.database.writes[1][1].callback(None)
        self.successResultOf(self.kept[2])


class SmallBlobOnSQLite(SmallBlobSuite, OnSQLite):
    pass


class SmallBlobOnPostgreSQL(SmallBlobSuite, OnPostgreSQL):
    pass
