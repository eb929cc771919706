"""A hundred malformed command lines, asked of the real ``rackferry``."""

import shlex
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from tests.doubles.malformed_lines import MALFORMED
from tests.integration.processes import environment
from tests.integration.shells import rackferry_command

EACH = 12  # a process each for every twelfth: starting one takes longer than all the rest


class MalformedLinesTests(SynchronousTestCase):
    """No daemon is there, and none is missed."""

    def run_shell(self, *words: str, lines: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*rackferry_command(), *words],
            input=lines,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def test_all_in_one_process(self) -> None:
        """Each gives one line on stderr, none a traceback or anything on stdout; the code is 2."""
        lines = [line for line, *_ in MALFORMED if "\n" not in line]
        done = self.run_shell(lines="\n".join(lines))
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        said = done.stderr.splitlines()
        self.assertEqual(len(said), len(lines), done.stderr)
        self.assertEqual([line for line in said if not line.startswith("rackferry: ")], [])

    def test_a_process_for_each(self) -> None:
        """A command that was typed wrong ends with code 2 and one line that helps."""
        for line, wrong, right in MALFORMED[::EACH]:
            done = self.run_shell(*shlex.split(line))
            self.assertEqual((done.returncode, done.stdout), (2, ""), line)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(wrong, done.stderr)
            self.assertIn(right, done.stderr)
