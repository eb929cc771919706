"""How far each image of a sync is."""

from twisted.trial.unittest import SynchronousTestCase

from rackd.image_progress import MOST_TOLD, parts_of
from tests.doubles.following import JAMMY, NOBLE
from tests.doubles.images import file_of, image_of

KERNEL, ROOT, OTHER = (file_of(name, name.encode()) for name in ("kernel", "root", "other"))


class PartsTests(SynchronousTestCase):
    def test_what_is_begun(self) -> None:
        """Only what is begun and not whole; a file that is not fetched is there."""
        jammy, noble = image_of(JAMMY, KERNEL, ROOT, version="2"), image_of(NOBLE, OTHER)
        self.assertEqual(
            parts_of([jammy, noble], {ROOT.sha256: 1, OTHER.sha256: 0}),
            [{"name": "ubuntu/jammy amd64/ga-22.04", "state": "2",
              "fetched_bytes": KERNEL.size_bytes + 1, "total_bytes": jammy.size_bytes}],
        )  # fmt: skip
        self.assertEqual(parts_of([jammy], {ROOT.sha256: 4}), [])

    def test_many(self) -> None:
        """A few are told of, so that it fits into one message."""
        image = image_of(JAMMY, KERNEL, ROOT)
        self.assertEqual(len(parts_of([image] * 99, {ROOT.sha256: 1})), MOST_TOLD)
