"""A region's throttles: which texts they go by."""

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from regiond.limits import Limits
from regiond.settings_table import all_values
from regiond.store.sources import BootSource


class LimitsTests(SynchronousTestCase):
    """Ten seconds of asking for as much as can be had."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limits = Limits(self.clock, self.clock.seconds)
        self.limits.heed_settings(all_values({}))

    def source(self, source_id: int, rate_limit: str | None) -> BootSource:
        values = {each.name: None for each in attrs.fields(BootSource)}
        return BootSource(**values | {"id": source_id, "rate_limit": rate_limit})

    def rates(self, source_id: int) -> list[int]:
        """What each throttle of a source lets through in a quarter of a second."""
        throttles = self.limits.of_source(source_id)
        for each in throttles:
            each.take(1 << 30)
        self.clock.advance(0.25)
        return [each.take(1 << 30) for each in throttles]

    def test_of_a_source(self) -> None:
        """Its own limit and that of all; changed, taken away, and of a source that is gone."""
        self.limits.heed_settings(all_values({"boot_images_rate_limit": "4096 B/s"}))
        self.limits.heed_sources([self.source(1, "1 KiB/s"), self.source(2, None)])
        self.assertEqual((self.rates(1), self.rates(2)), ([256, 1024], [1024]))
        self.limits.heed_sources([self.source(1, "2 KiB/s 00:00-24:00")])
        self.assertEqual(self.rates(1), [512, 1024])
        self.limits.heed_sources([])
        self.assertEqual(self.rates(1), [1 << 30, 1024])

    def test_of_racks(self) -> None:
        """All racks go by the one setting."""
        self.assertEqual(self.limits.racks.take(1 << 30), 1 << 30)
        self.limits.heed_settings(all_values({"racks_rate_limit": "1 MiB/s"}))
        self.assertLess(self.limits.racks.take(1 << 30), 2)
