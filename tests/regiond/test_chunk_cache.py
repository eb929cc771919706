from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from common.errors import StorageError
from regiond.chunk_cache import ChunkCache


class ChunkCacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.loading: dict[tuple[int, int], Deferred[bytes]] = {}
        self.cache = ChunkCache(self.load, limit_bytes=30)

    async def load(self, blob_id: int, seq: int) -> bytes:
        loading: Deferred[bytes] = Deferred()
        self.loading[blob_id, seq] = loading
        return await loading

    def get(self, blob_id: int, seq: int) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.cache.get(blob_id, seq))

    def filled(self, *seqs: int) -> None:
        for seq in seqs:
            got = self.get(1, seq)
            if (1, seq) in self.loading:
                self.loading.pop((1, seq)).callback(b"x" * 10)
            self.successResultOf(got)

    def test_many_askers_cost_one_load(self) -> None:
        """Whoever asks while a chunk is on its way, or later, gets the same bytes."""
        waiting = [self.get(1, 0) for _ in range(5)]
        self.loading[1, 0].callback(b"chunk")
        for each in [*waiting, self.get(1, 0)]:
            self.assertEqual(self.successResultOf(each), b"chunk")
        self.assertEqual((self.cache.loads, self.cache.hits), (1, 5))

    def test_chunks_are_told_apart(self) -> None:
        """Blob and number both count."""
        waiting = [self.get(1, 0), self.get(1, 1), self.get(2, 0)]
        for place, loading in enumerate(self.loading.values()):
            loading.callback(b"%d" % place)
        self.assertEqual([self.successResultOf(each) for each in waiting], [b"0", b"1", b"2"])

    def test_the_least_recently_used_goes_first(self) -> None:
        """The limit is in bytes, and asking for a chunk keeps it."""
        self.filled(0, 1, 2)
        self.filled(0)
        self.filled(3)
        self.assertEqual(self.cache.loads, 4)
        self.filled(0, 2, 3)
        self.assertEqual(self.cache.loads, 4)
        self.filled(1)
        self.assertEqual(self.cache.loads, 5)

    def test_what_is_larger_than_the_limit_is_served_and_not_kept(self) -> None:
        """Memory stays bounded whatever is loaded."""
        for _ in range(2):
            got = self.get(1, 0)
            self.loading.pop((1, 0)).callback(b"x" * 31)
            self.assertEqual(len(self.successResultOf(got)), 31)
        self.assertEqual(self.cache.loads, 2)

    def test_a_failure_reaches_all_who_wait_and_is_not_kept(self) -> None:
        """The next asker tries again."""
        waiting = [self.get(1, 0), self.get(1, 0)]
        self.loading[1, 0].errback(StorageError("broken"))
        for each in waiting:
            self.failureResultOf(each, StorageError)
        again = self.get(1, 0)
        self.loading[1, 0].callback(b"healed")
        self.assertEqual(self.successResultOf(again), b"healed")

    def test_one_who_gives_up_leaves_the_others_alone(self) -> None:
        """Even if it is the one whose question began the load."""
        first, second = self.get(1, 0), self.get(1, 0)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.loading[1, 0].callback(b"chunk")
        self.assertEqual(self.successResultOf(second), b"chunk")

    def test_one_who_is_told_may_let_another_give_up(self) -> None:
        """The one that gives up then is passed over, and the rest are told."""
        first, second, third = (self.get(1, 0) for _ in range(3))
        first.addCallback(lambda _: second.cancel())
        self.loading[1, 0].callback(b"chunk")
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.successResultOf(third), b"chunk")

    def test_a_load_that_nobody_waits_for_any_more_still_counts(self) -> None:
        """Its chunk is kept, and its failure is nobody's."""
        for outcome in (b"chunk", StorageError("broken")):
            asked = self.get(1, 0)
            asked.cancel()
            self.failureResultOf(asked, CancelledError)
            loading = self.loading.pop((1, 0))
            if isinstance(outcome, bytes):
                loading.callback(outcome)
                self.assertEqual(self.successResultOf(self.get(1, 0)), outcome)
                self.cache = ChunkCache(self.load, limit_bytes=30)
            else:
                loading.errback(outcome)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_loader_that_answers_at_once_is_fine(self) -> None:
        """Loads need not wait for anything."""

        async def at_once(blob_id: int, seq: int) -> bytes:
            return b"%d/%d" % (blob_id, seq)

        self.cache = ChunkCache(at_once)
        self.assertEqual(self.successResultOf(self.get(3, 4)), b"3/4")

    def test_what_is_forgotten_is_loaded_again(self) -> None:
        """All that is kept of a blob, and what is on its way; other blobs stay."""
        self.filled(0, 1)
        other, late = self.get(2, 0), self.get(1, 2)
        self.loading.pop((2, 0)).callback(b"other")
        self.cache.forget(1)
        self.loading.pop((1, 2)).callback(b"old")
        self.assertEqual(self.successResultOf(late), b"old")
        self.assertEqual(self.successResultOf(other), b"other")
        self.assertEqual(self.successResultOf(self.get(2, 0)), b"other")
        loads = self.cache.loads
        self.filled(0, 1, 2)
        self.assertEqual(self.cache.loads, loads + 3)
