"""How fast something goes."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.pace import SPAN_S, Pace


def seen(*sightings: tuple[float, int]) -> Pace:
    pace = Pace()
    for at, count in sightings:
        pace = pace.saw(at, count)
    return pace


class PaceTests(SynchronousTestCase):
    def test_a_steady_pace(self) -> None:
        """Bytes by seconds, and what is left at that pace."""
        pace = seen(*((second, 100 * second) for second in range(30)))
        self.assertEqual(pace.bytes_s, 100)
        self.assertEqual(pace.left_s(3900), 10)

    def test_only_lately_counts(self) -> None:
        """What was fast once and stands still now has no pace."""
        pace = seen((0, 0), (1, 10**9), *((second, 10**9) for second in range(2, 20)))
        self.assertEqual(pace.bytes_s, 0)
        self.assertIsNone(pace.left_s(2 * 10**9))

    def test_not_known_yet(self) -> None:
        """One sighting is no pace; nor is what began anew."""
        self.assertIsNone(Pace().bytes_s)
        self.assertIsNone(seen((0, 5)).bytes_s)
        self.assertIsNone(seen((0, 5), (1, 9), (2, 3)).bytes_s)

    @given(st.lists(st.tuples(st.floats(0, 0.3), st.integers(0, 1000)), max_size=200))
    def test_memory_is_bounded_and_pace_never_negative(
        self, steps: list[tuple[float, int]]
    ) -> None:
        """However often it is told."""
        at, count, pace = 0.0, 0, Pace()
        for delay, more in steps:
            at, count = at + delay, count + more
            pace = pace.saw(at, count)
        self.assertLessEqual(len(pace.seen), 2 * SPAN_S + 3)
        self.assertGreaterEqual(pace.bytes_s or 0, 0)
