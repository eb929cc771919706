"""Reads one finished blob and says whether it still is what its name says. Everything blocks."""

import ctypes
import errno
import hashlib
import os
from pathlib import Path

from common import durable
from common.errors import StorageError

PIECE_BYTES = 4 << 20

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
_WHO_THREAD = 1
_CLASS_IDLE = 3 << 13


def be_idle() -> None:
    """Let the reads of the calling thread wait for all others', if the disk's scheduler can.

    See ioprio_set(2). On machines whose number of that call is not known, nothing happens.
    """
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is not None:
        ctypes.CDLL(None).syscall(number, _WHO_THREAD, 0, _CLASS_IDLE)


class Examination:
    """One reading of a finished blob.

    Args:
        path: the blob; its name is the SHA-256 that its bytes must have.
        past_cache: read from the disk and not from memory: what the kernel keeps of a piece is
            dropped before it is read, so that what went bad beneath it is found, and again
            afterwards, so that nobody's files are driven out by files that nobody asks for.

    Raises:
        StorageError: it is not there, is no plain file, or may not be read; what the disk
            cannot give is no error but a fault.

    Attributes:
        seen: of the file that is read.
    """

    def __init__(self, path: Path, *, past_cache: bool) -> None:
        self._past_cache = past_cache
        self._name = path.name
        self._digest = hashlib.sha256()
        self._offset = 0
        self._is_readable = True
        self._fd = -1
        with durable.storage_errors(path, "look at"):
            self.seen = path.lstat()
        try:
            self._fd = durable.open_for_reading(path)
            self.seen = os.fstat(self._fd)
        except StorageError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EIO:
                raise
            self._is_readable = False

    def read_on(self) -> int:
        """Read the next piece; how many bytes that was. 0: it has ended, or cannot be read."""
        if not self._is_readable:
            return 0
        try:
            self._forget()
            piece = os.pread(self._fd, PIECE_BYTES, self._offset)
            self._forget()
        except OSError:
            self._is_readable = False
            return 0
        self._digest.update(piece)
        self._offset += len(piece)
        return len(piece)

    def read_all(self) -> None:
        """Read to its end."""
        while self.read_on():
            pass

    @property
    def fault(self) -> str:
        """What is wrong with the blob, after all was read; "" for nothing."""
        if not self._is_readable:
            return f"cannot be read at byte {self._offset}"
        if self._digest.hexdigest() != self._name:
            return "has other bytes than its name says"
        return ""

    def close(self) -> None:
        """Let go of the file; twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _forget(self) -> None:
        if self._past_cache:
            os.posix_fadvise(self._fd, self._offset, PIECE_BYTES, os.POSIX_FADV_DONTNEED)
