"""When the next import is due."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from regiond.schedule import (
    FIRST_RETRY_S,
    LONGEST_LOOK_S,
    Ending,
    Past,
    Schedule,
    look_every_s,
    next_due_s,
)
from regiond.settings_table import all_values

times = st.floats(0, 1e6)
endings = st.sampled_from(Ending)


class ScheduleTests(SynchronousTestCase):
    def test_the_settings_are_minutes(self) -> None:
        """Hourly and on by default; what is set holds."""
        self.assertEqual(Schedule.of(all_values({})), Schedule(automatic=True, interval_s=3600))
        values = {"boot_images_auto_import": False, "boot_images_import_interval_minutes": 5}
        self.assertEqual(Schedule.of(all_values(values)), Schedule(automatic=False, interval_s=300))

    def test_the_first_import_is_due_at_once(self) -> None:
        """And never by itself if imports are not automatic."""
        self.assertEqual(next_due_s(Schedule(), None), 0)
        self.assertIsNone(next_due_s(Schedule(automatic=False), None))

    @given(times, times, times, endings, st.integers(1, 10**6))
    def test_never_sooner_than_promised(
        self, began_s: float, took_s: float, interval_s: float, ending: Ending, times: int
    ) -> None:
        """Regularly an interval after the beginning, a stop counts from its end, a failure is
        retried after a minute at the soonest and never later than regularly.
        """
        past = Past(began_s, began_s + took_s, ending, times)
        due_s = next_due_s(Schedule(interval_s=interval_s), past)
        assert due_s is not None
        if ending is Ending.STOPPED:
            self.assertEqual(due_s, past.ended_s + interval_s)
        elif ending is Ending.FAILED:
            soonest_s = past.ended_s + FIRST_RETRY_S
            self.assertGreaterEqual(due_s, soonest_s)
            self.assertLessEqual(due_s, max(began_s + interval_s, soonest_s))
        else:
            self.assertEqual(due_s, began_s + interval_s)
        self.assertTrue(FIRST_RETRY_S <= look_every_s(past) <= LONGEST_LOOK_S)

    def test_what_is_counted_are_endings_of_one_kind_in_a_row(self) -> None:
        """Anything else between them begins the count anew."""
        past = Past(0, 1, Ending.FAILED)
        for ending, count in (("failed", 2), ("failed", 3), ("done", 1), ("failed", 1)):
            past = Past(2, 3, Ending(ending)).after(past)
            self.assertEqual(past.in_a_row, count)
