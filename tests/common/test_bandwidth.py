"""Limits and their hours."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.bandwidth import (
    DAY_MINUTES,
    Window,
    limit_at,
    next_change,
    read_limit,
    read_windows,
    shown_limit,
    shown_windows,
)

LIMITS = st.none() | st.integers(0, 10**11)
WINDOWS = st.builds(Window, LIMITS, st.integers(0, DAY_MINUTES), st.integers(0, DAY_MINUTES))
RULES = st.lists(WINDOWS, min_size=1, max_size=4).map(tuple)
MINUTES = st.integers(0, DAY_MINUTES - 1)


class LimitTests(SynchronousTestCase):
    """Which limit holds when."""

    def test_first_rule_that_fits(self) -> None:
        """Rules are looked through in their order; where none fits there is no limit."""
        rules = read_windows("0 12:00-13:00, 200 Mbit/s 08:00-18:00")
        at = {hour: limit_at(rules, hour * 60) for hour in (7, 8, 12, 13, 17, 18)}
        day = 25_000_000
        self.assertEqual(at, {7: None, 8: day, 12: 0, 13: day, 17: day, 18: None})

    def test_over_midnight(self) -> None:
        """Hours that end before they begin pass over midnight; equal ones are all of the day."""
        (night,) = read_windows("1 MiB/s 22:00-06:00")
        self.assertEqual([night.holds_at(hour * 60) for hour in (21, 22, 0, 5, 6)], [0, 1, 1, 1, 0])
        (whole,) = read_windows("1 MiB/s 08:00-08:00")
        self.assertTrue(all(whole.holds_at(minute) for minute in range(DAY_MINUTES)))

    def test_the_next_change(self) -> None:
        """It is the next moment of another limit, today or tomorrow; some never change."""
        rules = read_windows("0 08:00-18:00, 0 18:00-20:00, 1 Gbit/s")
        self.assertEqual(
            [next_change(rules, hour * 60) for hour in (7, 9, 19, 21)], [480, 1200, 1200, 480]
        )
        self.assertIsNone(next_change(read_windows("0"), 60))
        self.assertIsNone(next_change((), 60))

    @given(RULES, MINUTES)
    def test_nothing_changes_before_the_next_change(
        self, rules: tuple[Window, ...], minute: int
    ) -> None:
        """Until then the limit is that of now; at that moment it is another."""
        now, change = limit_at(rules, minute), next_change(rules, minute)
        length = DAY_MINUTES if change is None else (change - minute) % DAY_MINUTES
        for later in range(0, length, 7):
            self.assertEqual(limit_at(rules, (minute + later) % DAY_MINUTES), now)
        if change is not None:
            self.assertNotEqual(limit_at(rules, change), now)


class TextTests(SynchronousTestCase):
    """How they are written."""

    @given(RULES)
    def test_what_is_shown_is_read_as_the_same(self, rules: tuple[Window, ...]) -> None:
        """The shown text means exactly the rules."""
        self.assertEqual(read_windows(shown_windows(rules)), rules)

    def test_as_people_write(self) -> None:
        """Rates have the units of networks or of files."""
        for text, limit in {
            "200 Mbit/s": 25_000_000,
            "64kbit/s": 8000,
            "50 MiB/s": 50 << 20,
            "1.5 Gbit/s": 187_500_000,
            "0": 0,
            "unlimited": None,
        }.items():
            self.assertEqual(read_limit(text), limit)
        self.assertEqual(shown_limit(25_000_000), "200 Mbit/s")
        text = "200 Mbit/s 08:00-18:00, 1 Gbit/s"
        self.assertEqual(shown_windows(read_windows(text)), text)
        self.assertEqual(shown_windows(()), "unlimited")

    def test_what_is_none_is_refused(self) -> None:
        """Each is refused with the part that is wrong."""
        for text in (
            "",
            "fast",
            "-1",
            "0 Mbit/s",
            "1 MiB",
            "1 KB/s",
            "²bit/s",
            "1 MiB/s 8-18",
            "1 MiB/s,",
        ):
            self.assertRaises(ValueError, read_windows, text)
        error = self.assertRaises(ValueError, read_windows, "1 MiB/s 08:00-24:01")
        self.assertIn('"24:01"', str(error))

    @given(st.text(max_size=40))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """No text is a bug of ours."""
        try:
            read_windows(text)
        except ValueError as error:
            self.assertIn("is not a", str(error))
