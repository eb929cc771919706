"""The version of this software."""

from importlib import metadata

from twisted.trial.unittest import SynchronousTestCase

from common import release as module
from common.release import release


class ReleaseTests(SynchronousTestCase):
    """What hello says."""

    def test_installed(self) -> None:
        """An installed distribution says its version."""
        self.patch(module, "version", lambda name: f"{name} 1.2")
        self.assertEqual(release(), "rackferry 1.2")

    def test_bare_tree(self) -> None:
        """A source tree that is not installed still answers."""

        def missing(name: str) -> str:
            raise metadata.PackageNotFoundError(name)

        self.patch(module, "version", missing)
        self.assertEqual(release(), "unknown")
