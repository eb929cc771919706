"""Many single bits flip, in finished blobs and in partial files: all are found and repaired.

``SHORT=1`` is the version for CI, ``SEED=n`` repeats the draws of a run.
"""

import os
import random

import attrs
import pytest
from twisted.internet.defer import Deferred

from common.digests import CHUNK_BYTES
from common.images import Image
from rackd.scrub import START_S
from tests.doubles.following import JAMMY
from tests.doubles.images import content, file_of, image_of
from tests.doubles.length import short_or_long
from tests.doubles.resuming import ResumingFetches
from tests.doubles.scrubbing import ScrubbingCase

FLIPS = short_or_long(25, 200)
SIZES = (CHUNK_BYTES // 3, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 17)


@pytest.mark.slow
class BitRotTests(ScrubbingCase):
    """A rack that holds three files of some chunks; its region has them, too."""

    def setUp(self) -> None:
        super().setUp()
        super().stopped()
        self.source = ResumingFetches(self.library)
        self.start(self.library, self.source.fetch)
        self.follower.connected()
        self.seed = int(os.environ.get("SEED", "20261122"))
        self.random = random.Random(self.seed)

    @pytest.fixture(autouse=True)
    def _printing(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def say(self, what: str) -> None:
        """A figure that is to be seen."""
        with self._capfd.disabled():
            print(f"\n  {what}; SEED={self.seed}")  # noqa: T201  (see above)

    def kept(self, version: int) -> Image:
        """An image of three files that the source has."""
        files = []
        for number, size_bytes in enumerate(SIZES):
            blob = content(size_bytes, seed=100 * version + number)
            files.append(file_of(f"file-{number}", blob))
            self.source.blobs[files[-1].sha256] = blob
        return image_of(JAMMY, *files, version=str(version))

    def assert_whole(self, image: Image) -> None:
        """Machines see every byte, in the tree that the rack calls complete."""
        self.assertEqual(self.library.held_view, self.region.view[1])
        for file in image.files:
            found = (self.images_dir / "current" / JAMMY / file.name).read_bytes()
            self.assertEqual(found, self.source.blobs[file.sha256], f"seed {self.seed}")

    def flip(self, path: str) -> int:
        """One bit of a file changes; at which byte."""
        os.chmod(path, 0o644)  # noqa: PTH101  (a path as text is what is asked for)
        bit = self.random.randrange(os.stat(path).st_size * 8)  # noqa: PTH116
        fd = os.open(path, os.O_RDWR)
        try:
            (found,) = os.pread(fd, 1, bit // 8)
            os.pwrite(fd, bytes([found ^ 1 << bit % 8]), bit // 8)
        finally:
            os.close(fd)
        return bit // 8

    def test_finished(self) -> None:
        """Each flip in a finished blob is found by the next scrub, and only that is fetched."""
        image = self.kept(1)
        self.region.publish(1, image)
        self.follower.trigger()
        scrub = self.begun()
        self.clock.pump([START_S, *[1] * 20])
        for number in range(FLIPS):
            file = self.random.choice(image.files)
            self.flip(str(self.library.cache / file.sha256))
            self.source.fetched_bytes = 0
            waiting = Deferred.fromCoroutine(scrub.wait())
            while not waiting.called:
                self.clock.advance(1)
            self.assertEqual(self.successResultOf(waiting)["damaged"], 1, f"seed {self.seed}")
            self.assertEqual(len(self.damage), number + 1)
            self.assertEqual(self.source.fetched_bytes, file.size_bytes)
            self.assert_whole(image)
            for aside in (self.images_dir / "aside").iterdir():
                aside.unlink()
        self.assertEqual(self.events.problems, [])
        self.say(f"{len(self.damage)} flips in finished blobs, all found and repaired")

    def test_begun(self) -> None:
        """Each flip in a partial file is found when it is resumed; what came before it stays."""
        repaired = 0
        for number in range(1, FLIPS + 1):
            whole = self.kept(number)
            image = attrs.evolve(whole, files=whole.files[-1:])
            (file,) = image.files
            blob = self.source.blobs[file.sha256]
            partial = self.images_dir / "partial" / f"{file.sha256}.part"
            held_bytes = self.random.randrange(1, len(blob))
            partial.write_bytes(blob[:held_bytes])
            right_bytes = self.flip(str(partial)) // CHUNK_BYTES * CHUNK_BYTES
            self.source.fetched_bytes = 0
            self.region.publish(number, image)
            self.follower.trigger()
            wanted = file.size_bytes - right_bytes
            self.assertEqual(self.source.fetched_bytes, wanted, f"seed {self.seed}")
            self.assert_whole(image)
            repaired += 1
            self.clock.pump([3600.0] * 3)
        self.assertEqual(repaired, FLIPS)
        self.say(f"{repaired} flips in partial files, all found and repaired")
