"""Runs fetches in memory, on a clock, for tests of the transfer engine."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.digests import CHUNK_BYTES
from common.fetching import Limits, Origin, fetch
from common.throttle import Throttle
from tests.doubles.streams import MemorySink, goal_of, inline, some_bytes

CONTENT = some_bytes(6 * CHUNK_BYTES + 12345)
PATIENT = Limits(max_attempts=None)


class FetchCase(SynchronousTestCase):
    """Runs fetches on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sink = MemorySink()
        self.told: list[int] = []

    def start(
        self,
        *origins: Origin,
        content: bytes = CONTENT,
        with_digests: bool = True,
        limits: Limits = PATIENT,
        hashing: Callable[..., Any] = inline,
        throttles: Sequence[Throttle] = (),
    ) -> Deferred[None]:
        return Deferred.fromCoroutine(
            fetch(
                goal_of(content, with_digests=with_digests),
                origins,
                self.sink,
                clock=self.clock,
                random=lambda: 1.0,
                hashing=hashing,
                limits=limits,
                progress=self.told.append,
                throttles=lambda _: throttles,
            )
        )

    def finish(self, fetching: Deferred[None], times: int = 20) -> None:
        """Let time pass until the fetch is over; it must have succeeded."""
        self.clock.pump([0.3] * 10 + [75.0] * times)
        self.successResultOf(fetching)
        self.assertEqual(self.sink.finished, CONTENT)
        self.assertEqual(self.clock.getDelayedCalls(), [])
