"""What is moved around: files, images, views, selections (pure).

The words are those of the design: an *image* is one os/release/arch/subarch/label in one
version; a *file* is one kernel, initrd, squashfs of an image; a *view* is what one rack
is to hold of a *generation*. Image documents and views are immutable and named by the
SHA-256 of their canonical JSON.
"""

from collections.abc import Mapping

import attrs

from common.canonical import canonical_json, parse, plain
from common.digests import is_sha256, sha256_hex
from common.errors import ProtocolError
from common.names import is_segment

# The file types that can be part of an image (MAAS's names); others are left out.
FTYPES = frozenset(
    [
        "archive.tar.xz",
        "boot-dtb",
        "boot-initrd",
        "boot-kernel",
        "bootloader",
        "root-dd",
        "root-dd.bz2",
        "root-dd.gz",
        "root-dd.raw",
        "root-dd.tar",
        "root-dd.tar.bz2",
        "root-dd.tar.xz",
        "root-dd.xz",
        "root-image.gz",
        "root-tbz",
        "root-tgz",
        "root-txz",
        "self-extracting",
        "squashfs",
    ]
)


def _segment(_: object, attribute: "attrs.Attribute[str]", value: str) -> None:
    if not is_segment(value):
        raise ValueError(f"{attribute.name} {value!r} cannot be part of a path")


def _sha256(_: object, attribute: "attrs.Attribute[str]", value: str) -> None:
    if not is_sha256(value):
        raise ValueError(f"{attribute.name} {value!r} is not a SHA-256")


def _not_negative(_: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if value < 0:
        raise ValueError(f"{attribute.name} {value} is negative")


@attrs.frozen(order=True)
class ImageKey:
    """Which image, whatever its version. ``str()`` gives its place in a rack's tree."""

    os: str = attrs.field(validator=_segment)
    arch: str = attrs.field(validator=_segment)
    subarch: str = attrs.field(validator=_segment)
    release: str = attrs.field(validator=_segment)
    label: str = attrs.field(validator=_segment)

    def __str__(self) -> str:
        return "/".join((self.os, self.arch, self.subarch, self.release, self.label))

    @classmethod
    def parse(cls, text: str) -> "ImageKey":
        """The inverse of ``str()``; raises ``ValueError``."""
        os, arch, subarch, release, label = text.split("/")
        return cls(os, arch, subarch, release, label)


@attrs.frozen(order=True)
class File:
    """One file of an image.

    ``name`` is its name in a rack's tree. ``digests_sha256`` names the digest list.
    ``source`` and ``upstream_path`` say where it came from (none for an upload).
    """

    name: str = attrs.field(validator=_segment)
    ftype: str
    sha256: str = attrs.field(validator=_sha256)
    size_bytes: int = attrs.field(validator=_not_negative)
    digests_sha256: str = attrs.field(validator=_sha256)
    source: int | None = None
    upstream_path: str | None = None


@attrs.frozen
class Image:
    """One version of one image, with everything a rack needs to lay it out.

    ``subarches`` are the further names the kernel answers to, as the stream lists them.
    """

    key: ImageKey
    version: str
    files: tuple[File, ...]
    kflavor: str | None = None
    bootloader_type: str | None = None
    rolling: bool = False
    title: str = ""
    subarches: tuple[str, ...] = ()

    def to_document(self) -> bytes:
        """The immutable image document."""
        return canonical_json(self)

    @classmethod
    def from_document(cls, document: bytes) -> "Image":
        """Raises ``ProtocolError`` for anything that ``to_document`` cannot have written."""
        return parse(cls, document, "image document")

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self.files)


@attrs.frozen
class ViewImage:
    """An image in a view: its version and the SHA-256 of its image document."""

    version: str
    document_sha256: str = attrs.field(validator=_sha256)


@attrs.frozen
class SourceDocument:
    """A document of a boot source, byte for byte as it was sent; a blob like any other."""

    sha256: str = attrs.field(validator=_sha256)
    size_bytes: int = attrs.field(validator=_not_negative)
    digests_sha256: str = attrs.field(validator=_sha256)

    @property
    def name(self) -> str:
        """For messages."""
        return f"document {self.sha256[:12]}"


@attrs.frozen
class View:
    """What one rack is to hold of a generation.

    Attributes:
        generation: its number.
        images: by ``str(ImageKey)``.
        documents: what mirrors show: by source (its id as text), then by upstream path.
        mirror_only: image documents of superseded versions that those documents still name.
        kept: image documents of older versions, to be at hand and shown nowhere.
    """

    generation: int
    images: Mapping[str, ViewImage] = attrs.field(factory=dict)
    documents: Mapping[str, Mapping[str, SourceDocument]] = attrs.field(factory=dict)
    mirror_only: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def to_document(self) -> bytes:
        """The immutable view document; what it has none of it does not speak of."""
        fields = plain(self)
        for name in ("documents", "mirror_only", "kept"):
            if not fields[name]:
                del fields[name]
        return canonical_json(fields)

    @classmethod
    def from_document(cls, document: bytes) -> "View":
        """Raises ``ProtocolError`` for a document that is no view."""
        view = parse(cls, document, "view")
        for key in view.images:
            try:
                ImageKey.parse(key)
            except ValueError as error:
                raise ProtocolError(f"not a valid view: {error}", object=key) from error
        for name, listed in (("mirror_only", view.mirror_only), ("kept", view.kept)):
            if not all(map(is_sha256, listed)):
                raise ProtocolError(
                    f"not a valid view: {name} is no list of SHA-256", object="view"
                )
        return view

    @property
    def digest(self) -> str:
        """The view's name."""
        return sha256_hex(self.to_document())


@attrs.frozen
class Selection:
    """What is wanted of a boot source. Each list may hold ``*`` and globs."""

    os: str
    release: str
    arches: tuple[str, ...] = ("*",)
    subarches: tuple[str, ...] = ("*",)
    labels: tuple[str, ...] = ("*",)
