"""A rack's disk becomes full at random points of syncs, on a small file system of its own.

``SHORT=1`` is the version for CI, ``SEED=n`` repeats the draws of a run.
"""

import os
import random
from pathlib import Path

import pytest

from common.digests import CHUNK_BYTES
from common.errors import NoSpace
from common.images import Image
from rackd.follower import NO_SPACE_RETRY_S
from tests.doubles.disks import mount_tmpfs
from tests.doubles.following import JAMMY, FollowerCase
from tests.doubles.images import content, file_of, image_of
from tests.doubles.length import short_or_long
from tests.doubles.resuming import ResumingFetches

POINTS = short_or_long(8, 50)
SIZES = (CHUNK_BYTES + 5, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES - 1)
CHUNKS = 7  # of these files, whole and begun


@pytest.mark.slow
class FullDiskTests(FollowerCase):
    """A follower on a tmpfs, where writes really fail with ENOSPC."""

    reserve_bytes = 0

    def prepare(self) -> None:
        mount_tmpfs(self, self.images_dir, "size=40m")

    def setUp(self) -> None:
        super().setUp()
        self.stopped()
        self.source = ResumingFetches(self.library)
        self.start(self.library, self.source.fetch)
        self.follower.connected()
        self.seed = int(os.environ.get("SEED", "20261122"))
        self.random = random.Random(self.seed)
        self.ballast = self.images_dir / "ballast"

    @pytest.fixture(autouse=True)
    def _printing(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def wanted(self, version: int) -> Image:
        """An image of three new files, which the source has."""
        files = []
        for number, size_bytes in enumerate(SIZES):
            blob = content(size_bytes, seed=100 * version + number)
            files.append(file_of(f"file-{number}", blob))
            self.source.blobs[files[-1].sha256] = blob
        return image_of(JAMMY, *files, version=str(version))

    def fill(self, left_bytes: int) -> None:
        """Somebody else takes all room but this."""
        found = os.statvfs(self.images_dir)
        size_bytes = found.f_bavail * found.f_frsize - left_bytes
        with self.ballast.open("wb") as opened:
            os.posix_fallocate(opened.fileno(), 0, max(1, size_bytes))

    def fill_at(self, point: int, left_bytes: int) -> None:
        """The disk becomes full before chunk ``point`` of the next sync is written."""
        seen = 0

        def before_chunk() -> None:
            nonlocal seen
            if seen == point:
                self.fill(left_bytes)
            seen += 1

        self.source.before_chunk = before_chunk

    def assert_held(self, image: Image) -> None:
        """Machines see every byte of it."""
        for file in image.files:
            path: Path = self.images_dir / "current" / JAMMY / file.name
            self.assertEqual(path.read_bytes(), self.source.blobs[file.sha256])

    def test_random_points(self) -> None:
        """Each time: paused, with figures; the old is served; it goes on by itself, and is right."""
        survived = 0
        old = self.wanted(1)
        self.region.publish(1, old)
        self.follower.trigger()
        self.assert_held(old)
        for version in range(2, POINTS + 2):
            image = self.wanted(version)
            digest = self.region.publish(version, image)
            self.source.fetched_bytes = 0
            self.fill_at(self.random.randrange(CHUNKS), self.random.randrange(CHUNK_BYTES))
            self.follower.trigger()
            where = f"point {version - 1}, seed {self.seed}"
            self.assertIsInstance(self.follower.problem, NoSpace, where)
            self.assertEqual(self.follower.status, "paused", where)
            (problem,) = self.events.problems
            self.assertRegex(problem.cause, r"\d+ to fetch, \d+ free beyond the reserve", where)
            self.assert_held(old)
            self.source.before_chunk = lambda: None
            self.clock.pump([NO_SPACE_RETRY_S] * self.random.randrange(3))
            self.assertEqual(self.follower.status, "paused", where)
            self.ballast.unlink()
            self.clock.advance(NO_SPACE_RETRY_S)
            self.assertEqual((self.library.held_view, self.events.problems), (digest, []), where)
            self.assert_held(image)
            self.assertLessEqual(self.source.fetched_bytes - sum(SIZES), 2 * CHUNK_BYTES, where)
            self.clock.pump([3600.0] * 3)
            old = image
            survived += 1
        self.assertEqual(survived, POINTS)
        with self._capfd.disabled():
            print(  # noqa: T201  (a figure that is to be seen)
                f"\n  the disk was full at {survived} points, and all came right; SEED={self.seed}"
            )
