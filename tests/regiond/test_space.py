"""How much room an import needs, and what is said when there is too little."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from regiond.space import LONGEST_LOG_BYTES, Room, needed_bytes

GIB = 1 << 30
sizes = st.integers(0, 1 << 45)


class SpaceTests(SynchronousTestCase):
    def test_nothing_needs_nothing(self) -> None:
        """An import that fetches nothing fits on any disk."""
        self.assertEqual(needed_bytes([]), 0)

    @given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=20))
    def test_the_file_and_the_log(self, fetches: list[int]) -> None:
        """At least the bytes themselves, twice while they are few; never much more than the log."""
        total = sum(fetches)
        needed = needed_bytes(fetches)
        self.assertGreaterEqual(needed, total + min(total, LONGEST_LOG_BYTES))
        self.assertLessEqual(needed, total * 101 // 100 + LONGEST_LOG_BYTES + (len(fetches) << 15))

    @given(sizes, sizes, sizes)
    def test_what_is_missing_would_make_it_fit(self, needed: int, free: int, reserve: int) -> None:
        """Exactly so much more, and nothing is missing."""
        missing = Room(needed, free, reserve).missing_bytes
        self.assertEqual(Room(needed, free + missing, reserve).missing_bytes, 0)
        if missing:
            self.assertEqual(Room(needed, free + missing - 1, reserve).missing_bytes, 1)

    def test_the_refusal_has_all_figures(self) -> None:
        """In the units that people read."""
        error = Room(3 * GIB + GIB // 5, 2 * GIB, GIB).refusal()
        self.assertIn("needs 3.2 GiB, free 2 GiB, reserve 1 GiB, missing 2.2 GiB", error.message)
        self.assertEqual((error.code, error.object), ("import-space", "import"))
        self.assertIn("goes on by itself", error.remedy)
