"""Tests of what is believed of an earlier rackd, and of an earlier start of the machine."""

from twisted.trial.unittest import SynchronousTestCase

from rackd.boot_record import BootRecord, boot_id
from tests.doubles.directories import fresh_directory

BLOB, OTHER = "ab" * 32, "cd" * 32


class BootRecordTests(SynchronousTestCase):
    """A file that rackd keeps."""

    def setUp(self) -> None:
        self.path = fresh_directory(self) / "verified"

    def test_over_restarts(self) -> None:
        """What was right stays known while the machine runs, and not what was taken back."""
        record = BootRecord(self.path, "boot-1")
        record.add(BLOB)
        record.add(OTHER)
        record.remove(OTHER)
        record.remove(OTHER)
        self.assertNotIn(OTHER, record)
        again = BootRecord(self.path, "boot-1")
        self.assertIn(BLOB, again)
        self.assertNotIn(OTHER, again)

    def test_not_over_a_start_of_the_machine(self) -> None:
        """Of another start nothing is believed, nor when the kernel does not tell starts apart."""
        BootRecord(self.path, "boot-1").add(BLOB)
        self.assertNotIn(BLOB, BootRecord(self.path, "boot-2"))
        BootRecord(self.path, "").add(BLOB)
        self.assertNotIn(BLOB, BootRecord(self.path, ""))

    def test_only_what_is_there(self) -> None:
        """What is not on the disk any more is forgotten, so that the record does not grow."""
        record = BootRecord(self.path, "boot-1")
        record.add(BLOB)
        record.add(OTHER)
        record.retain({BLOB: 1})
        for each in (record, BootRecord(self.path, "boot-1")):
            self.assertIn(BLOB, each)
            self.assertNotIn(OTHER, each)

    def test_damaged_file(self) -> None:
        """A record that cannot be read is as good as none."""
        for text in (b"", b"{", b'{"boot_id":"boot-1"}'[:-1], b"\xff"):
            self.path.write_bytes(text)
            self.assertNotIn(BLOB, BootRecord(self.path, "boot-1"))

    def test_boot_id(self) -> None:
        """The kernel says the same one each time."""
        self.assertTrue(boot_id())
        self.assertEqual(boot_id(), boot_id())
