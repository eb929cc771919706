"""What the completion of bash and zsh is told."""

import io
import socket

from twisted.trial.unittest import SynchronousTestCase

from common.shell.completing import print_candidates
from tests.doubles.directories import fresh_directory


class CompletingTests(SynchronousTestCase):
    """``rackferry complete -- WORD...`` (with a daemon: ``integration/test_interactive_shell``)."""

    def printed(self, *words: str, socket_path: str = "/nonexistent") -> list[str]:
        out = io.StringIO()
        code = print_candidates(["--", *words], {"RACKFERRY_SOCKET": socket_path}, out)
        self.assertEqual(code, 0)
        return out.getvalue().splitlines()

    def test_a_line_for_each(self) -> None:
        """What to type, a tab, what it is."""
        self.assertEqual(
            self.printed("boot-sources", "c"), ["create\tadd a boot source; never fetches"]
        )

    def test_no_daemon(self) -> None:
        """Values of a daemon that is not there are none, and no error."""
        self.assertEqual(self.printed("boot-source", "read", ""), [])

    def test_a_daemon_that_hangs(self) -> None:
        """One that takes the question and says nothing is not waited for."""
        path = str(fresh_directory(self) / "s")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(path)
            listening.listen()
            self.assertEqual(self.printed("boot-source", "read", "", socket_path=path), [])

    def test_whatever_is_typed(self) -> None:
        """Words that are wrong, and none at all, complete nothing or the first word."""
        out = io.StringIO()
        self.assertEqual(print_candidates([], {}, out), 0)
        self.assertIn("boot-sources\t", out.getvalue())
        for words in (("nonsense", "more", ""), ("--socket",), ("--", "--", ""), ("\0", "\0=")):
            self.printed(*words)
