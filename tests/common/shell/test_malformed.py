"""Command lines that people type wrong."""

import shlex

from tests.doubles.malformed_lines import MALFORMED
from tests.doubles.shell_sessions import SessionCase

LONGEST = 300


class MalformedTests(SessionCase):
    """Each by itself (all in a real process: ``integration/test_malformed_lines``)."""

    def test_each_gets_one_helpful_line(self) -> None:
        """It names the wrong word and the nearest right one; code 2; nothing on stdout."""
        self.assertGreaterEqual(len(MALFORMED), 100)
        for line, wrong, right in MALFORMED:
            self.err.truncate(0)
            self.err.seek(0)
            self.assertEqual(self.session.run(shlex.split(line)), 2, line)
            said = self.err.getvalue()
            self.assertEqual((said.count("\n"), said[-1]), (1, "\n"), said)
            self.assertTrue(said[:-1].isprintable() and len(said) < LONGEST, said)
            self.assertTrue(said.startswith("rackferry: "), said)
            self.assertIn(wrong, said)
            self.assertIn(right, said)
        self.assertEqual((self.out.getvalue(), self.daemon.asked), ("", []))
