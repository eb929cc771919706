"""Settings: what each may be, and what is said about what it may not."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import NotFound, WrongUsage
from common.settings import shown, whole
from regiond.settings_table import (
    SETTINGS,
    all_values,
    read_changes,
    setting,
)

MINUTES = "boot_images_import_interval_minutes"


class SettingsTableTests(SynchronousTestCase):
    def test_every_default_is_a_value_that_could_be_typed(self) -> None:
        """What ``config list`` shows can be given to ``config set``, for every setting."""
        self.assertEqual(len({each.name for each in SETTINGS}), len(SETTINGS))
        for each in SETTINGS:
            self.assertEqual(
                read_changes({each.name: shown(each.default)}), {each.name: each.default}
            )

    def test_words_for_true_and_false(self) -> None:
        """As people write them, in any case."""
        for text, value in {"true": True, "Yes": True, "off": False, "0": False}.items():
            changes = read_changes({"boot_images_auto_import": text})
            self.assertIs(changes["boot_images_auto_import"], value)

    @given(st.integers(-(10**20), 10**20))
    def test_bounds_hold(self, number: int) -> None:
        """A whole number is taken exactly if it lies within the bounds."""
        taken = whole(3, 1000).read(str(number))
        self.assertEqual(taken, number if 3 <= number <= 1000 else None)

    @given(st.text())
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """Nothing that is typed is a bug of ours, and what is taken is in the table's bounds."""
        for each in SETTINGS:
            value = each.values.read(text)
            if value is not None:
                self.assertEqual(each.values.read(shown(value)), value)

    def test_an_empty_text_is_the_default(self) -> None:
        """``NAME=`` takes a value back."""
        self.assertEqual(read_changes({MINUTES: " "}), {MINUTES: None})

    def test_a_wrong_value_is_refused_with_what_is_wanted(self) -> None:
        """Each malformed value names the setting, its bounds and its default."""
        for text in ("0", "10081", "-1", "1.5", "1e2", "soon", "²", "9" * 30, "true"):
            error = self.assertRaises(WrongUsage, read_changes, {MINUTES: text})
            self.assertEqual((error.code, error.object), ("wrong-value", MINUTES))
            self.assertIn("a whole number from 1 to 10080", error.message)
            self.assertIn("60", error.remedy)

    def test_racks_are_never_held_back_altogether(self) -> None:
        """They would take it for a stall; an import may wait."""
        for text in ("0", "1 MiB/s, 0 08:00-09:00"):
            self.assertRaises(WrongUsage, read_changes, {"racks_rate_limit": text})
            self.assertTrue(read_changes({"boot_images_rate_limit": text}))

    def test_an_unknown_name_gets_the_nearest(self) -> None:
        """A typing error is answered with the right word."""
        error = self.assertRaises(NotFound, setting, "boot_image_auto_import")
        self.assertEqual(error.code, "setting-unknown")
        self.assertIn('"boot_images_auto_import"', error.remedy)
        self.assertIn("config list", self.assertRaises(NotFound, setting, "x").remedy)

    def test_what_nobody_set_has_its_default(self) -> None:
        """Facts that lie beside the settings in the database are none of them."""
        values = all_values({MINUTES: 5, "default_source_made": True})
        self.assertEqual(list(values), [each.name for each in SETTINGS])
        self.assertEqual((values[MINUTES], values["events_days"]), (5, 30))
