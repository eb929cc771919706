"""Whether a disk takes what is written, as far as it says so by itself."""

import os
from pathlib import Path

from common.errors import NoSpace, StorageError


def demand_writable(directory: Path) -> None:
    """That the file system of a directory can be written; a look, and no write.

    Raises:
        StorageError: it does not answer, or is mounted read-only.
        NoSpace: there is not one free block.
    """
    try:
        found = os.statvfs(directory)
    except OSError as error:
        raise StorageError(
            f"does not answer: {error.strerror}",
            object=str(directory),
            code="disk-silent",
            remedy="look whether its disk is there",
        ) from error
    if found.f_flag & os.ST_RDONLY:
        raise StorageError(
            "is mounted read-only",
            object=str(directory),
            code="disk-read-only",
            remedy="look at the kernel's log: a disk that fails is often remounted so",
        )
    if not found.f_bavail:
        raise NoSpace("is full", object=str(directory), code="disk-full", remedy="free some space")
