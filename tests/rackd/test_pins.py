"""Tests of pins: who sees which snapshot, for how long, in how much memory."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rackd.pins import IDLE_S, MOST_S, Pins
from rackd.retention import RETENTION_S

NOW_S = 1_800_000_000.0


class PinTests(SynchronousTestCase):
    """One machine and others."""

    def setUp(self) -> None:
        self.pins = Pins()
        self.pins.snapshot_for("10.0.0.1", "old", NOW_S)

    def test_stays(self) -> None:
        """A machine stays where it began; the next one gets the new snapshot."""
        self.assertEqual(self.pins.snapshot_for("10.0.0.1", "new", NOW_S + 1), "old")
        self.assertEqual(self.pins.snapshot_for("10.0.0.2", "new", NOW_S + 1), "new")
        self.assertEqual(self.pins.snapshot_for("2001:db8::1", "new", NOW_S + 1), "new")
        self.assertEqual(self.pins.snapshot_for("2001:db8::1", "newer", NOW_S + 2), "new")

    def test_idle(self) -> None:
        """After ten idle minutes it gets the new one, and not before."""
        self.assertEqual(self.pins.snapshot_for("10.0.0.1", "new", NOW_S + IDLE_S - 1), "old")
        self.assertEqual(self.pins.snapshot_for("10.0.0.1", "new", NOW_S + 2 * IDLE_S - 1), "new")

    def test_at_most_an_hour(self) -> None:
        """However busy, after an hour it gets the new one: before the old one is deleted."""
        for minute in range(60):
            self.assertEqual(self.pins.snapshot_for("10.0.0.1", "new", NOW_S + 60 * minute), "old")
        self.assertEqual(self.pins.snapshot_for("10.0.0.1", "new", NOW_S + MOST_S), "new")
        self.assertLess(MOST_S, RETENTION_S)

    def test_begins(self) -> None:
        """A boot that begins anew is on the current snapshot, with an hour of its own."""
        self.assertEqual(self.pins.begin("10.0.0.1", "new", NOW_S + 1), "new")
        self.assertEqual(self.pins.snapshot_for("10.0.0.1", "newer", NOW_S + 2), "new")

    def test_clock_set_back(self) -> None:
        """A clock that is set back makes no pin last."""
        self.assertEqual(self.pins.snapshot_for("10.0.0.1", "new", NOW_S - 5000), "new")

    def test_bounded(self) -> None:
        """When too many are remembered the one not seen for longest goes."""
        pins = Pins(most_addresses=3)
        for number, address in enumerate(("a", "b", "c", "a", "d")):
            pins.snapshot_for(address, "old", NOW_S + number)
        self.assertEqual(len(pins), 3)
        seen = {address: pins.snapshot_for(address, "new", NOW_S + 9) for address in "acd"}
        self.assertEqual(seen, dict.fromkeys("acd", "old"))
        self.assertEqual(pins.snapshot_for("b", "new", NOW_S + 10), "new")

    @given(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.integers(0, 900), st.booleans()), max_size=80
        )
    )
    def test_never_older_than_it_may_be(self, steps: list[tuple[str, int, bool]]) -> None:
        """Nobody sees a snapshot that was replaced more than an hour ago, nor one to come."""
        pins, now_s, current = Pins(most_addresses=3), 0.0, 0
        replaced_at: dict[int, float] = {}
        for address, passed_s, flips in steps:
            now_s += passed_s
            if flips:
                replaced_at[current] = now_s
                current += 1
            seen = int(pins.snapshot_for(address, str(current), now_s))
            self.assertLessEqual(seen, current)
            if seen != current:
                self.assertLess(now_s - replaced_at[seen], MOST_S)
            self.assertLessEqual(len(pins), 3)
