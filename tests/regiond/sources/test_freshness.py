"""Dates of documents."""

from twisted.trial.unittest import SynchronousTestCase

from common.errors import SourceError
from common.events import Severity
from regiond.sources.freshness import (
    LAG_S,
    MAX_AGE_S,
    MAX_AHEAD_S,
    accepted_event,
    judge_future,
    lag_event,
    old_age,
    went_back,
)

NOW = 1_000_000


class DateTests(SynchronousTestCase):
    """``went_back`` and ``judge_future``"""

    def test_believed(self) -> None:
        """The same date, a later one, a first one, and no date at all are believed."""
        for updated, last in ((5, 5), (6, 5), (5, None), (None, None), (NOW + MAX_AHEAD_S, 5)):
            self.assertEqual(went_back(updated, last), "")
            judge_future(updated, NOW, "x")

    def test_rollback(self) -> None:
        """A date that goes back, or goes away, is told with both dates."""
        self.assertEqual(
            went_back(0, 86400),
            "is of 1970-01-01 00:00 UTC, but one of 1970-01-02 00:00 UTC was read before",
        )
        self.assertIn("no date any more", went_back(None, 5))

    def test_future(self) -> None:
        """A date more than a day ahead is refused, before it can poison the rollback rule."""
        error = self.assertRaises(SourceError, judge_future, NOW + MAX_AHEAD_S + 1, NOW, "x")
        self.assertEqual((error.code, error.object), ("source-future", "x"))


class EventTests(SynchronousTestCase):
    """What is told of a source's dates."""

    def test_lag(self) -> None:
        """A mirror may lag for six hours without a word; then it is told what, and since when."""
        self.assertIsNone(lag_event(["x is old"], 0, LAG_S - 1, "boot-source 3"))
        self.assertIsNone(lag_event([], 0, LAG_S, "boot-source 3"))
        event = lag_event(["x is old"], 0, LAG_S, "boot-source 3")
        assert event is not None
        self.assertEqual(
            (event.code, event.severity, event.object),
            ("source-rollback", Severity.WARNING, "boot-source 3"),
        )
        self.assertIn("since 1970-01-01 00:00 UTC: x is old", event.cause)
        self.assertIn("boot-source update 3 accept_rollback=true", event.remedy)

    def test_accepted(self) -> None:
        """The record of an exception says who made it, and for what."""
        event = accepted_event(["x is old"], "uid 0", "boot-source 3")
        self.assertEqual(event.cause, "uid 0 let older documents pass, once: x is old")

    def test_old(self) -> None:
        """A source whose newest date is more than 30 days back is an event."""
        event = old_age((5, None, 3), 5 + MAX_AGE_S + 1, "x")
        assert event is not None
        self.assertEqual((event.code, event.object), ("source-old", "x"))

    def test_not_old(self) -> None:
        """One recent document, or no dates at all, is no event."""
        self.assertIsNone(old_age((5, 1), 5 + MAX_AGE_S, "x"))
        self.assertIsNone(old_age((None,), NOW, "x"))
