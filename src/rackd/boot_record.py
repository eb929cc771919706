"""Which blobs were verified since this machine started, kept over restarts of rackd.

What was read from the disk and found right since the machine started is in memory or was
just there; after a power cut or a year on the shelf nobody knows. The kernel's boot id tells
one start of the machine from another, so a record of another one means nothing. Everything
here blocks.
"""

import threading
from collections.abc import Callable, Collection
from pathlib import Path

import attrs

from common import durable
from common.canonical import canonical_json, parse
from common.errors import ProtocolError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@attrs.frozen
class _Kept:
    boot_id: str
    blobs: tuple[str, ...] = ()


def boot_id() -> str:
    """What tells this start of the machine from all others; "" if the kernel does not say."""
    try:
        return BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


class BootRecord:
    """The blobs that were found right since the machine started.

    Args:
        path: where that is kept.
        boot: this start of the machine; with "" nothing is believed of what was kept.
    """

    def __init__(self, path: Path, boot: str) -> None:
        self._path = path
        self._boot = boot
        self._turn = threading.Lock()
        self._blobs = frozenset(_read(path, boot))

    def __contains__(self, sha256: str) -> bool:
        """Whether it was found right since then. On any thread."""
        return sha256 in self._blobs

    def add(self, sha256: str) -> None:
        """It was found right.

        Raises:
            StorageError, NoSpace: that is not kept; until rackd ends it is known all the same.
        """
        self._change(lambda blobs: blobs | {sha256})

    def remove(self, sha256: str) -> None:
        """It is not right any more; whatever has its name next is to be verified."""
        if sha256 in self._blobs:
            self._change(lambda blobs: blobs - {sha256})

    def retain(self, names: Collection[str]) -> None:
        """Forget all others."""
        if not self._blobs.issubset(names):
            self._change(lambda blobs: blobs.intersection(names))

    def _change(self, change: Callable[[frozenset[str]], frozenset[str]]) -> None:
        with self._turn:
            self._blobs = change(self._blobs)
            kept = _Kept(self._boot, tuple(sorted(self._blobs)))
            durable.write_durably(self._path, canonical_json(kept))


def _read(path: Path, boot: str) -> tuple[str, ...]:
    try:
        kept = parse(_Kept, path.read_bytes(), "record of verified blobs")
    except (OSError, ProtocolError):
        return ()
    return kept.blobs if boot and kept.boot_id == boot else ()
