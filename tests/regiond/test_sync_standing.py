"""What those who wait for racks are told."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from regiond.sync_standing import (
    MOST_NAMED,
    Standing,
    failure_of,
    missing_text,
    standing_of,
    to_look_at,
)

PROBLEM = {"code": "no-space", "object": "disk", "message": "is full", "remedy": "free space"}


def row(name: str = "rack-1", **more: Any) -> dict[str, Any]:
    return {"name": name, "status": "out-of-sync", "generation": 1, "problem": None,
            "progress": None, **more}  # fmt: skip


class StandingTests(SynchronousTestCase):
    def test_each_state(self) -> None:
        """Silence and old news are waited for; holding it is done; a new problem is a failure."""
        for given, has_looked, expected in (
            (row(status="synced"), True, Standing.DONE),
            (row(status="synced"), False, Standing.PENDING),
            (row(status="unknown", generation=2), True, Standing.PENDING),
            (row(generation=2), True, Standing.DONE),
            (row(), True, Standing.PENDING),
            (row(problem=PROBLEM), True, Standing.FAILED),
            (row(problem=PROBLEM), False, Standing.PENDING),
            (row(problem=PROBLEM, progress={"fetched_bytes": 1}), True, Standing.PENDING),
            (row(problem=PROBLEM, status="synced"), True, Standing.DONE),
        ):
            self.assertIs(standing_of(given, 2, has_looked=has_looked), expected, given)

    def test_before_the_first_generation_nobody_is_done(self) -> None:
        """There is nothing to hold yet."""
        self.assertIs(standing_of(row(generation=0), 0, has_looked=True), Standing.PENDING)

    def test_what_an_event_says_is_not_counted_besides(self) -> None:
        """A rack that is unknown counts until its silence is a problem by itself."""
        rows = [row(name, status="unknown", lag_since=None) for name in ("rack-1", "rack-2")]
        problems = [{"code": "rack-silent", "object": "rack rack-2"},
                    {"code": "no-space", "object": "rack rack-1"}]  # fmt: skip
        for given, count in (([], 2), (problems, 1)):
            found = to_look_at(rows, 0.0, given)
            self.assertEqual(found["rack unknown", "racks unknown"], count)

    def test_many_are_not_all_named(self) -> None:
        """A message stays readable with 200 racks in it."""
        rows = [row(f"rack-{number}", problem=PROBLEM) for number in range(200)]
        text = missing_text(rows, [])
        self.assertEqual(text.count(" is out-of-sync"), MOST_NAMED)
        self.assertTrue(text.endswith(" and 190 more"))
        message = failure_of(rows, 300).message
        self.assertTrue(message.startswith("200 of 300 did not sync: rack-0: disk: is full; "))
        self.assertTrue(message.endswith("; and 190 more"))
