"""How far images have spread."""

from twisted.trial.unittest import SynchronousTestCase

from common.images import View, ViewImage
from regiond.spread import Spread, spread_of

OLD, NEW = ViewImage("1", "a" * 64), ViewImage("2", "b" * 64)


class SpreadTests(SynchronousTestCase):
    def test_held_counts_the_version_that_is_wanted(self) -> None:
        """A rack with the older version, or with nothing, does not hold it."""
        views = {"now": View(2, {"x": NEW, "y": OLD}), "before": View(1, {"x": OLD, "y": OLD})}
        racks = [("now", "now"), ("before", "now"), ("", "now"), ("gone", "now")]
        self.assertEqual(spread_of(racks, views), {"x": Spread(1, 4), "y": Spread(2, 4)})

    def test_a_rack_that_is_not_to_hold_it_does_not_count(self) -> None:
        """Restricted racks have views of their own."""
        views = {"all": View(2, {"x": NEW, "y": OLD}), "some": View(2, {"x": NEW})}
        racks = [("all", "all"), ("some", "some")]
        self.assertEqual(spread_of(racks, views), {"x": Spread(2, 2), "y": Spread(1, 1)})

    def test_before_the_first_generation_there_is_nothing(self) -> None:
        """No view, no image."""
        self.assertEqual(spread_of([("", "")], {}), {})
