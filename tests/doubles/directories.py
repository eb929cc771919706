"""Directories that go away with their test (trial's own stay behind under pytest)."""

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase


def fresh_directory(test: SynchronousTestCase) -> Path:
    """An empty directory; its path is short enough for a Unix socket in it."""
    path = Path(tempfile.mkdtemp(prefix="rackferry-"))
    test.addCleanup(shutil.rmtree, path, ignore_errors=True)
    return path
