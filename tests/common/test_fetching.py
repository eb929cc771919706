"""Getting one blob, whatever happens on the way."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from common.digests import CHUNK_BYTES
from common.errors import IntegrityError, NoSpace, SourceError, TransferError
from common.fetching import Limits
from tests.doubles.fetches import CONTENT, FetchCase
from tests.doubles.streams import (
    Act,
    MemoryOrigin,
    MemorySink,
    goal_of,
    inline,
    some_bytes,
)


class PlainTests(FetchCase):
    """Nothing goes wrong."""

    def test_gets_everything_with_and_without_a_list(self) -> None:
        """All bytes arrive, in order, and the sink is told their digest list."""
        for with_digests in (True, False):
            self.sink = MemorySink()
            self.finish(self.start(MemoryOrigin(CONTENT), with_digests=with_digests))
            self.assertEqual(self.sink.digest_list, goal_of(CONTENT).digests)

    def test_nothing_is_a_blob_too(self) -> None:
        """An empty blob is finished without asking anybody."""
        origin = MemoryOrigin(b"")
        self.successResultOf(self.start(origin, content=b""))
        self.assertEqual((self.sink.finished, origin.offsets), (b"", []))

    def test_goes_on_where_the_sink_is(self) -> None:
        """What is held is not fetched again."""
        self.sink = MemorySink(CONTENT[: 2 * CHUNK_BYTES])
        origin = MemoryOrigin(CONTENT)
        self.finish(self.start(origin))
        self.assertEqual(origin.offsets, [2 * CHUNK_BYTES])

    def test_a_complete_holding_is_only_named(self) -> None:
        """After a crash between the last write and the end nothing is fetched."""
        self.sink = MemorySink(CONTENT)
        origin = MemoryOrigin(CONTENT)
        self.finish(self.start(origin))
        self.assertEqual(origin.offsets, [])

    def test_progress_rises_to_the_size(self) -> None:
        """Progress counts what the sink holds, after each write."""
        self.finish(self.start(MemoryOrigin(CONTENT)))
        self.assertEqual(self.told, sorted(self.told))
        self.assertEqual(self.told[-1], len(CONTENT))

    def test_an_ended_body_is_not_aborted_before_its_end(self) -> None:
        """The next request of a pool can use the connection: bodies are read to the end."""
        origin = MemoryOrigin(CONTENT)
        self.finish(self.start(origin))
        self.assertEqual(origin.bodies[0]._position, len(CONTENT))


class PipelineTests(FetchCase):
    """Overlap and bounds."""

    def test_a_slow_sink_stops_the_origin(self) -> None:
        """While a write is under way at most two batches are read, then the origin waits."""
        content = some_bytes(40 * CHUNK_BYTES)
        self.sink.gate = Deferred()
        origin = MemoryOrigin(content)
        fetching = self.start(origin, content=content)
        read_bytes = origin.bodies[0]._position
        self.assertLessEqual(read_bytes, 13 * CHUNK_BYTES)
        self.assertGreaterEqual(origin.bodies[0].pauses, 1)
        gate, self.sink.gate = self.sink.gate, None
        gate.callback(None)
        self.clock.advance(1)
        self.successResultOf(fetching)
        self.assertEqual(self.sink.finished, content)
        self.assertLessEqual(self.sink.most_chunks, 4)

    def test_hashes_while_it_writes(self) -> None:
        """The next batch is hashed although the write before it is not over."""
        hashed: list[int] = []

        def hashing(work: Callable[[], Any]) -> Any:
            hashed.append(self.sink.writing)
            return inline(work)

        self.sink.gate = Deferred()
        fetching = self.start(MemoryOrigin(CONTENT), hashing=hashing)
        self.assertEqual(hashed[:2], [0, 1])
        self.sink.gate.callback(None)
        self.finish(fetching)


class FaultTests(FetchCase):
    """Each fault alone."""

    def check(self, *acts: Act, with_digests: bool = True) -> MemoryOrigin:
        """An origin that plays these acts and is right afterwards."""
        self.sink = MemorySink()
        origin = MemoryOrigin(CONTENT, list(acts))
        self.finish(self.start(origin, with_digests=with_digests))
        return origin

    def test_a_cut_costs_nothing_that_arrived(self) -> None:
        """After a cut the next question is for exactly the first byte that is missing."""
        origin = self.check(Act(cut_at=CHUNK_BYTES + 777))
        self.assertEqual(origin.offsets, [0, CHUNK_BYTES + 777])

    def test_cuts_within_one_chunk_do_not_stop_a_transfer(self) -> None:
        """On a line that never carries a whole chunk at once, the blob still arrives."""
        cuts = [Act(cut_at=n * 300_000) for n in range(1, 22)]
        origin = self.check(*cuts)
        self.assertEqual(len(origin.offsets), 22)

    def test_a_stall_is_a_cut(self) -> None:
        """A silent body is given up after the window, and its connection dropped."""
        origin = self.check(Act(stall_at=5 * CHUNK_BYTES))
        self.assertEqual(origin.offsets, [0, 5 * CHUNK_BYTES])
        self.assertTrue(origin.bodies[0].aborted)

    def test_an_origin_that_does_not_answer(self) -> None:
        """The head's time-out ends an attempt."""
        self.assertEqual(self.check(Act(silent=True)).offsets, [0, 0])

    def test_an_early_end_is_a_cut(self) -> None:
        """A body that ends properly but too early is gone on with."""
        self.assertEqual(self.check(Act(end_at=10)).offsets, [0, 10])

    def test_a_corrupt_chunk_is_never_written(self) -> None:
        """With a list the wrong chunk is fetched again, from its first byte."""
        origin = self.check(Act(corrupt_at=3 * CHUNK_BYTES + 5))
        self.assertEqual(origin.offsets, [0, 3 * CHUNK_BYTES])
        self.assertEqual(self.sink.restarts, 0)

    def test_a_corrupt_blob_starts_over(self) -> None:
        """Without a list the wrong byte shows at the end, and all is fetched once more."""
        origin = self.check(Act(corrupt_at=5), with_digests=False)
        self.assertEqual(origin.offsets, [0, 0])
        self.assertEqual(self.sink.restarts, 1)

    def test_an_endless_body_completes_nothing(self) -> None:
        """More bytes than promised: the last chunk is fetched again from an honest body."""
        origin = self.check(Act(extra=b"x" * 1000), with_digests=False)
        self.assertEqual(origin.offsets, [0, 6 * CHUNK_BYTES])
        self.assertTrue(origin.bodies[0].aborted)

    def test_200_to_a_range(self) -> None:
        """An origin that ignores the range makes the transfer start over with that body."""
        origin = self.check(Act(cut_at=2 * CHUNK_BYTES), Act(ignore_range=True))
        self.assertEqual(origin.offsets, [0, 2 * CHUNK_BYTES])
        self.assertEqual(self.sink.restarts, 1)

    def test_416_starts_over(self) -> None:
        """An origin that finds the range impossible is asked for everything."""
        origin = self.check(Act(cut_at=2 * CHUNK_BYTES), Act(status=416))
        self.assertEqual(origin.offsets, [0, 2 * CHUNK_BYTES, 0])


class GivingUpTests(FetchCase):
    """Ends that are errors."""

    LIMITS = Limits(max_attempts=3)

    def failed(self, family: type[Exception], *acts: Act, **options: Any) -> Any:
        origin = MemoryOrigin(CONTENT, list(acts))
        fetching = self.start(origin, limits=self.LIMITS, **options)
        self.clock.pump([15.0] * 40)
        self.assertIsNone(self.sink.finished)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return self.failureResultOf(fetching, family).value

    def test_says_the_last_reason_and_the_object(self) -> None:
        """Three attempts without progress end in the last one's error."""
        cases = {
            "transfer-http-503": Act(status=503),
            "transfer-http-404": Act(status=404),
            "transfer-stalled": Act(stall_at=0),
            "transfer-cut": Act(cut_at=0),
            "transfer-length": Act(content_length=5),
        }
        for code, act in cases.items():
            error = self.failed(TransferError, *[act] * 3)
            self.assertEqual((error.code, error.object), (code, "image/file"))
            self.assertTrue(error.remedy)

    def test_constant_damage_is_named(self) -> None:
        """A chunk that is wrong three times names itself and both digests."""
        error = self.failed(IntegrityError, *[Act(corrupt_at=CHUNK_BYTES)] * 3)
        self.assertEqual(error.code, "integrity-chunk")
        self.assertEqual(self.sink.held, CONTENT[:CHUNK_BYTES])

    def test_another_file_is_named(self) -> None:
        """A blob that is wrong twice is an integrity error."""
        error = self.failed(IntegrityError, *[Act(corrupt_at=7)] * 2, with_digests=False)
        self.assertEqual(error.code, "integrity-sha256")

    def test_a_refusal_of_the_origin_is_final(self) -> None:
        """An error of another family than transfers is not tried again."""
        refusal = SourceError("redirected", code="source-redirect")
        self.assertIs(self.failed(SourceError, Act(error=refusal)), refusal)

    def test_a_full_disk_ends_the_fetch_and_keeps_what_is_held(self) -> None:
        """The sink's error comes out as it is, and the connection is dropped."""
        self.sink.error = NoSpace("disk full")
        origin = MemoryOrigin(CONTENT)
        self.failureResultOf(self.start(origin), NoSpace)
        self.assertTrue(origin.bodies[0].aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.finish(self.start(MemoryOrigin(CONTENT)))

    def test_a_bug_is_not_swallowed(self) -> None:
        """An exception that nobody expects comes out, and is not tried again."""
        origin = MemoryOrigin(CONTENT, [Act(error=ZeroDivisionError())])  # type: ignore[arg-type]
        self.failureResultOf(self.start(origin), ZeroDivisionError)


class SeveralOriginsTests(FetchCase):
    """Going on elsewhere."""

    def test_a_dead_origin_costs_no_time(self) -> None:
        """The transfer goes on at the next origin in the same moment, at the same byte."""
        first = MemoryOrigin(CONTENT, [Act(cut_at=CHUNK_BYTES + 5)], "first")
        second = MemoryOrigin(CONTENT, name="second")
        fetching = self.start(first, second)
        self.successResultOf(fetching)
        self.assertEqual(second.offsets, [CHUNK_BYTES + 5])
        self.assertEqual(self.sink.finished, CONTENT)


class CancelTests(FetchCase):
    """Cancelling."""

    def cancelled_and_resumed(self, fetching: Deferred[None]) -> None:
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.finish(self.start(MemoryOrigin(CONTENT)))

    def test_while_it_waits_for_an_answer(self) -> None:
        """Nothing is left behind."""
        self.cancelled_and_resumed(self.start(MemoryOrigin(CONTENT, [Act(silent=True)])))

    def test_while_bytes_arrive(self) -> None:
        """The connection is dropped and the sink keeps its chunks."""
        origin = MemoryOrigin(CONTENT, [Act(stall_at=2 * CHUNK_BYTES + 1)])
        self.cancelled_and_resumed(self.start(origin))
        self.assertTrue(origin.bodies[0].aborted)

    def test_while_it_backs_off(self) -> None:
        """The back-off's timer goes away."""
        self.cancelled_and_resumed(self.start(MemoryOrigin(CONTENT, [Act(status=503)])))

    def test_while_it_hashes(self) -> None:
        """A hash that comes too late reaches nobody."""
        late: Deferred[Any] = Deferred()
        self.cancelled_and_resumed(self.start(MemoryOrigin(CONTENT), hashing=lambda _: late))

    def test_waits_for_a_write_under_way(self) -> None:
        """A thread cannot be stopped: the fetch is over when its write is, not before."""
        self.sink.gate = Deferred()
        fetching = self.start(MemoryOrigin(CONTENT))
        fetching.cancel()
        self.assertNoResult(fetching)
        gate, self.sink.gate = self.sink.gate, None
        gate.callback(None)
        self.failureResultOf(fetching, CancelledError)
        self.assertFalse(self.sink.writing)
        self.finish(self.start(MemoryOrigin(CONTENT)))
