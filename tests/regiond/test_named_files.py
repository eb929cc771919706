"""Files that an admin names."""

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from regiond.named_files import MOST_BYTES, read_named


class NamedFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="rf-named-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def test_a_file_is_read(self) -> None:
        """Through a symbolic link, too: distributions ship them."""
        path = self.directory / "keyring"
        path.write_bytes(b"content")
        self.directory.joinpath("link").symlink_to(path)
        self.assertEqual(read_named(self.directory / "link"), b"content")

    def test_what_is_no_file_is_refused_in_words(self) -> None:
        """Nothing that blocks, never ends or fills the memory is read."""
        os.mkfifo(self.directory / "fifo")
        self.directory.joinpath("large").open("wb").truncate(MOST_BYTES + 1)
        for path, says in (
            (self.directory / "none", "No such file"),
            (self.directory, "Not a file"),
            (self.directory / "fifo", "Not a file"),
            (Path("/dev/zero"), "Not a file"),
            (self.directory / "large", "16 MiB"),
        ):
            error = self.assertRaises(OSError, read_named, path)
            self.assertIn(says, error.strerror)
        self.assertRaises(FileNotFoundError, read_named, self.directory / "none")
