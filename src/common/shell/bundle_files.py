"""The files of a bundle as a region reads them: from a directory, or from a tar.

Nothing is believed of the disk it came on: no link is followed, no path leads out of the
bundle, no header of a tar is larger than what it has to say. What the bytes are worth, the
region finds out by its source's signatures.
"""

import os
import re
import tarfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import attrs

from common.bundles import MANIFEST, MAX_FILES, MAX_MANIFEST_BYTES, Manifest, is_bundle_path
from common.commands import BLOB_PIECE_BYTES
from common.durable import open_for_reading, open_within, storage_errors
from common.errors import NotFound, RackferryError, Refused, WrongUsage

MOST_OPEN = 16
MAX_HEADER_BYTES = 8192
_BLOCK = tarfile.BLOCKSIZE
_EXTENSIONS = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE})
_RECORD = re.compile(r"^\d+ ([A-Za-z.]+)=(.*)$", re.MULTILINE)
_MOST_DIGITS = 18
_WHOLE = "copy it again, or extract it and give the directory"


@attrs.frozen
class Extent:
    """Where a file's bytes are."""

    fd: int
    first: int
    size_bytes: int


class Files(Protocol):
    """A place where a bundle's files are."""

    def find(self, path: str) -> Extent:
        """A file; raises ``NotFound`` (code ``bundle-file-missing``)."""

    def close(self) -> None:
        """Close what is open."""


class BundleReader:
    """A bundle on a disk.

    Args:
        place: a directory, or a tar of one.

    Raises:
        WrongUsage: code ``bundle-none``; there is no bundle.
        Refused: code ``bundle-tar``; a tar that no bundle can be.
        StorageError: it cannot be read.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._files: Files = _Directory(place) if place.is_dir() else _Tar(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.close()

    def give(self, path: str, offset: int, length: int) -> tuple[bytes, int]:
        """A piece of a file, and the file's size (a ``Give`` of ``common.shell.line``).

        Raises:
            NotFound: code ``bundle-file-missing``.
            Refused: code ``bundle-path``.
            StorageError: it cannot be read, or is no plain file.
        """
        if not is_bundle_path(path) or offset < 0 or not 0 < length <= BLOB_PIECE_BYTES:
            raise _wrong_path(path)
        extent = self._files.find(path)
        length = max(0, min(length, extent.size_bytes - offset))
        with storage_errors(self._place / path, "read"):
            return os.pread(extent.fd, length, extent.first + offset), extent.size_bytes

    def manifest(self) -> Manifest:
        """What the bundle says of itself.

        Raises:
            ProtocolError: code ``bundle-manifest``.
        """
        return _manifest(self._files.find(MANIFEST), self._place / MANIFEST)


def read_manifest(path: Path) -> Manifest:
    """A manifest by itself; see ``BundleReader.manifest``."""
    fd = open_for_reading(path)
    try:
        return _manifest(Extent(fd, 0, os.fstat(fd).st_size), path)
    finally:
        os.close(fd)


def _manifest(extent: Extent, path: Path) -> Manifest:
    size_bytes = min(extent.size_bytes, MAX_MANIFEST_BYTES + 1)
    with storage_errors(path, "read"):
        return Manifest.from_document(os.pread(extent.fd, size_bytes, extent.first))


class _Directory:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: OrderedDict[str, Extent] = OrderedDict()
        if not (root / MANIFEST).exists():
            raise _no_bundle(root, f"there is no {MANIFEST} in it")

    def find(self, path: str) -> Extent:
        extent = self._open.pop(path, None)
        if extent is None:
            try:
                fd = open_within(self._root, path)
            except RackferryError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    raise _missing(path) from error
                raise
            extent = Extent(fd, 0, os.fstat(fd).st_size)
        self._open[path] = extent
        if len(self._open) > MOST_OPEN:
            os.close(self._open.popitem(last=False)[1].fd)
        return extent

    def close(self) -> None:
        for extent in self._open.values():
            os.close(extent.fd)
        self._open.clear()


class _Tar:
    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise _no_bundle(path, "there is nothing of that name")
        self._fd = open_for_reading(path)
        try:
            self._extents = _extents(self._fd, path)
        except BaseException:
            os.close(self._fd)
            raise

    def find(self, path: str) -> Extent:
        extent = self._extents.get(path)
        if extent is None:
            raise _missing(path)
        return extent

    def close(self) -> None:
        os.close(self._fd)


def _extents(fd: int, path: Path) -> dict[str, Extent]:
    """Where each file of a tar is."""
    found: dict[str, Extent] = {}
    for name, extent in _entries(fd, path):
        if not is_bundle_path(name) or name in found or len(found) > MAX_FILES:
            raise _bad_tar(path, f"it has {_shown(name)}, which no bundle may have there")
        found[name] = extent
    if MANIFEST not in found:
        raise _no_bundle(path, f"there is no {MANIFEST} in it")
    return found


def _entries(fd: int, path: Path) -> Iterator[tuple[str, Extent]]:
    """The plain files of a tar. Only names and sizes are read, and no long ones."""
    at, extended = 0, dict[str, str]()
    while header := _header(fd, path, at):
        first = at + _BLOCK
        name = extended.get("path", header.name)
        size_bytes = _size(extended.get("size", str(header.size)))
        at = first + -(-size_bytes // _BLOCK) * _BLOCK
        if size_bytes < 0 or at > os.fstat(fd).st_size:
            raise _bad_tar(path, f"{_shown(name)} ends behind its end", _WHOLE)
        if header.type in _EXTENSIONS:
            if size_bytes > MAX_HEADER_BYTES:
                raise _bad_tar(path, f"a header in it has {size_bytes} bytes")
            extended |= _extended(header.type, os.pread(fd, size_bytes, first))
            continue
        extended = {}
        if header.type in {tarfile.REGTYPE, tarfile.AREGTYPE}:
            yield name.removeprefix("./"), Extent(fd, first, size_bytes)
        elif header.type != tarfile.DIRTYPE:
            raise _bad_tar(path, f"{_shown(name)} is no plain file")


def _extended(kind: bytes, content: bytes) -> dict[str, str]:
    """What a header in front of another says of name and size, in GNU's form or in POSIX's."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.rstrip(b"\0").decode("utf-8", "replace")}
    found = _RECORD.findall(content.decode("utf-8", "replace"))
    return {key: value for key, value in found if key in {"path", "size"}}


def _size(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else -1


def _header(fd: int, path: Path, at: int) -> tarfile.TarInfo | None:
    """The header at a byte of a tar; None at the tar's end."""
    with storage_errors(path, "read"):
        block = os.pread(fd, _BLOCK, at)
    if len(block) < _BLOCK:
        raise _bad_tar(path, "it ends too early", _WHOLE)
    if not any(block):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise _bad_tar(path, f"the header at byte {at} is none: {error}", _WHOLE) from error


def _shown(name: str) -> str:
    return ascii(name[:200])


def _bad_tar(path: Path, why: str, remedy: str = "") -> Refused:
    return Refused(
        f"is not taken for a bundle: {why}",
        object=str(path),
        code="bundle-tar",
        remedy=remedy or "write the bundle anew: boot-resources export",
    )


def _no_bundle(path: Path, why: str) -> WrongUsage:
    return WrongUsage(
        f"is no bundle: {why}",
        object=str(path),
        code="bundle-none",
        remedy="give the directory or the tar that boot-resources export wrote",
    )


def _wrong_path(path: str) -> Refused:
    return Refused("no bundle may have that path", object=path[:200], code="bundle-path")


def _missing(path: str) -> NotFound:
    return NotFound(
        "is not in the bundle",
        object=path,
        code="bundle-file-missing",
        remedy="copy the bundle again",
    )
