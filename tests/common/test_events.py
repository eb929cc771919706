"""Events and what became of them."""

from twisted.trial.unittest import SynchronousTestCase

from common.events import Event, Occurrence, Severity, at_least, missed_row

EVENT = Event("source-old", Severity.WARNING, "boot-source 1", "nothing new", "look", 9.0, 4)


class OccurrenceTests(SynchronousTestCase):
    """``Occurrence``"""

    def test_states(self) -> None:
        """Open, over since, or over as it began: three words."""
        states = [Occurrence(EVENT, 5.0, 2, end).state for end in (None, 7.0, 5.0)]
        self.assertEqual(states, ["open", "cleared", "happened"])

    def test_row(self) -> None:
        """The keys that scripts rely on."""
        self.assertEqual(
            Occurrence(EVENT, 5.0, 2).to_row(),
            {
                "id": 4,
                "at": 9.0,
                "severity": "warning",
                "code": "source-old",
                "object": "boot-source 1",
                "cause": "nothing new",
                "remedy": "look",
                "state": "open",
                "count": 2,
                "first_at": 5.0,
                "cleared_at": None,
            },
        )

    def test_missed(self) -> None:
        """Who was too slow is told how much was missed, as an event like any other."""
        row = missed_row(3, 5.0)
        self.assertEqual((row["code"], row["state"]), ("events-missed", "happened"))
        self.assertIn("3 changes", row["cause"])


class LevelTests(SynchronousTestCase):
    """``at_least``"""

    def test_levels(self) -> None:
        """A level means this and worse."""
        self.assertEqual(at_least(Severity.INFO), frozenset(Severity))
        self.assertEqual(at_least(Severity.ERROR), {Severity.ERROR})
