"""What lies beneath a directory: its file system's name, and the space left on it."""

import os
from pathlib import Path

from common import durable

_MOUNTS = Path("/proc/self/mountinfo")
_RESERVE_BYTES = 1 << 30
_RESERVE_PART = 20


def file_system_of(path: str, mountinfo: str) -> str:
    """``"type on /mount/point"`` of the file system that holds ``path`` (pure).

    Args:
        path: an absolute path without symbolic links.
        mountinfo: the text of /proc/self/mountinfo, see proc(5).
    """
    best = ("", "unknown")
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        point = fields[4].replace(r"\040", " ")
        below = point.rstrip("/") + "/"
        # The last line wins: a later mount covers an earlier one at the same place.
        if (path + "/").startswith(below) and len(point) >= len(best[0]):
            best = (point, right.split(" ")[0])
    return f"{best[1]} on {best[0]}" if best[0] else "an unknown file system"


def describe_file_system(path: Path) -> str:
    """Name and place of the file system of ``path``, for messages to people."""
    try:
        return file_system_of(str(path.resolve()), _MOUNTS.read_text("utf-8", "replace"))
    except OSError:
        return "an unknown file system"


def free_bytes(path: Path, reserve_bytes: int | None = None) -> int:
    """What may still be written there, when ``reserve_bytes`` are to stay free.

    A file system that is full to the brim hurts everybody else on the machine; so if nobody
    says how much, 5 % of it are to stay free, at most 1 GiB.
    """
    with durable.storage_errors(path, "measure"):
        found = os.statvfs(path)
    if reserve_bytes is None:
        reserve_bytes = min(_RESERVE_BYTES, found.f_blocks * found.f_frsize // _RESERVE_PART)
    return max(0, found.f_bavail * found.f_frsize - reserve_bytes)
