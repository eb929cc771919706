"""Which place is tried first."""

from twisted.trial.unittest import SynchronousTestCase

from rackd.preference import AVOID_S, Preference


class PreferenceTests(SynchronousTestCase):
    """What failed lately goes last."""

    def test_order(self) -> None:
        """The order given holds but for what failed; after a while that comes back."""
        preference = Preference()
        places = ["a", "b", "c"]
        self.assertEqual(preference.ordered(places, 0.0), places)
        preference.failed("a", 1.0)
        preference.failed("b", 2.0)
        self.assertEqual(preference.ordered(places, 3.0), ["c", "a", "b"])
        preference.failed("a", 3.0)
        self.assertEqual(preference.ordered(places, 4.0), ["c", "b", "a"])
        self.assertEqual(preference.ordered(places, 2.5 + AVOID_S), ["b", "c", "a"])
        self.assertEqual(preference.ordered(places, 3.0 + AVOID_S), places)
