"""How much room an import needs on the disk of an embedded database (pure).

Measured, for files of 4 KiB to 150 MiB: the database's file grows by 1.01 times the bytes
and 22 KiB for each file; the log beside it by 1.14 times the bytes and 1.6 MiB for each file,
until it begins anew (``store.log``), which it did at 1.8 GiB at most. What is moved from the
log into the file is in both for a while.
"""

from collections.abc import Sequence

import attrs

from common.errors import NoSpace
from common.sizes import human_size

LONGEST_LOG_BYTES = 2 << 30
_LOG_BYTES_PER_FILE = 2 << 20
_BYTES_PER_FILE = 32 << 10


def needed_bytes(fetches: Sequence[int]) -> int:
    """The room that so many bytes for each of these files need."""
    if not fetches:
        return 0
    total_bytes = sum(fetches)
    log_bytes = total_bytes * 115 // 100 + len(fetches) * _LOG_BYTES_PER_FILE
    file_bytes = total_bytes * 101 // 100 + len(fetches) * _BYTES_PER_FILE
    return file_bytes + min(log_bytes, LONGEST_LOG_BYTES)


@attrs.frozen
class Room:
    """What is needed, what is free, and what is to stay free."""

    needed_bytes: int
    free_bytes: int
    reserve_bytes: int

    @property
    def missing_bytes(self) -> int:
        """What would have to be freed; 0 if it fits."""
        return max(0, self.needed_bytes + self.reserve_bytes - self.free_bytes)

    def figures(self) -> str:
        """All of it, for people."""
        return ", ".join(
            f"{what} {human_size(size_bytes)}"
            for what, size_bytes in {
                "needs": self.needed_bytes,
                "free": self.free_bytes,
                "reserve": self.reserve_bytes,
                "missing": self.missing_bytes,
            }.items()
        )

    def refusal(self) -> NoSpace:
        """The refusal of an import that does not fit."""
        return NoSpace(
            f"does not fit on the disk of the database: {self.figures()}",
            object="import",
            code="import-space",
            remedy="free space there, or select less; it goes on by itself when there is room",
        )
