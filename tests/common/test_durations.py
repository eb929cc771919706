"""Durations as people type and read them."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.durations import LONGEST_S, human_duration, seconds_of, short_duration
from common.errors import WrongUsage


class DurationTests(SynchronousTestCase):
    def test_what_can_be_typed(self) -> None:
        """Seconds, or a number with its unit."""
        for text, seconds in (("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400)):
            self.assertEqual(seconds_of(text, "timeout"), seconds)

    def test_what_cannot(self) -> None:
        """Nothing, less than nothing, other units and eternities are refused by name."""
        for text in ("", "0", "0s", "-1", "1.5h", "10 m", "2w", "h", "9" * 7 + "d", "²"):
            error = self.assertRaises(WrongUsage, seconds_of, text, "timeout")
            self.assertEqual((error.object, error.code), ("timeout", "wrong-value"))

    @given(st.integers(1, 9_999_999))
    def test_what_was_typed_is_shown_so_that_it_can_be_typed(self, seconds: int) -> None:
        """In the largest unit that says all of it."""
        text = short_duration(seconds)
        self.assertEqual(seconds_of(text, "after"), seconds)
        self.assertEqual(text[-1] == "s", seconds % 60 != 0)

    def test_what_people_read(self) -> None:
        """The two largest units, and no more."""
        for seconds, text in (
            (0, "0 s"),
            (59.4, "59 s"),
            (60, "1 min"),
            (110, "1 min 50 s"),
            (7200, "2 h"),
            (7500, "2 h 5 min"),
            (90_000, "1 d 1 h"),
        ):
            self.assertEqual(human_duration(seconds), text)

    @given(st.integers(1, LONGEST_S))
    def test_every_second_can_be_asked_for(self, seconds: int) -> None:
        """A number of seconds that is not too long is itself."""
        if seconds < 10_000_000:
            self.assertEqual(seconds_of(str(seconds), "x"), seconds)
