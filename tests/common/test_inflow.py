"""From arriving bytes to whole chunks."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.digests import CHUNK_BYTES
from common.errors import TransferError
from common.inflow import HIGH_WATER_CHUNKS, Inflow, Pieces
from tests.doubles.streams import chunks_of, some_bytes

CUT = TransferError("cut", code="transfer-cut")


class FlowLog:
    """Notes what it was told."""

    def __init__(self) -> None:
        self.paused = False

    def pause(self) -> None:
        assert not self.paused
        self.paused = True

    def resume(self) -> None:
        assert self.paused
        self.paused = False


class InflowCase(SynchronousTestCase):
    """Makes inflows on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.flow = FlowLog()

    def inflow(self, length_bytes: int, tail: Pieces | None = None) -> Inflow:
        return Inflow(
            tail or [],
            length_bytes,
            clock=self.clock,
            window_s=60.0,
            min_rate=1024,
            flow=self.flow,
        )

    def batch(self, inflow: Inflow) -> Deferred[list[Pieces]]:
        return Deferred.fromCoroutine(inflow.batch())

    def taken(self, inflow: Inflow) -> list[bytes]:
        """The next batch, joined."""
        return [b"".join(pieces) for pieces in self.successResultOf(self.batch(inflow))]


class ChunkTests(InflowCase):
    """Coalescing."""

    @given(st.lists(st.integers(1, CHUNK_BYTES * 2), min_size=1, max_size=6), st.integers(0, 9))
    @settings(max_examples=25)
    def test_pieces_of_any_size_become_the_same_chunks(self, sizes: list[int], tail: int) -> None:
        """However the bytes are cut up on the way, and whatever was left from before."""
        self.setUp()
        content = some_bytes(tail + sum(sizes))
        inflow = self.inflow(len(content) - tail, [content[:tail]] if tail else [])
        position, chunks = tail, []
        for size in sizes:
            inflow.received(content[position : position + size])
            position += size
        inflow.ended(None)
        while batch := self.taken(inflow):
            self.assertLessEqual(len(batch), 4)
            chunks += batch
        self.assertEqual(chunks, chunks_of(content))
        self.assertIsNone(inflow.error)

    def test_waits_for_a_whole_chunk(self) -> None:
        """Nothing is handed out before one chunk is whole; then it comes at once."""
        inflow = self.inflow(3 * CHUNK_BYTES)
        inflow.received(bytes(CHUNK_BYTES - 1))
        waiting = self.batch(inflow)
        self.assertNoResult(waiting)
        inflow.received(b"12")
        self.assertEqual(len(self.successResultOf(waiting)), 1)
        inflow.close()

    def test_the_last_chunk_waits_for_the_end(self) -> None:
        """Only a body that is over completes a blob; one that goes on does not."""
        inflow = self.inflow(10)
        inflow.received(bytes(10))
        waiting = self.batch(inflow)
        self.assertNoResult(waiting)
        inflow.received(b"x")
        self.assertEqual(self.successResultOf(waiting), [])
        assert inflow.error is not None
        self.assertEqual(inflow.error.code, "transfer-length")
        self.assertEqual(inflow.tail, [])

    def test_too_many_bytes_after_a_whole_last_chunk(self) -> None:
        """The same where the last chunk is full: it is dropped, the ones before are kept."""
        inflow = self.inflow(2 * CHUNK_BYTES)
        inflow.received(bytes(2 * CHUNK_BYTES))
        inflow.received(b"x")
        self.assertEqual(len(self.taken(inflow)), 1)
        self.assertEqual(self.taken(inflow), [])

    def test_a_cut_keeps_whole_chunks_and_the_tail(self) -> None:
        """What arrived before a cut is handed out, and the rest is there to go on with."""
        inflow = self.inflow(5 * CHUNK_BYTES)
        inflow.received(bytes(CHUNK_BYTES + 7))
        inflow.ended(CUT)
        self.assertEqual(len(self.taken(inflow)), 1)
        self.assertEqual(self.taken(inflow), [])
        self.assertIs(inflow.error, CUT)
        self.assertEqual(b"".join(inflow.tail), bytes(7))

    def test_a_cut_after_the_last_byte_does_not_matter(self) -> None:
        """All promised bytes are there: how the connection ended is of no interest."""
        inflow = self.inflow(7)
        inflow.received(bytes(7))
        inflow.ended(CUT)
        self.assertEqual(self.taken(inflow), [bytes(7)])
        self.assertIsNone(inflow.error)

    def test_nothing_is_taken_after_the_end(self) -> None:
        """Bytes that arrive late are ignored."""
        inflow = self.inflow(CHUNK_BYTES)
        inflow.ended(CUT)
        inflow.received(bytes(CHUNK_BYTES))
        self.assertEqual(self.taken(inflow), [])


class PressureTests(InflowCase):
    """Back-pressure."""

    def test_pauses_above_the_mark_and_resumes_below(self) -> None:
        """A reader that is slow stops the carrier; taking a batch lets it go on."""
        inflow = self.inflow(20 * CHUNK_BYTES)
        for _ in range(HIGH_WATER_CHUNKS - 1):
            inflow.received(bytes(CHUNK_BYTES))
        self.assertFalse(self.flow.paused)
        inflow.received(bytes(CHUNK_BYTES))
        self.assertTrue(self.flow.paused)
        self.taken(inflow)
        self.assertFalse(self.flow.paused)
        inflow.close()

    def test_the_last_chunk_cannot_jam(self) -> None:
        """The chunk that is held back does not keep a paused carrier from ending the body."""
        inflow = self.inflow(HIGH_WATER_CHUNKS * CHUNK_BYTES)
        inflow.received(bytes(HIGH_WATER_CHUNKS * CHUNK_BYTES))
        self.assertTrue(self.flow.paused)
        self.taken(inflow)
        self.assertFalse(self.flow.paused)
        inflow.close()


class StallTests(InflowCase):
    """The minimum rate."""

    def test_silence_is_a_stall(self) -> None:
        """A body that brings nothing for a window is over, with an error."""
        inflow = self.inflow(CHUNK_BYTES)
        waiting = self.batch(inflow)
        self.clock.pump([15] * 3)
        self.assertNoResult(waiting)
        self.clock.advance(15)
        self.assertEqual(self.successResultOf(waiting), [])
        assert inflow.error is not None
        self.assertEqual(inflow.error.code, "transfer-stalled")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_trickle_is_a_stall(self) -> None:
        """Less than the minimum rate is as good as nothing; the minimum is enough."""
        for rate, stalled in ((1023, True), (1024, False)):
            inflow = self.inflow(CHUNK_BYTES)
            for _ in range(20):
                inflow.received(bytes(rate * 15))
                self.clock.advance(15)
            self.assertEqual(inflow.error is not None, stalled)
            inflow.close()

    def test_a_burst_counts_for_one_window_only(self) -> None:
        """After a burst, silence is noticed within a window and a fourth."""
        inflow = self.inflow(CHUNK_BYTES)
        inflow.received(bytes(CHUNK_BYTES // 2))
        self.clock.pump([15] * 5)
        self.assertIsNotNone(inflow.error)

    def test_time_in_which_we_hold_back_does_not_count(self) -> None:
        """A slow disk is not the origin's fault, however long it takes."""
        inflow = self.inflow(20 * CHUNK_BYTES)
        inflow.received(bytes(4 * CHUNK_BYTES))
        self.clock.pump([15] * 40)
        self.assertIsNone(inflow.error)
        self.taken(inflow)
        self.clock.pump([15] * 6)
        self.assertIsNotNone(inflow.error)
