"""Bootloader archives (``archive.tar.xz``): what is in one, if it is safe to unpack.

An archive is untrusted input, although it is signed: whoever made it does not know this
machine. It is read twice. The first time everything is checked and hashed, and nothing is
written; the second time each member is handed on. Members become blobs of their own, named
by their SHA-256, so no path of an archive ever reaches the file system from here.

Read as a stream in bounded memory: xz may use ``Caps.memory_bytes`` for its dictionary, tar
headers are parsed one by one (``tarfile.open`` would read a pax header of any size into
memory, and believe global ones), and what an archive may hold in all is counted in bytes
that came out of xz, so that a bomb ends at the cap. Everything here blocks.
"""

import hashlib
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

import attrs

from common import durable
from common.errors import SourceError
from common.names import is_item_path

_BLOCK_BYTES = tarfile.BLOCKSIZE
_PIECE_BYTES = 1 << 18
_MOST_HEADER_BYTES = 1 << 16
_FILES = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
_LINKS = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE})
_LONG_NAMES = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_MOST_LINKS_IN_A_ROW = 8


@attrs.frozen
class Caps:
    """How much one archive may be: real ones have a dozen members and a few MiB."""

    members: int = 1000
    member_bytes: int = 64 << 20
    total_bytes: int = 256 << 20
    memory_bytes: int = 128 << 20


@attrs.frozen(order=True)
class Member:
    """A file of an archive; a link is listed as the file that it leads to.

    ``path`` is relative to the directory in which the archive stands.
    """

    path: str
    sha256: str
    size_bytes: int


KeepMember = Callable[[Member, Iterator[bytes]], None]
"""Gets each different content once; it need not read it."""


@attrs.frozen
class _Entry:
    """A tar header, with the names that may come before it."""

    path: str
    kind: bytes
    link: str
    content: "_Content"


def unpack(archive: Path, keep: KeepMember, caps: Caps | None = None) -> tuple[Member, ...]:
    """Check an archive, and then hand its members on.

    Args:
        archive: the archive's blob, already verified to be what was signed.
        keep: takes one content; called only when the whole archive was found good.
        caps: how much the archive may be.

    Returns:
        Its members, in the order of their paths: the same for the same archive.

    Raises:
        SourceError: ``archive-refused``; the message names the member and the reason.
        StorageError: the archive cannot be read.
        RackferryError: whatever ``keep`` raises.
    """
    caps = caps or Caps()
    members, sizes = _examined(archive, caps)
    pending = dict(sizes)
    for entry in _entries(archive, caps):
        if entry.kind in _FILES:
            member = members[_clean(entry.path)]
            if pending.pop(member.sha256, None) is not None:
                keep(member, iter(entry.content))
    return tuple(sorted(members.values()))


def _examined(archive: Path, caps: Caps) -> tuple[dict[str, Member], dict[str, int]]:
    """All members by path, and the sizes of the different contents by SHA-256."""
    files: dict[str, Member] = {}
    links: dict[str, str] = {}
    directories: set[str] = set()
    for number, entry in enumerate(_entries(archive, caps)):
        if number >= caps.members:
            _refuse(entry.path, f"is one of more than {caps.members} members")
        path = _clean(entry.path)
        if entry.kind == tarfile.DIRTYPE:
            directories |= {path, *parents(path)} - {""}
            continue
        if not path:
            _refuse(entry.path, "has no name")
        if path in files or path in links:
            _refuse(entry.path, "occurs twice")
        directories |= parents(path)
        if entry.kind in _LINKS:
            base = path.rpartition("/")[0] if entry.kind == tarfile.SYMTYPE else ""
            links[path] = _target(entry, base)
        elif entry.kind in _FILES:
            digest = hashlib.sha256()
            for piece in entry.content:
                digest.update(piece)
            files[path] = Member(path, digest.hexdigest(), entry.content.size_bytes)
        else:
            _refuse(entry.path, "is neither file, directory nor link")
    for path in sorted(directories & {*files, *links}):
        _refuse(path, "is a directory and something else")
    members = files | {path: _followed(path, files, links) for path in links}
    return members, {member.sha256: member.size_bytes for member in files.values()}


def _followed(path: str, files: dict[str, Member], links: dict[str, str]) -> Member:
    """A link as the file that it leads to."""
    target = links[path]
    steps = 1
    while target in links and steps < _MOST_LINKS_IN_A_ROW:
        target = links[target]
        steps += 1
    if target not in files:
        _refuse(path, f"is a link to {target[:200]!r}, which leads to no file of the archive")
    return attrs.evolve(files[target], path=path)


def _target(entry: _Entry, base: str) -> str:
    """Where a link leads, as a path of the archive; ``base`` is its directory."""
    if entry.link.startswith("/"):
        _refuse(entry.path, f"is a link out of the archive: {entry.link[:200]!r}")
    parts = base.split("/") if base else []
    for part in entry.link.split("/"):
        if part == ".." and not parts:
            _refuse(entry.path, f"is a link out of the archive: {entry.link[:200]!r}")
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def _clean(path: str) -> str:
    """A member's path without the "./" and the last "/" that tar writes; "" for the root."""
    cleaned = path
    while cleaned.startswith("./"):
        cleaned = cleaned[2:]
    cleaned = cleaned.removesuffix("/")
    if cleaned in {"", "."}:
        return ""
    if not is_item_path(cleaned):
        _refuse(path, "is not a plain path inside the archive")
    return cleaned


def parents(path: str) -> set[str]:
    """The directories above a path, its root left out (pure)."""
    parts = path.split("/")
    return {"/".join(parts[:depth]) for depth in range(1, len(parts))}


def _refuse(path: str, reason: str) -> NoReturn:
    raise SourceError(
        f"cannot be unpacked: {path[:200]!r} {reason}" if path else f"cannot be unpacked: {reason}",
        code="archive-refused",
        remedy="tell the publisher; the version before stays, if there is one; all else goes on",
    )


# Streams


class _Bytes:
    """What comes out of xz, in pieces of the asked size."""

    def __init__(self, pieces: Iterator[bytes], caps: Caps) -> None:
        self._pieces = pieces
        self._held = b""
        self._left_bytes = caps.total_bytes

    def some(self, most_bytes: int) -> bytes:
        """The next bytes, at least one."""
        if not self._held:
            self._held = self._next()
        if not self._held:
            _refuse("", "it ends too early")
        some, self._held = self._held[:most_bytes], self._held[most_bytes:]
        return some

    def exactly(self, size_bytes: int) -> bytes:
        """The next ``size_bytes`` bytes; for headers only."""
        parts = []
        while size_bytes:
            parts.append(self.some(size_bytes))
            size_bytes -= len(parts[-1])
        return b"".join(parts)

    def drain(self) -> None:
        """Read to the end, so that xz's own checksums are checked."""
        while self._next():
            pass

    def _next(self) -> bytes:
        piece = next(self._pieces, b"")
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            _refuse("", "it is too large when unpacked")
        return piece


@attrs.define
class _Content:
    """The content of one entry, to be read once; what is not read is skipped."""

    size_bytes: int
    _source: _Bytes = attrs.field(alias="source")
    _left_bytes: int = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.size_bytes, takes_self=True)
    )

    def __iter__(self) -> Iterator[bytes]:
        while self._left_bytes:
            piece = self._source.some(min(self._left_bytes, _PIECE_BYTES))
            self._left_bytes -= len(piece)
            yield piece

    def skip(self) -> None:
        """Leave the source at the next header."""
        for _ in self:
            pass
        self._source.exactly(-self.size_bytes % _BLOCK_BYTES)


def _entries(archive: Path, caps: Caps) -> Iterator[_Entry]:
    """The entries of an archive; each must be read before the next is asked for."""
    with os.fdopen(durable.open_for_reading(archive), "rb") as file:
        source = _Bytes(_decompressed(_pieces(file, archive), caps), caps)
        named: dict[str, str] = {}
        while any(block := source.exactly(_BLOCK_BYTES)):
            try:
                header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.TarError as error:
                _refuse("", f"its tar headers are damaged ({error})")
            content = _Content(header.size, source)
            if header.type in _LONG_NAMES:
                named[_LONG_NAMES[header.type]] = _long_name(content)
            elif header.type == tarfile.XHDTYPE:
                named |= _extended(content)
            elif header.type == tarfile.XGLTYPE:
                if named.keys() | _extended(content).keys():
                    _refuse("", "it names its members globally")
            else:
                path = named.get("path", header.name)
                if not 0 <= header.size <= caps.member_bytes or (
                    header.size and header.type not in _FILES
                ):
                    _refuse(path, f"has an impossible size of {header.size} bytes")
                yield _Entry(path, header.type, named.get("linkpath", header.linkname), content)
                named = {}
            content.skip()
        source.drain()


def _pieces(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The content of a file, as far as the disk gives it; in bounded pieces."""
    while True:
        with durable.storage_errors(path, "read"):
            piece = file.read(_PIECE_BYTES)
        if not piece:
            return
        yield piece


def _decompressed(pieces: Iterator[bytes], caps: Caps) -> Iterator[bytes]:
    """The content of an xz file, of any number of streams, in bounded pieces."""
    compressed = next(pieces, b"")
    while compressed:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=caps.memory_bytes)
        while not stream.eof:
            try:
                piece = stream.decompress(compressed, _PIECE_BYTES)
            except (lzma.LZMAError, MemoryError) as error:
                _refuse("", f"it is no good xz file ({error})")
            compressed = b""
            if piece:
                yield piece
            if stream.needs_input and not stream.eof:
                compressed = next(pieces, b"")
                if not compressed:
                    _refuse("", "it ends too early")
        # Between streams there may be padding with zeros.
        compressed = stream.unused_data.lstrip(b"\0") or next(pieces, b"").lstrip(b"\0")


def _small(content: _Content) -> bytes:
    if not 0 < content.size_bytes <= _MOST_HEADER_BYTES:
        _refuse("", f"it has a header of {content.size_bytes} bytes")
    return b"".join(content)


def _long_name(content: _Content) -> str:
    return _small(content).rstrip(b"\0").decode("utf-8", "surrogateescape")


def _extended(content: _Content) -> dict[str, str]:
    """The names in a pax header (POSIX.1-2001); what changes how bytes are read is refused."""
    text = _small(content)
    names = {}
    while text:
        length, blank, _ = text.partition(b" ")
        is_number = blank and length.isdigit() and len(length) < 6
        if not is_number or not len(length) + 1 < int(length) <= len(text):
            _refuse("", "its pax headers are damaged")
        key, _, value = text[len(length) + 1 : int(length) - 1].partition(b"=")
        if key == b"size" or key.startswith(b"GNU.sparse"):
            _refuse("", "it has sparse or huge members")
        if key in {b"path", b"linkpath"}:
            names[key.decode()] = value.decode("utf-8", "surrogateescape")
        text = text[int(length) :]
    return names
