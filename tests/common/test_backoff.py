"""How long to wait before trying again."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.backoff import backoff


class BackoffTests(SynchronousTestCase):
    """``backoff``."""

    def test_doubles_from_half_a_second_up_to_the_cap(self) -> None:
        """The upper end doubles with each failure and stops at 300 s."""
        ends = [backoff(attempt, lambda: 1.0) for attempt in (1, 2, 3, 10, 11, 10_000)]
        self.assertEqual(ends, [0.5, 1.0, 2.0, 256.0, 300.0, 300.0])

    @given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
    def test_stays_within_its_interval(self, attempt: int, drawn: float) -> None:
        """Whatever is drawn, the wait is neither negative nor above the cap."""
        self.assertTrue(0 <= backoff(attempt, lambda: drawn) <= 300)

    def test_jitter_is_full(self) -> None:
        """A draw of zero means no wait at all: the whole interval is used."""
        self.assertEqual(backoff(5, lambda: 0.0), 0.0)
