"""The file types that a custom image can have, and whether a file is of one (pure).

The types and the names in a rack's tree are MAAS's. A file is looked at from its beginning:
the magic number of its outermost layer, and what is inside if that is compressed.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping

import attrs

from common.errors import WrongUsage

HEAD_BYTES = 1 << 20
"""How much of a file has to be looked at: bzip2 gives nothing before a block of up to 900 kB."""

_TAR_BYTES = 512
_LZMA_MEMORY_BYTES = 128 << 20


@attrs.frozen
class FileType:
    """A file type.

    Attributes:
        name: the file's name in a rack's tree.
        ftype: its file type in image documents and streams.
        form: what it is, in words, and as ``look`` finds it.
    """

    name: str
    ftype: str
    form: str


def _same(name: str, form: str) -> FileType:
    return FileType(name, name, form)


_TGZ, _TBZ, _TXZ = "a tar archive in gzip", "a tar archive in bzip2", "a tar archive in xz"
_TAR, _EXECUTABLE, _RAW = "a tar archive", "a program", "a raw disk"
_GZ, _BZ2, _XZ = "a raw disk in gzip", "a raw disk in bzip2", "a raw disk in xz"

FILE_TYPES: Mapping[str, FileType] = {
    "tgz": _same("root-tgz", _TGZ),
    "tbz": _same("root-tbz", _TBZ),
    "txz": _same("root-txz", _TXZ),
    "ddtgz": _same("root-dd", _TGZ),
    "ddtar": _same("root-dd.tar", _TAR),
    "ddraw": _same("root-dd.raw", _RAW),
    "ddgz": _same("root-dd.gz", _GZ),
    "ddbz2": _same("root-dd.bz2", _BZ2),
    "ddxz": _same("root-dd.xz", _XZ),
    "ddtbz": _same("root-dd.tar.bz2", _TBZ),
    "ddtxz": _same("root-dd.tar.xz", _TXZ),
    "self-extracting": FileType("installer.bin", "self-extracting", _EXECUTABLE),
}

# What else a file may be, most of it no file type: (where, magic, in words).
_OTHERS = (
    (0, b"#!", _EXECUTABLE),
    (0, b"\x7fELF", _EXECUTABLE),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"QFI\xfb", "a qcow2 disk"),
    (0, b"KDMV", "a VMDK disk"),
    (0, bytes.fromhex("636f6e6563746978"), "a VHD disk"),
    (0, b"vhdxfile", "a VHDX disk"),
    (0, b"MSWIM\0\0\0", "a WIM archive"),
    (0, b"hsqs", "a squashfs"),
    (32769, b"CD001", "an ISO image"),
)


def look(head: bytes) -> str:
    """What a file is, in words, by its first ``HEAD_BYTES`` (all of it, if it is smaller)."""
    for magic, packing, unpack in _PACKINGS:
        if head.startswith(magic):
            return _inside(head, packing, unpack)
    if _is_tar(head):
        return _TAR
    for at, magic, words in _OTHERS:
        if head[at : at + len(magic)] == magic:
            return words
    return _RAW if head else "empty"


def check_content(filetype: str, head: bytes, name: str) -> FileType:
    """The file type, if a file that begins so is of it.

    Args:
        filetype: as it was typed.
        head: its first ``HEAD_BYTES``.
        name: the file's, for messages.

    Raises:
        WrongUsage: code ``filetype-unknown``, or ``filetype-content``: what it looks like, and
            which file type that is.
    """
    wanted = FILE_TYPES.get(filetype)
    if wanted is None:
        raise WrongUsage(
            "there is no such file type",
            object=f"filetype={filetype}",
            code="filetype-unknown",
            remedy=f"there are: {', '.join(FILE_TYPES)}",
        )
    found = look(head)
    if found == wanted.form or (wanted.form == _RAW and found == _EXECUTABLE):
        return wanted
    fitting = [known for known, each in FILE_TYPES.items() if each.form == found]
    raise WrongUsage(
        f"looks like {found}, and filetype={filetype} is {wanted.form}",
        object=name,
        code="filetype-content",
        remedy=f"give filetype={' or '.join(fitting)}"
        if fitting
        else f"make {wanted.form} of it, or give another file",
    )


def _inside(head: bytes, packing: str, unpack: Callable[[bytes], bytes]) -> str:
    try:
        inner = unpack(head)
    except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError):
        return f"damaged {packing}"
    if not inner:
        return f"{packing} that holds nothing"
    return f"a tar archive in {packing}" if _is_tar(inner) else f"a raw disk in {packing}"


def _gunzip(head: bytes) -> bytes:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(head, _TAR_BYTES)


def _bunzip(head: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(head, _TAR_BYTES)


def _unxz(head: bytes) -> bytes:
    unpacking = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY_BYTES)
    return unpacking.decompress(head, _TAR_BYTES)


def _is_tar(head: bytes) -> bool:
    """Whether it begins with a tar header: its checksum is right, or it is empty to the end."""
    header = head[:_TAR_BYTES]
    if len(header) < _TAR_BYTES or not header[0]:
        return False
    try:
        checksum = int(header[148:156].split(b"\0")[0].strip() or b"x", 8)
    except ValueError:
        return False
    return checksum == sum(header[:148]) + 8 * ord(" ") + sum(header[156:])


_PACKINGS = (
    (b"\x1f\x8b", "gzip", _gunzip),
    (b"BZh", "bzip2", _bunzip),
    (b"\xfd7zXZ\0", "xz", _unxz),
)
