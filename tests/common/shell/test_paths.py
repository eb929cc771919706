"""Names of files, for completion."""

from twisted.trial.unittest import SynchronousTestCase

from common.shell.paths import paths
from tests.doubles.directories import fresh_directory


class PathsTests(SynchronousTestCase):
    """A directory with a file, a hidden one and a directory."""

    def test_names(self) -> None:
        """Names begin with what was typed; directories end with a slash; hidden ones hide."""
        base = fresh_directory(self)
        (base / "keys").mkdir()
        for name in ("kernel", ".kept"):
            (base / name).touch()
        self.assertEqual(list(paths(f"{base}/")), [f"{base}/kernel", f"{base}/keys/"])
        self.assertEqual(list(paths(f"{base}/key")), [f"{base}/keys/"])
        self.assertEqual(list(paths(f"{base}/.k")), [f"{base}/.kept"])

    def test_home(self) -> None:
        """A tilde stays as it was typed."""
        base = fresh_directory(self)
        (base / "ring.gpg").touch()
        self.patch(__import__("os"), "environ", {"HOME": str(base)})
        self.assertEqual(list(paths("~/r")), ["~/ring.gpg"])

    def test_what_cannot_be_read(self) -> None:
        """It has no names, and is no error."""
        self.assertEqual(list(paths("/nonexistent/x")), [])
        self.assertEqual(list(paths("/\0/x")), [])
