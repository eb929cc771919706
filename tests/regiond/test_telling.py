"""What a hook is told."""

from twisted.trial.unittest import SynchronousTestCase

from common.events import Event, Occurrence, Severity
from regiond.telling import GIVE_UP_S, MOST_WAITING, environment, is_given_up, messages


def occurrence(number: int, severity: Severity = Severity.WARNING, code: str = "x") -> Occurrence:
    return Occurrence(Event(code, severity, "a", "why\0\ud800", "do", 5.0, number), 5.0)


class TellingTests(SynchronousTestCase):
    def test_a_message_is_the_event_and_the_region(self) -> None:
        """What programs get is what ``events read`` shows, and who says it."""
        ((message, about),) = messages([occurrence(1)], {}, "region-1", 9.0)
        self.assertEqual(about, (occurrence(1),))
        self.assertEqual(message, {**occurrence(1).to_row(), "region": "region-1"})

    def test_what_failed_most_comes_last(self) -> None:
        """Oldest first, but one that always fails stops no other."""
        waiting = [occurrence(number) for number in (1, 2, 3)]
        said = messages(waiting, {1: 2, 2: 0, 3: 0}, "r", 9.0)
        self.assertEqual([message["id"] for message, _ in said], [2, 3, 1])

    def test_a_storm_is_one_message(self) -> None:
        """More than a hundred are told as a number, by code, at the worst severity of all."""
        waiting = [occurrence(number) for number in range(MOST_WAITING)]
        self.assertEqual(len(messages(waiting, {}, "r", 9.0)), MOST_WAITING)
        waiting.append(occurrence(999, Severity.ERROR, "y"))
        ((message, about),) = messages(waiting, {}, "r", 9.0)
        self.assertEqual((message["code"], message["severity"]), ("events-many", "error"))
        self.assertIn("101 events at once: x (100), y (1)", message["cause"])
        self.assertEqual(len(about), 101)

    def test_the_environment_is_small_and_possible(self) -> None:
        """The words of the event, a PATH, and nothing that an environment cannot hold."""
        ((message, _),) = messages([occurrence(1)], {}, "region-1", 9.0)
        words = environment(message)
        self.assertEqual(words["RACKFERRY_EVENT_CODE"], "x")
        self.assertEqual(words["RACKFERRY_EVENT_CAUSE"], "why?")
        self.assertEqual(words["RACKFERRY_REGION"], "region-1")
        others = {name for name in words if not name.startswith("RACKFERRY_")}
        self.assertEqual(others, {"PATH", "LC_ALL"})

    def test_a_day_is_enough(self) -> None:
        """What could not be told is let go a day after it opened, or after it was over."""
        self.assertFalse(is_given_up(occurrence(1), 5.0 + GIVE_UP_S))
        self.assertTrue(is_given_up(occurrence(1), 5.1 + GIVE_UP_S))
        over = Occurrence(occurrence(1).event, 5.0, cleared_at=99.0)
        self.assertFalse(is_given_up(over, 99.0 + GIVE_UP_S))
