"""Which regions a rack knows, and in what order it tries them."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from common.errors import NoSpace
from common.regions import RegionEndpoint
from rackd import known_regions
from rackd.known_regions import MAX_REGIONS, REGIONS_FILE, KnownRegions
from tests.doubles.directories import fresh_directory
from tests.doubles.disks import SlowThreads, at_once
from tests.doubles.stores import finished

FIRST = RegionEndpoint("region-1", ("a.example", "10.0.0.1"), 5250, 5252)
SECOND = RegionEndpoint("region-2", ("b.example",), 5250, 5252)


class KnownTests(SynchronousTestCase):
    """A rack that was given one address."""

    def setUp(self) -> None:
        self.directory: Path = fresh_directory(self)
        self.regions = self.known()

    def known(self) -> KnownRegions:
        return KnownRegions([("a.example", 5250)], self.directory, at_once)

    def test_the_configured_ones_come_first(self) -> None:
        """Each address once; where we were last, after all others."""
        self.assertFalse(self.regions.has_others)
        self.regions.learn([FIRST, SECOND])
        hosts = ["a.example", "10.0.0.1", "b.example"]
        self.assertEqual([host for host, _ in self.regions.addresses()], hosts)
        self.regions.last = ("a.example", 5250)
        self.assertEqual([host for host, _ in self.regions.addresses()], [*hosts[1:], hosts[0]])
        self.assertTrue(self.regions.has_others)

    def test_images_come_from_where_we_are(self) -> None:
        """By the address that answered, then from the others."""
        self.regions.learn([FIRST, SECOND])
        self.regions.last = ("b.example", 5250)
        bases = self.regions.image_bases()
        self.assertEqual((bases[0], len(bases)), ("https://b.example:5252", 3))

    def test_what_was_learnt_is_known_after_a_restart(self) -> None:
        """And no region that says that there are none takes it away."""
        self.regions.learn([FIRST, SECOND])
        self.regions.learn([])
        again = self.known()
        finished(again.recall())
        self.assertEqual(again.image_bases(), self.regions.image_bases())

    def test_a_damaged_memory_is_as_good_as_none(self) -> None:
        """The configured address is still there."""
        (self.directory / REGIONS_FILE).write_bytes(b"rubbish")
        finished(self.regions.recall())
        self.assertEqual(self.regions.addresses(), [("a.example", 5250)])

    def test_a_region_cannot_fill_the_memory(self) -> None:
        """So many are believed, and no more."""
        self.regions.learn([RegionEndpoint(f"r{n}", (f"h{n}",), 1, 2) for n in range(1000)])
        self.assertEqual(len(self.regions.image_bases()), MAX_REGIONS)

    def test_a_full_disk_changes_nothing_but_that(self) -> None:
        """They are known for as long as the process lives."""

        def full(*_: object) -> None:
            raise NoSpace("full")

        self.patch(known_regions, "write_durably", full)
        self.regions.learn([FIRST])
        self.assertEqual(len(self.regions.image_bases()), 2)

    def test_the_last_write_is_waited_for(self) -> None:
        """Writes take turns, and ``settle`` is the last."""
        slow = SlowThreads()
        regions = KnownRegions([], self.directory, slow)
        regions.learn([FIRST])
        regions.learn([FIRST, SECOND])
        self.assertEqual(len(slow.pending), 1)
        slow.finish_one()
        slow.finish_one()
        again = self.known()
        finished(again.recall())
        self.assertEqual(len(again.image_bases()), 3)
