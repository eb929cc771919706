"""Tests of when a scrub is due, and how far it is."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.canonical import canonical_json, parse
from common.scrub_record import WEEK_S, ScrubRecord

NOW_S = 1_795_295_000.0
_chances = st.floats(0, 1, exclude_max=True)


class ScrubRecordTests(SynchronousTestCase):
    """Moments, in seconds."""

    @given(_chances, st.floats(0, 4e9))
    def test_planned(self, chance: float, kept: float) -> None:
        """The next is always within about a week, whatever a wrong clock had left."""
        record = ScrubRecord(next_at=kept).planned(NOW_S, chance)
        self.assertLessEqual(record.next_at, NOW_S + WEEK_S * 1.1)
        self.assertEqual(record.planned(NOW_S, 0.5), record)

    @given(_chances)
    def test_ended(self, chance: float) -> None:
        """After one, the next is due in a week, a tenth sooner or later; what it read is kept."""
        record = ScrubRecord().begun(NOW_S).passed("ab", 7, is_damaged=True)
        record = record.passed("cd", 5, is_damaged=False).ended(NOW_S, chance)
        self.assertFalse(record.is_running)
        self.assertTrue(0.9 * WEEK_S <= record.next_at - NOW_S <= 1.1 * WEEK_S)
        self.assertEqual((record.last_bytes, record.last_damaged), (12, 1))
        self.assertEqual(record.ended_at, NOW_S)

    def test_goes_on(self) -> None:
        """One that is not over is due, goes on where it was, and survives being written down."""
        record = ScrubRecord(next_at=NOW_S + 9).begun(NOW_S).passed("ab", 7, is_damaged=False)
        self.assertTrue(record.is_due(NOW_S))
        kept = parse(ScrubRecord, canonical_json(record), "record")
        self.assertEqual(kept.begun(NOW_S + 5), record)

    def test_due(self) -> None:
        """Without one, it is due when its moment has come."""
        record = ScrubRecord(next_at=NOW_S)
        self.assertFalse(record.is_due(NOW_S - 1))
        self.assertTrue(record.is_due(NOW_S))
