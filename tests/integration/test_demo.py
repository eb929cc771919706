"""The demo is the first thing that anybody runs: it must work, and tell the truth."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.processes import ROOT, environment


@pytest.mark.slow
@pytest.mark.timeout(200)
class DemoTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rackferry-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def demo(self, **settings: str) -> subprocess.CompletedProcess[str]:
        modes = {"STAY", "NETBOOT", "SOURCE", "KEYRING", "SELECT"}
        inherited = {key: value for key, value in environment().items() if key not in modes}
        return subprocess.run(
            [sys.executable, str(ROOT / "bench" / "demo.py"), str(self.directory)],
            env=inherited | settings,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def test_the_whole_job_is_shown_and_verified(self) -> None:
        """Both kills, the refusal, the tree, the status and a fetch are shown; exit 0."""
        done = self.demo()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.left_behind(), [])
        for said in (
            "the region was killed meanwhile",
            "the rack was killed on the way",
            "[signature-",
            "Every byte compared",
            "demo/amd64/generic/two/stable/squashfs",
            "curl -fsS",
            "All verified",
        ):
            self.assertIn(said, done.stdout)

    def test_a_source_that_nobody_answers_for_fails_the_demo(self) -> None:
        """A step that fails ends the demo with exit 1 and the reason, and leaves nothing."""
        ring = self.directory / "ring.gpg"
        ring.write_bytes(b"no keyring")
        done = self.demo(SOURCE="http://127.0.0.1:9/", KEYRING=str(ring), SELECT="demo/one/amd64")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("The demo failed", done.stderr)
        self.assertEqual(self.left_behind(), [])

    def left_behind(self) -> list[str]:
        """Command lines of processes that still work in the demo's directory."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        return [line for line in found if str(self.directory) in line]
