"""The proof of uploads: killed on either side, at random moments, and what it cost.

``SHORT=1`` is the version for CI. ``SEED=n`` repeats the draws of a run.
"""

import os
import random
import subprocess
import time
from hashlib import file_digest
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.processes import environment
from tests.integration.shells import parsed, rackferry_command
from tests.integration.site import Site, temporary_site
from tests.integration.sources import MIB, random_file
from tests.integration.upload_relay import UploadRelay

IS_SHORT = bool(os.environ.get("SHORT"))
SIZE_BYTES = (64 * MIB if IS_SHORT else 2048 * MIB) + 12_345
KILLS_EACH = 2 if IS_SHORT else 10
MOST_AGAIN_BYTES = 16 * MIB  # per kill
LIMIT_S = 300.0


@pytest.mark.slow
@pytest.mark.timeout(1500)
class UploadKillsTests(SynchronousTestCase):
    @pytest.fixture(autouse=True)
    def _printing(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def say(self, line: str) -> None:
        """Print a line although the test passes."""
        with self._capfd.disabled():
            print(line, flush=True)  # noqa: T201  (the figures are to be seen)

    def setUp(self) -> None:
        super().setUp()
        self.seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
        self.draw = random.Random(self.seed)
        self.say(f"\n{self._testMethodName}, SEED={self.seed}")

    def start_shell(self, socket_path: Path, content: Path) -> "subprocess.Popen[str]":
        words = ("boot-resources", "create", "name=big", "architecture=amd64")
        return subprocess.Popen(
            [*rackferry_command(), "--socket", str(socket_path), "--json", *words,
             "filetype=ddraw", f"content@={content}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(), text=True,
        )  # fmt: skip

    def test_killed_on_either_side(self) -> None:
        """A shell and a region are each killed at random bytes: all arrives, right and cheaply."""
        with temporary_site() as site:
            content = random_file(site.directory / "big.raw", SIZE_BYTES)
            site.region.start()
            relay = UploadRelay(site.directory / "relay.sock", site.region_socket)
            try:
                self._upload(site, relay, content)
            finally:
                relay.close()

    def _upload(self, site: Site, relay: UploadRelay, content: Path) -> None:
        sides = ["shell", "region"] * KILLS_EACH
        self.draw.shuffle(sides)
        moments = sorted(self.draw.sample(range(2 * MIB, SIZE_BYTES - 2 * MIB), len(sides)))
        began_s = time.monotonic()
        shell = self.start_shell(relay.path, content)
        for side, moment in zip(sides, moments, strict=True):
            is_there = relay.wait_for(lambda at=moment: relay.reached >= at, LIMIT_S)
            self.assertTrue(is_there, f"never at {moment}")
            count, at_bytes = len(relay.uploads), relay.reached
            if side == "region":
                site.region.kill()
                site.region.start()
            else:
                shell.kill()
                shell.communicate()
                shell = self.start_shell(relay.path, content)
            self.assertTrue(
                relay.wait_for(lambda before=count: len(relay.uploads) > before, LIMIT_S), side
            )
            self.say(
                f"  {side} killed at {at_bytes / MIB:.1f} MiB:"
                f" {relay.lost_bytes[-1] / MIB:.2f} MiB again"
            )
        out, err = shell.communicate(timeout=LIMIT_S)
        self.assertEqual(shell.returncode, 0, err)
        row = parsed(out)
        self.assertEqual((row["state"], row["size_bytes"]), ("published", SIZE_BYTES))
        (file,) = site.shell("boot-resource", "read", str(row["id"]))["files"]
        with content.open("rb") as opened:
            self.assertEqual(file["sha256"], file_digest(opened, "sha256").hexdigest())
        spent_s = time.monotonic() - began_s
        self.say(
            f"  {SIZE_BYTES / MIB:.0f} MiB, {len(sides)} kills: {max(relay.lost_bytes) / MIB:.2f} MiB"
            f" again at most, {sum(relay.lost_bytes) / MIB:.2f} MiB in all; {spent_s:.1f} s"
        )
        self.assertLessEqual(max(relay.lost_bytes), MOST_AGAIN_BYTES)

    def test_undisturbed(self) -> None:
        """How quick it is: read, sent, verified and published."""
        with temporary_site() as site:
            content = random_file(site.directory / "big.raw", SIZE_BYTES)
            site.region.start()
            began_s = time.monotonic()
            shell = self.start_shell(site.region_socket, content)
            _, err = shell.communicate(timeout=LIMIT_S)
            self.assertEqual(shell.returncode, 0, err)
            spent_s = time.monotonic() - began_s
            rate = SIZE_BYTES / MIB / spent_s
            self.say(f"  {SIZE_BYTES / MIB:.0f} MiB in {spent_s:.1f} s: {rate:.0f} MiB/s")
