"""Where an export is written: a directory, or a tar as a stream.

A file gets its name when its SHA-256 is verified and it is on the disk. What was interrupted
goes on where it was: a partial file is hashed and continued, a partial tar (``FILE.tar.part``)
is compared with what is to be written and continued behind what is right. One export at a time
writes to a place: two would take each other's partial files for their own.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from common.bundles import BundleFile
from common.digests import CHUNK_BYTES
from common.durable import (
    FINISHED,
    finish_file,
    make_directory,
    open_directory,
    open_for_reading,
    open_partial,
    rename_durably,
    storage_errors,
    sync_file,
    truncate,
    try_lock,
    write_all,
    write_durably,
)
from common.errors import Conflict

_BLOCK = tarfile.BLOCKSIZE


class Growing:
    """One file on its way.

    Attributes:
        held_bytes: how much of it is there; what comes next is added behind.
    """

    def __init__(self, fd: int, place: Path, first: int, file: BundleFile) -> None:
        self._fd = fd
        self._place = place
        self._first = first
        self._file = file
        self._digest = hashlib.sha256()
        self.held_bytes = 0
        for piece in _pieces(fd, first, file.size_bytes, place):
            self._digest.update(piece)
            self.held_bytes += len(piece)
        truncate(fd, first + self.held_bytes, place)

    @property
    def is_right(self) -> bool:
        """Whether all of it is there, and it is what it is to be."""
        return (
            self.held_bytes == self._file.size_bytes
            and self._digest.hexdigest() == self._file.sha256
        )

    def write(self, piece: bytes) -> None:
        """Add the next bytes."""
        write_all(self._fd, [piece], self._place)
        self._digest.update(piece)
        self.held_bytes += len(piece)

    def forget(self) -> None:
        """Begin it anew."""
        truncate(self._fd, self._first, self._place)
        self._digest = hashlib.sha256()
        self.held_bytes = 0


class Target(Protocol):
    """A place for a bundle."""

    def begin(self, path: str, file: BundleFile) -> Growing | None:
        """Begin a file or go on with it; None if it is there, whole and right."""

    def finish(self, path: str, file: BundleFile) -> None:
        """The file that was begun is right: give it its name."""

    def close(self, manifest_path: str, manifest: bytes) -> None:
        """Everything is there: write the manifest, and make it all visible."""

    def leave(self) -> None:
        """Close what is open; what is there stays for the next run."""


class DirectoryTarget:
    """A directory; every file appears in it when it is whole.

    Raises:
        Conflict: code ``locked``; another export writes there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._fd = -1
        make_directory(root)
        self._lock = open_directory(root)
        if not try_lock(self._lock, root):
            self.leave()
            raise _taken(root)

    def begin(self, path: str, file: BundleFile) -> Growing | None:
        """Begin a file or go on with it; None if it is there, whole and right."""
        if self._is_whole(self._root / path, file):
            return None
        part = self._part(file)
        self._close()
        self._fd = open_partial(part)
        return Growing(self._fd, part, 0, file)

    def finish(self, path: str, file: BundleFile) -> None:
        """Give a file its name."""
        make_directory((self._root / path).parent)
        finish_file(self._fd, self._part(file), self._root / path)
        self._close()

    def close(self, manifest_path: str, manifest: bytes) -> None:
        """Write the manifest."""
        write_durably(self._root / manifest_path, manifest, FINISHED)

    def leave(self) -> None:
        """Close what is open."""
        self._close()
        os.close(self._lock)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _part(self, file: BundleFile) -> Path:
        return self._root / f".{file.sha256}.part"

    @staticmethod
    def _is_whole(target: Path, file: BundleFile) -> bool:
        if target.is_symlink() or not target.is_file() or target.stat().st_size != file.size_bytes:
            return False
        fd = open_for_reading(target)
        try:
            digest = hashlib.sha256()
            for piece in _pieces(fd, 0, file.size_bytes, target):
                digest.update(piece)
        finally:
            os.close(fd)
        return digest.hexdigest() == file.sha256


class TarTarget:
    """A tar, written from its beginning to its end, that appears when it is whole.

    Raises:
        Conflict: code ``locked``; another export writes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        make_directory(path.parent)
        self._fd = open_partial(self._part)
        self._at = 0
        # The one that had it may have given it its name since it was opened here.
        if not (try_lock(self._fd, self._part) and self._is_ours()):
            self.leave()
            raise _taken(path)

    def begin(self, path: str, file: BundleFile) -> Growing | None:
        """Begin a file or go on with it; None if it is there, whole and right."""
        header = _header(path, file.size_bytes)
        with storage_errors(self._part, "read"):
            is_there = os.pread(self._fd, len(header), self._at) == header
        if is_there and self._is_whole(len(header), file):
            self._at += _padded(len(header) + file.size_bytes)
            return None
        if not is_there:
            truncate(self._fd, self._at, self._part)
            write_all(self._fd, [header], self._part)
        return Growing(self._fd, self._part, self._at + len(header), file)

    def finish(self, path: str, file: BundleFile) -> None:
        """Go on behind it."""
        size_bytes = len(_header(path, file.size_bytes)) + file.size_bytes
        write_all(self._fd, [bytes(_padded(size_bytes) - size_bytes)], self._part)
        sync_file(self._fd, self._part)
        self._at += _padded(size_bytes)

    def close(self, manifest_path: str, manifest: bytes) -> None:
        """Write the manifest and the end, and give the tar its name."""
        truncate(self._fd, self._at, self._part)
        size_bytes = len(manifest)
        padding = bytes(_padded(size_bytes) - size_bytes + 2 * _BLOCK)
        write_all(self._fd, [_header(manifest_path, size_bytes), manifest, padding], self._part)
        sync_file(self._fd, self._part)
        rename_durably(self._part, self._path)

    def leave(self) -> None:
        """Close what is open."""
        os.close(self._fd)

    def _is_ours(self) -> bool:
        """Whether what is open is still what has the name of the partial tar."""
        try:
            return os.path.samestat(os.fstat(self._fd), self._part.lstat())
        except FileNotFoundError:
            return False

    def _is_whole(self, header_bytes: int, file: BundleFile) -> bool:
        """Whether the file, and what fills its last block, is at its place."""
        first, digest, held_bytes = self._at + header_bytes, hashlib.sha256(), 0
        for piece in _pieces(self._fd, first, file.size_bytes, self._part):
            digest.update(piece)
            held_bytes += len(piece)
        with storage_errors(self._part, "read"):
            end = os.fstat(self._fd).st_size
        whole = end >= self._at + _padded(header_bytes + file.size_bytes)
        return whole and held_bytes == file.size_bytes and digest.hexdigest() == file.sha256


def _taken(place: Path) -> Conflict:
    return Conflict(
        "another export writes there",
        object=str(place),
        code="locked",
        remedy="wait for its end, or export to another place",
    )


def _header(path: str, size_bytes: int) -> bytes:
    """The same for the same file, so that a second run knows what it finds."""
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = size_bytes, FINISHED
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK) * _BLOCK


def _pieces(fd: int, first: int, size_bytes: int, place: Path) -> Iterator[bytes]:
    """What is there of ``size_bytes`` from ``first`` on."""
    at, end = first, first + size_bytes
    while at < end:
        with storage_errors(place, "read"):
            piece = os.pread(fd, min(CHUNK_BYTES, end - at), at)
        if not piece:
            return
        yield piece
        at += len(piece)
