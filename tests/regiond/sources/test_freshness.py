"""Dates of documents."""

from twisted.trial.unittest import SynchronousTestCase

from common.errors import SourceError
from regiond.sources.freshness import MAX_AGE_S, MAX_AHEAD_S, judge_freshness, old_age

NOW = 1_000_000


class JudgeFreshnessTests(SynchronousTestCase):
    """``judge_freshness``"""

    def test_accepted(self) -> None:
        """The same date, a later one, a first one, and no date at all are believed."""
        for updated, last in ((5, 5), (6, 5), (5, None), (None, None), (NOW + MAX_AHEAD_S, 5)):
            judge_freshness(updated, last, NOW, "x")

    def test_rollback(self) -> None:
        """A date that goes back, or goes away, is refused."""
        for updated in (4, None):
            error = self.assertRaises(SourceError, judge_freshness, updated, 5, NOW, "x")
            self.assertEqual((error.code, error.object), ("source-rollback", "x"))

    def test_future(self) -> None:
        """A date more than a day ahead is refused, before it can poison the rollback rule."""
        error = self.assertRaises(
            SourceError, judge_freshness, NOW + MAX_AHEAD_S + 1, None, NOW, "x"
        )
        self.assertEqual(error.code, "source-future")


class OldAgeTests(SynchronousTestCase):
    """``old_age``"""

    def test_old(self) -> None:
        """A source whose newest date is more than 30 days back is an event."""
        event = old_age((5, None, 3), 5 + MAX_AGE_S + 1, "x")
        assert event is not None
        self.assertEqual((event.code, event.object), ("source-old", "x"))

    def test_not_old(self) -> None:
        """One recent document, or no dates at all, is no event."""
        self.assertIsNone(old_age((5, 1), 5 + MAX_AGE_S, "x"))
        self.assertIsNone(old_age((None,), NOW, "x"))
