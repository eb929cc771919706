"""The laws of a transfer: complete and verified, or absent with an error."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import CancelledError, Deferred

from common.digests import CHUNK_BYTES
from common.errors import IntegrityError, TransferError
from common.fetching import Body, Limits
from common.inflow import Receiver
from tests.doubles.fetches import CONTENT, FetchCase
from tests.doubles.streams import (
    Act,
    MemoryBody,
    MemoryOrigin,
)

ACTS = st.builds(
    Act,
    error=st.none() | st.just(TransferError("network", code="transfer-connect")),
    status=st.sampled_from([None, None, None, 206, 416, 429, 500, 503]),
    content_range=st.sampled_from([None, None, None, "bytes 0-1/2", "nonsense"]),
    content_length=st.sampled_from([None, None, None, 3]),
    ignore_range=st.booleans(),
    silent=st.booleans(),
    cut_at=st.none() | st.integers(0, len(CONTENT)),
    end_at=st.none() | st.integers(0, len(CONTENT)),
    stall_at=st.none() | st.integers(0, len(CONTENT)),
    corrupt_at=st.none() | st.integers(0, len(CONTENT) - 1),
    extra=st.sampled_from([b"", b"", b"x"]),
)


class LawTests(FetchCase):
    """Complete and verified, or absent with an error."""

    @given(st.lists(ACTS, max_size=5), st.booleans(), st.sampled_from([None, 3]))
    @settings(max_examples=40)
    def test_any_script_of_faults(
        self, acts: list[Act], with_digests: bool, max_attempts: int | None
    ) -> None:
        """After any faults an honest origin leads to the right bytes, or there is an error."""
        self.setUp()
        fetching = self.start(
            MemoryOrigin(CONTENT, acts),
            with_digests=with_digests,
            limits=Limits(max_attempts=max_attempts),
        )
        self.clock.pump([75.0] * 60)
        self.assertTrue(fetching.called, "still running after an hour")
        failures: list[Any] = []
        fetching.addErrback(failures.append)
        if failures:
            failures[0].trap(TransferError, IntegrityError)
            self.assertIsNone(self.sink.finished)
        else:
            self.assertEqual(self.sink.finished, CONTENT)

    def test_any_interleaving(self) -> None:
        """Data, corruption, cuts, every kind of answer, time and crashes in any order."""
        run_state_machine_as_test(
            Interleaving,
            settings=settings(max_examples=30, stateful_step_count=25),
        )


class HeldOrigin:
    """An origin whose answers and bytes come only when the test says so."""

    name = "held"

    def __init__(self) -> None:
        self.asked: tuple[int, Deferred[Body]] | None = None

    async def open(self, offset: int) -> Body:
        answer: Deferred[Body] = Deferred()
        self.asked = (offset, answer)
        return await answer


class HeldBody(MemoryBody):
    """A body that is fed by hand."""

    def deliver(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def _pump(self) -> None:
        """Nothing flows by itself."""

    @property
    def flows(self) -> bool:
        """Whether somebody wants bytes now."""
        return self._receiver is not None and not self._paused

    def feed(self, size_bytes: int, flip: bool) -> None:
        """The next bytes, one of them damaged if ``flip``."""
        piece = self._content[self._position : self._position + size_bytes]
        self._position += len(piece)
        if piece and self._receiver is not None:
            self._receiver.received(bytes([piece[0] ^ flip]) + piece[1:])

    def end(self, error: TransferError | None) -> None:
        """The body is over."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.ended(error)


class Interleaving(RuleBasedStateMachine):
    """One blob, one sink, and everything that can happen to the fetches between them."""

    @initialize(with_digests=st.booleans())
    def begin(self, with_digests: bool) -> None:
        self.case = FetchCase()
        self.case.setUp()
        self.sink = self.case.sink
        self.with_digests = with_digests
        self.start()

    def start(self) -> None:
        self.origin = HeldOrigin()
        self.body: HeldBody | None = None
        self.failed: list[Any] = []
        self.fetching = self.case.start(self.origin, with_digests=self.with_digests)
        self.fetching.addErrback(self.failed.append)

    def is_asked(self) -> bool:
        return self.origin.asked is not None and not self.origin.asked[1].called

    def flows(self) -> bool:
        return self.body is not None and self.body.flows

    @precondition(is_asked)
    @rule(
        act=st.sampled_from(
            [
                Act(),
                Act(),
                Act(ignore_range=True),
                Act(status=206, content_range="bytes 7-9/10"),
                Act(status=416),
                Act(status=503),
                Act(content_length=3),
            ]
        )
    )
    def answer(self, act: Act) -> None:
        assert self.origin.asked is not None
        offset, answer = self.origin.asked
        self.origin.asked = None
        self.body = HeldBody(CONTENT, offset, act)
        answer.callback(self.body)

    @precondition(flows)
    @rule(size_bytes=st.integers(1, 3 * CHUNK_BYTES), flip=st.integers(0, 9).map(lambda n: n == 9))
    def feed(self, size_bytes: int, flip: bool) -> None:
        assert self.body is not None
        self.body.feed(size_bytes, flip)

    @precondition(flows)
    @rule(error=st.sampled_from([None, TransferError("cut", code="transfer-cut")]))
    def end(self, error: TransferError | None) -> None:
        assert self.body is not None
        self.body.end(error)

    @rule(seconds=st.sampled_from([1.0, 15.0, 75.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.case.clock.pump([seconds / 5] * 5)

    @rule()
    def crash(self) -> None:
        self.fetching.cancel()
        if self.sink.finished is None:
            self.start()

    @invariant()
    def nothing_unverified_is_visible(self) -> None:
        """Finished means right; with a list, everything that is held is right."""
        if self.sink.finished is not None:
            assert self.sink.finished == CONTENT
        if self.with_digests:
            assert CONTENT.startswith(self.sink.held)

    @invariant()
    def an_end_is_named(self) -> None:
        """A fetch that is over has finished the blob or says why not."""
        if self.fetching.called and not self.failed:
            assert self.sink.finished == CONTENT
        for failure in self.failed:
            failure.trap(TransferError, IntegrityError, CancelledError)

    def teardown(self) -> None:
        """Whatever happened before: with an honest origin the blob arrives."""
        if not hasattr(self, "case"):
            return
        self.fetching.cancel()
        if self.sink.finished is None:
            last = self.case.start(MemoryOrigin(CONTENT), with_digests=self.with_digests)
            assert last.called
            assert self.sink.finished == CONTENT
        assert self.case.clock.getDelayedCalls() == []
