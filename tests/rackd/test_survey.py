"""A look at a rack's disk: what is held, and what is not ours."""

import os

from rackd.records import HeldFile, Record
from tests.doubles.disks import LibraryCase

NOW_S = 1_795_295_000.0
FIRST = "snapshot-20261121-210320-g1"


class SurveyTests(LibraryCase):
    """What a look finds."""

    def test_survey(self) -> None:
        """A look finds finished blobs, partials with their sizes, snapshots and free space."""
        file = self.put("boot-kernel", b"kernel")
        partial = self.images_dir / "partial" / ("cd" * 32 + ".part")
        partial.write_bytes(b"12345")
        self.library.publish(Record(1, "ab" * 32, (), {"a/b": HeldFile(file.sha256, 6)}), NOW_S)
        survey = self.library.survey()
        self.assertEqual(survey.put_aside, ())
        self.assertEqual(survey.holdings.cache, {file.sha256: 6})
        self.assertEqual(survey.holdings.partials, {"cd" * 32: 5})
        self.assertEqual(survey.holdings.current, FIRST)
        self.assertEqual([each.blobs for each in survey.holdings.snapshots], [{file.sha256}])
        self.assertGreater(survey.holdings.free_bytes, 0)

    def test_foreign(self) -> None:
        """Foreign files, directories and links are put aside and named, never lost."""
        outside = self.images_dir.parent / "outside"
        outside.write_bytes(b"mine")
        planted = [
            self.images_dir / "cache" / "readme",
            self.images_dir / "cache" / ("ab" * 32),
            self.images_dir / "partial" / ("cd" * 32 + ".part"),
            self.images_dir / "partial" / ("ef" * 32 + ".part"),
            self.images_dir / "snapshot-20260101-000000-g9",
        ]
        planted[0].write_bytes(b"hello")
        planted[1].symlink_to(outside)
        planted[2].symlink_to(outside)
        os.link(outside, planted[3])
        planted[4].symlink_to(outside.parent)
        survey = self.library.survey()
        self.assertEqual({each.path for each in survey.put_aside}, set(planted))
        for each in survey.put_aside:
            self.assertFalse(os.path.lexists(each.path))
            self.assertTrue(os.path.lexists(each.now))
            self.assertEqual(each.now.parent, self.images_dir / "aside")
        self.assertEqual(survey.holdings.cache, {})
        self.assertEqual(survey.holdings.partials, {})
        self.assertEqual(outside.read_bytes(), b"mine")
