"""The proof by enumeration: a power cut at any moment of a sync, and the start after it.

Each prefix of the recorded operations, and what may be left of it (``tests.doubles.power_cuts``),
is laid on a disk, and the real start runs on it. ``SHORT=1`` is the version for CI, ``SEED=n``
repeats the draws of a run.
"""

import os
import random
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from twisted.trial.unittest import SynchronousTestCase

from common import durable
from common.digests import RunningDigest
from rackd import snapshot
from rackd.library import Library
from rackd.partials import PartialSink
from rackd.records import Record, snapshot_name
from rackd.snapshot import Snapshot
from tests.doubles.length import short_or_long
from tests.doubles.power_cuts import Disk
from tests.doubles.survivors import (
    SmallRegion,
    Starts,
    Violation,
    canonical_sync,
    check_losses,
    small_scale,
)

STATES = short_or_long(50_000, 200_000)
PER_MOMENT = short_or_long(1000, 8000)
COMPLETE_EVERY = 25
IN_MEMORY = Path("/dev/shm")


class PowerCutCase(SynchronousTestCase):
    """A region, a directory in memory and a seed."""

    def setUp(self) -> None:
        self.seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
        scale = small_scale()
        scale.__enter__()
        self.addCleanup(scale.__exit__, None, None, None)
        self.region = SmallRegion()
        where = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="rackferry-", dir=where))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.examined = 0

    @pytest.fixture(autouse=True)
    def _printing(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def enumerate(self, per_moment: int, complete_every: int = COMPLETE_EVERY) -> Starts:
        """Cut the power after each operation of a sync.

        Args:
            per_moment: how many disks are looked at for each, at about the most.
            complete_every: each how many-th start is followed by a whole sync.

        Raises:
            Violation: at the first broken promise.
        """
        recorded = self.directory / "recorded"
        recorded.mkdir()
        operations = canonical_sync(self.region, recorded)
        draw = random.Random(self.seed)
        starts = Starts(self.region, self.directory / "left", complete_every)
        views = [self.region.first, self.region.second]
        disk = Disk()
        for number, operation in enumerate(operations):
            disk.do(operation)
            for found in disk.after_power_cut(draw, per_moment):
                self.examined += 1
                try:
                    survived = starts.start(found)
                    check_losses(disk, survived, views, frozenset(self.region.blobs))
                except Violation as violation:
                    violation.add_note(f"SEED={self.seed}, after operation {number}: {operation}")
                    raise
        return starts


@pytest.mark.slow
@pytest.mark.timeout(1800)
class EnumerationTests(PowerCutCase):
    """All is well."""

    def test_every_power_cut(self) -> None:
        """No power cut in a sync loses, shows or names what it must not, and none stops a start."""
        starts = self.enumerate(PER_MOMENT)
        with self._capfd.disabled():
            print(  # noqa: T201  (the figures are to be seen)
                f"\n  {self.examined} states, {starts.distinct} of them different,"
                f" {starts.completed} synced to the end; SEED={self.seed}"
            )
        self.assertGreaterEqual(self.examined, STATES)


@pytest.mark.slow
@pytest.mark.timeout(600)
class ControlTests(PowerCutCase):
    """What the enumeration finds when a rule is left out: it is not blind."""

    def assert_found(self, promise: str, complete_every: int = 1 << 30) -> None:
        violation = self.assertRaises(Violation, self.enumerate, 8, complete_every)
        self.assertRegex(str(violation), promise)

    def test_without_the_sync_of_directories(self) -> None:
        """Without it, what was said to be held is lost, and what was fetched."""
        with mock.patch("common.durable.sync_directory"):
            self.assert_found(" lost$|^current leads nowhere")

    def test_without_the_sync_of_the_partial_name(self) -> None:
        """Without it, a begun blob is lost as a whole although its bytes were synced."""
        with mock.patch.object(PartialSink, "_sync_all", _sync_bytes_only):
            self.assert_found(r"bytes of partial/\w+\.part are lost$")

    def test_without_the_check_of_chunks(self) -> None:
        """If what a cut left is believed, wrong bytes get the name of a blob."""
        with mock.patch.object(RunningDigest, "add_if", _believe):
            self.assert_found("has other bytes$", complete_every=1)

    def test_with_the_flip_before_completeness(self) -> None:
        """If a tree is shown before it is whole, a cut finds it."""
        with mock.patch.object(Library, "publish", _flip_first):
            self.assert_found("^current leads nowhere|has no record$|is not complete$")


def _sync_bytes_only(sink: PartialSink, fd: int) -> None:
    durable.sync_file(fd, sink._path)


def _believe(running: RunningDigest, chunk: bytes, wanted: bytes | None) -> bytes:
    running.add(chunk)
    return wanted or b""


def _flip_first(library: Library, record: Record, now_s: float) -> Snapshot:
    name = snapshot_name(now_s, record.generation, snapshot.snapshot_names(library.images_dir))
    snapshot.flip(library.images_dir, name)
    library.current = snapshot.build(library.images_dir, library.cache, record, now_s)
    return library.current
