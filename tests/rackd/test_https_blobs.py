"""Where bytes are asked for over HTTPS."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rackd.https_blobs import HttpsBlobs
from rackd.preference import AVOID_S

NAME = "a" * 64


class _Bases:
    agent = None

    def __init__(self) -> None:
        self.bases = ["https://one:5252", "https://[::1]:5252"]
        self.doubts = 0

    def image_bases(self) -> list[str]:
        return self.bases

    def doubt(self) -> None:
        self.doubts += 1


class OrderTests(SynchronousTestCase):
    """Regions that are gone without a word."""

    def test_a_region_that_failed_goes_last_for_a_while(self) -> None:
        """Only the first file waits for a region that is silent; the connection is doubted."""
        clock, regions = Clock(), _Bases()
        blobs = HttpsBlobs(regions, clock)

        def names(*, of_digests: bool = False) -> list[str]:
            return [each.name for each in blobs.origins(NAME, 1, of_digests=of_digests)]

        first, second = names()
        self.assertEqual(first, f"https://one:5252/blobs/{NAME}")
        blobs.failed(first)
        self.assertEqual(names(), [second, first])
        self.assertEqual(names(of_digests=True), [f"{second}/digests", f"{first}/digests"])
        self.assertEqual(regions.doubts, 1)
        clock.advance(AVOID_S)
        self.assertEqual(names(), [first, second])

    def test_others(self) -> None:
        """One base is nobody to turn to."""
        regions = _Bases()
        blobs = HttpsBlobs(regions, Clock())
        self.assertTrue(blobs.has_others)
        regions.bases.pop()
        self.assertFalse(blobs.has_others)
