"""docs/rackferry.1 is the table of words as a manual page."""

import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from common.shell.manual import manual
from common.shell.wrong_words import with_ids
from common.vocabulary import VERBS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rackferry.1"
AGAIN = "it is old; write it anew: python -m common.shell.manual > docs/rackferry.1"


class ManualPageTests(SynchronousTestCase):
    """What ``man rackferry`` shows."""

    def test_it_is_current(self) -> None:
        """The page that is shipped says what there is now."""
        self.assertTrue(PAGE.read_text() == manual(), AGAIN)

    def test_man_renders_it(self) -> None:
        """It shows every word of it, in 80 columns, and has nothing to complain of."""
        man = shutil.which("man")
        if man is None:
            raise SkipTest("man is not installed")
        done = subprocess.run(
            [man, "--warnings", "-l", str(PAGE)],
            env={"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(done.stderr, "")
        for verb in VERBS:
            self.assertIn(with_ids(verb), done.stdout)
        self.assertEqual([line for line in done.stdout.splitlines() if len(line) > 80], [])
        joined = " ".join(done.stdout.replace("\\\n", " ").split())
        for verb in VERBS:
            self.assertIn(f"rackferry {verb.example_line}", joined)
