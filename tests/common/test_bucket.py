"""The token bucket."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.bucket import BURST_S, Bucket


class BucketTests(SynchronousTestCase):
    @given(
        st.integers(1, 10**10),
        st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=50),
    )
    def test_never_more_than_the_limit(self, limit: int, steps: list[tuple[float, float]]) -> None:
        """However it is asked, at most the limit and one burst (or one byte) is given."""
        bucket, now_s, given_bytes = Bucket(0.0), 0.0, 0
        for wait_s, part in steps:
            now_s += wait_s
            taken = int(bucket.fill(now_s, limit) * part)
            bucket.take(taken)
            given_bytes += taken
        self.assertLessEqual(given_bytes, limit * (now_s + BURST_S) * (1 + 1e-9) + 1)

    def test_nothing_is_lost_to_rounding(self) -> None:
        """A limit below one byte for each look is met all the same."""
        bucket, given_bytes = Bucket(0.0), 0
        for tick in range(1, 2001):
            free = bucket.fill(tick / 20, 3)
            bucket.take(free)
            given_bytes += free
        self.assertApproximates(given_bytes, 300, 1)

    def test_a_clock_that_jumps(self) -> None:
        """Back: nothing is given for it. Forward: no more than a burst."""
        bucket = Bucket(1000.0)
        self.assertEqual(bucket.fill(10.0, 1000), 0)
        self.assertEqual(bucket.fill(10.25, 1000), 250)
        self.assertEqual(bucket.fill(1e9, 1000), 400)
