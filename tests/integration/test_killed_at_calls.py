"""The proof by system calls: rackd is killed at each write, sync, link and rename of a sync.

``strace`` ends the process as it enters the N-th such call of a thread. ``SHORT=1`` is the
version for CI.
"""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.doubles.length import short_or_long
from tests.integration.evidence import RackWatch, sha256_of
from tests.integration.site import Site, temporary_site
from tests.integration.sources import random_file

CALLS = ("writev", "fsync", "fdatasync", "rename", "link", "linkat", "symlink", "unlink", "mkdir")
MOST_PER_CALL = short_or_long(2, 40)
LEAST_POINTS = short_or_long(12, 100)
SIZES = {"boot-kernel": 300_000, "boot-initrd": 2_500_001, "squashfs": 9_500_000}
END_LIMIT_S = 90.0


def strace(call: str, number: int) -> list[str]:
    """Run what follows, and end it as it enters the ``number``-th such call of a thread."""
    injected = f"inject={call}:signal=SIGKILL:when={number}"
    return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", injected]


@pytest.mark.slow
@pytest.mark.timeout(1800)
class KilledAtCallsTests(SynchronousTestCase):
    """One region that has imported an image, and a rack that begins anew at each point."""

    site: Site
    originals: dict[str, str]

    @pytest.fixture(autouse=True)
    def _printing(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def setUp(self) -> None:
        probe = [*strace("getppid", 1), "true"]
        if shutil.which("strace") is None or subprocess.run(probe, check=False).returncode:
            raise SkipTest("strace is missing or may not trace: no kill at system calls")
        entered = temporary_site()
        self.site = entered.__enter__()
        self.addCleanup(entered.__exit__, None, None, None)
        files = {
            ftype: random_file(self.site.directory / "originals" / ftype, size_bytes)
            for ftype, size_bytes in SIZES.items()
        }
        product = {"os": "demo", "release": "one", "arch": "amd64", "version": "1"}
        self.site.publish(product, files)
        self.originals = {
            f"demo/amd64/generic/one/stable/{ftype}": sha256_of(path)
            for ftype, path in files.items()
        }
        self.site.region.start()
        source = self.site.create_source()
        words = ("os=demo", "release=*", "arches=amd64")
        self.site.shell("boot-source-selections", "create", str(source), *words)
        self.site.shell("boot-resources", "import", "wait")
        self.site.enrol()

    def test_every_call(self) -> None:
        """After a kill at any call a start ends the sync, right, and keeps what was finished."""
        points = 0
        while points < LEAST_POINTS:
            before = points
            for call in CALLS:
                points += self.swept(call)
            self.assertGreater(points, before, "no call is ever made")
        with self._capfd.disabled():
            print(f"  {points} kills, and each time all came right")  # noqa: T201  (a figure)

    def swept(self, call: str) -> int:
        """Kill at the first such call of a thread, at the second ...; how many there are."""
        killed = 0
        while killed < MOST_PER_CALL and self.is_killed(call, killed + 1):
            killed += 1
            self.go_on()
        with self._capfd.disabled():
            print(f"  killed at {killed} {call}", flush=True)  # noqa: T201  (a figure)
        return killed

    def is_killed(self, call: str, number: int) -> bool:
        """Sync from nothing until the kill; False if the sync ended before."""
        rack, plain = self.site.rack, list(self.site.rack.argv)
        shutil.rmtree(self.site.images_dir, ignore_errors=True)
        rack.argv = [*strace(call, number), *plain]
        try:
            rack.start_unready()
            self.until(lambda: not rack.is_running or self.is_synced())
            is_killed = not rack.is_running
            if is_killed:
                self.assertEqual(rack.wait(), -9, rack.tail())
            else:
                rack.kill()
        finally:
            rack.argv = plain
        return is_killed

    def go_on(self) -> None:
        """Start after a kill: all must come right, and what was finished is not fetched again."""
        watch, cache = RackWatch(self.site.images_dir), self.site.images_dir / "cache"
        watch.look()
        before = self.finished(cache)
        self.site.rack.start()
        self.until(self.is_synced)
        watch.look()
        self.assertLessEqual(before.items(), self.finished(cache).items())
        self.site.rack.kill()

    def finished(self, cache: Path) -> dict[str, int]:
        found = cache.iterdir() if cache.is_dir() else ()
        return {path.name: path.stat().st_ino for path in found if len(path.name) == 64}

    def is_synced(self) -> bool:
        current = self.site.current
        if current is None or not (current / "demo").exists():
            return False  # a new rack shows an empty tree
        found = {path: sha256_of(current / path) for path in self.originals}
        self.assertEqual(found, self.originals)
        return True

    def until(self, happened: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + END_LIMIT_S
        while not happened():
            self.assertLess(time.monotonic(), deadline_s, self.site.rack.tail())
            time.sleep(0.02)
