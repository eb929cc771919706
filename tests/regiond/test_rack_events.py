"""What racks say of themselves, as events."""

import json

from twisted.trial.unittest import SynchronousTestCase

from regiond.rack_events import (
    MOST_SKEW_S,
    PROBLEM_CODE,
    problem_event,
    reported_problem,
    skew_event,
)


class SkewTests(SynchronousTestCase):
    def test_a_clock_that_is_near_enough_is_no_event(self) -> None:
        """Either way; a second more is one, and says by how much."""
        for sign, side in ((1, "ahead of"), (-1, "behind")):
            self.assertIsNone(skew_event("r", sign * MOST_SKEW_S))
            event = skew_event("r", sign * (MOST_SKEW_S + 1))
            assert event is not None
            self.assertIn(f"1 min 1 s {side}", event.cause)
            self.assertEqual(event.object, "clock of rack r")


class ProblemTests(SynchronousTestCase):
    def test_an_error_object_is_an_event(self) -> None:
        """With its own code, object, reason and remedy."""
        sent = {"code": "no-space", "object": "disk", "message": "is full", "remedy": "free some"}
        fields = reported_problem(json.dumps(sent))
        self.assertEqual(fields, sent)
        event = problem_event("rack r", sent)
        self.assertEqual(
            (event.code, event.object, event.cause, event.remedy),
            ("no-space", "rack r", "disk: is full", "free some"),
        )

    def test_what_cannot_be_read_is_a_problem_all_the_same(self) -> None:
        """A rack that says nothing has none."""
        self.assertIsNone(reported_problem(""))
        for text in ("[]", "{", "[" * 100_000, '"text"'):
            fields = reported_problem(text)
            assert fields is not None
            self.assertEqual(problem_event("rack r", fields).code, PROBLEM_CODE)
