"""Tests of reading one finished blob."""

import ctypes
import errno
import os
import threading
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from common.digests import sha256_hex
from common.errors import StorageError
from rackd.examination import PIECE_BYTES, Examination, be_idle
from tests.doubles.directories import fresh_directory
from tests.doubles.disks import broken_at
from tests.doubles.images import content

BLOB = content(PIECE_BYTES + 100)


class ExaminationTests(SynchronousTestCase):
    """A blob in a directory."""

    def setUp(self) -> None:
        self.path = fresh_directory(self) / sha256_hex(BLOB)

    def fault(self, blob: bytes) -> str:
        self.path.write_bytes(blob)
        faults = set()
        for past_cache in (True, False):
            examination = Examination(self.path, past_cache=past_cache)
            examination.read_all()
            examination.close()
            examination.close()
            faults.add(examination.fault)
        (fault,) = faults
        return fault

    def test_right(self) -> None:
        """What its name says is right, an empty blob as well."""
        self.assertEqual(self.fault(BLOB), "")
        self.path = self.path.with_name(sha256_hex(b""))
        self.assertEqual(self.fault(b""), "")

    def test_wrong(self) -> None:
        """One bit anywhere, one byte less or more is found."""
        for offset in (0, PIECE_BYTES, len(BLOB) - 1):
            flipped = bytearray(BLOB)
            flipped[offset] ^= 4
            self.assertIn("other bytes", self.fault(bytes(flipped)))
        self.assertIn("other bytes", self.fault(BLOB[:-1]))
        self.assertIn("other bytes", self.fault(BLOB + b"x"))

    def test_unreadable(self) -> None:
        """A sector that cannot be read is a fault of the blob, with its place."""
        with mock.patch("os.pread", side_effect=OSError(5, "I/O error")):
            self.assertEqual(self.fault(BLOB), "cannot be read at byte 0")

    def test_in_pieces(self) -> None:
        """It is read piece by piece, so that whoever paces it can wait between."""
        self.path.write_bytes(BLOB)
        examination = Examination(self.path, past_cache=True)
        self.addCleanup(examination.close)
        self.assertEqual([examination.read_on() for _ in range(3)], [PIECE_BYTES, 100, 0])

    def test_what_the_disk_cannot_give(self) -> None:
        """A file that cannot be opened for a bad sector is wrong; one that may not is an error."""
        self.path.write_bytes(BLOB)
        with broken_at(self.path):
            examination = Examination(self.path, past_cache=True)
        examination.read_all()
        self.assertIn("cannot be read", examination.fault)
        self.assertEqual(examination.seen.st_ino, self.path.stat().st_ino)
        examination.close()
        for number in (errno.EACCES, errno.EMFILE):
            with broken_at(self.path, number):
                self.assertRaises(StorageError, Examination, self.path, past_cache=True)

    def test_no_plain_file(self) -> None:
        """A link is not followed, and what is missing is said."""
        self.assertRaises(StorageError, Examination, self.path, past_cache=True)
        self.path.symlink_to(Path("/etc/passwd"))
        self.assertRaises(StorageError, Examination, self.path, past_cache=True)


class IdleTests(SynchronousTestCase):
    """The priority of reads."""

    def test_one_thread_is_idle(self) -> None:
        """The calling thread's class is idle then; no other thread's is."""
        if os.uname().machine != "x86_64":
            self.skipTest("the number of ioprio_get is known here for x86_64 only")  # type: ignore[attr-defined]  # trial's
        found: list[int] = []

        def get() -> int:
            return int(ctypes.CDLL(None).syscall(252, 1, 0)) >> 13

        def work() -> None:
            be_idle()
            found.append(get())

        # Another test may have made this thread idle: best effort, as it was.
        ctypes.CDLL(None).syscall(251, 1, 0, 2 << 13 | 4)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(found, [3])
        self.assertNotEqual(get(), 3)

    def test_an_unknown_machine(self) -> None:
        """Where the call's number is not known nothing happens."""
        with mock.patch("os.uname", return_value=mock.Mock(machine="vax")):
            be_idle()
