"""The documents of the region's own stream: what they say, and which have to be written (pure).

The form is that of MAAS's streams, in the strictest of its readings, so that a MAAS of any
version, ``sstream-mirror`` and Rackferry can import from it: the newest MAAS wants images of
kernel, initrd and root, images of one root archive, and bootloaders in documents of their
own, and a ``manifest`` with each image that is none of its own files.

A document is written when what it says changes, and then says a later time than before: the
same state always has the same bytes.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import attrs

from common.canonical import lined_json
from common.digests import sha256_hex
from common.names import is_item_path, is_segment
from regiond.store.images import NeededFile, StoredImage

INDEX = "streams/v1/index"
MANIFEST = "manifest"

_BOOTABLE = "com.rackferry:images:v3:download"
_SINGLE = "com.rackferry:images:single:v3:download"
_OTHER = "com.rackferry:images:other:v3:download"
_BOOTLOADERS = "com.rackferry:images:1:bootloader-download"
_ROOTS = frozenset(["squashfs", "root-image.gz"])
_BOOTING = frozenset(["boot-kernel", "boot-initrd"])

Document = dict[str, Any]


@attrs.frozen
class Written:
    """A document that there is. ``updated`` is in seconds since the epoch."""

    basis_sha256: str
    updated: int


@attrs.frozen
class Draft:
    """A document to be written.

    Attributes:
        basis_sha256: of what it says, but for the time.
        updated: the time that it says, in seconds since the epoch.
        text: the whole of it.
        is_signed: whether it is to be signed.
    """

    basis_sha256: str
    updated: int
    text: bytes
    is_signed: bool


@attrs.frozen
class Drafts:
    """``new``: the documents to be written, by path. ``paths``: all that there are then."""

    new: Mapping[str, Draft]
    paths: frozenset[str]


def draft(images: Iterable[StoredImage], known: Mapping[str, Written], at: float) -> Drafts:
    """Which documents describe these images, and which of them are to be written.

    Args:
        images: those that are published, and shown.
        known: the documents that there are, by path.
        at: when the images became what they are, in seconds since the epoch.
    """
    updated = max(int(at), *(each.updated + 1 for each in known.values()), 0)
    new: dict[str, Draft] = {}
    paths: set[str] = set()
    texts: dict[str, bytes] = {}  # signed and plain products are the same text

    def write(path: str, says: Document) -> int:
        """Draft a document unless it is there; the time that it says."""
        paths.add(path)
        basis_sha256 = sha256_hex(json.dumps(says, sort_keys=True).encode("ascii"))
        there = known.get(path)
        if there is not None and there.basis_sha256 == basis_sha256:
            return there.updated
        if basis_sha256 not in texts:
            texts[basis_sha256] = lined_json(says | {"updated": _date(updated)})
        text = texts[basis_sha256]
        new[path] = Draft(basis_sha256, updated, text, path.endswith(".sjson"))
        return updated

    product_files = _product_files(images)
    for suffix in (".json", ".sjson"):
        entries = {}
        for content_id, products in product_files.items():
            path = f"streams/v1/{content_id}{suffix}"
            said = write(path, _products_of(content_id, products))
            entries[content_id] = _entry(path, products, _date(said))
        write(f"{INDEX}{suffix}", {"format": "index:1.0", "index": entries})
    return Drafts(new, frozenset(paths))


def _date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def _products_of(content_id: str, products: Mapping[str, Document]) -> Document:
    return {
        "content_id": content_id,
        "datatype": "image-downloads",
        "format": "products:1.0",
        "products": dict(products),
    }


def _entry(path: str, products: Mapping[str, Document], updated: str) -> Document:
    return {
        "datatype": "image-downloads",
        "format": "products:1.0",
        "path": path,
        "products": sorted(products),
        "updated": updated,
    }


def _product_files(images: Iterable[StoredImage]) -> dict[str, dict[str, Document]]:
    """The products of each document, by its content id."""
    found: dict[str, dict[str, Document]] = {}
    for image in images:
        if all(is_item_path(path_of(image, file.name)) for file in image.files):
            found.setdefault(_content_id(image), {})[_name(image)] = _product(image)
    return found


def _content_id(image: StoredImage) -> str:
    ftypes = {file.ftype for file in image.files}
    if image.bootloader_type is not None:
        return _BOOTLOADERS
    if ftypes >= _BOOTING and ftypes & _ROOTS:
        return _BOOTABLE
    return _SINGLE if ftypes == {"root-tgz"} else _OTHER


def _name(image: StoredImage) -> str:
    """The product's name, with what MAAS knows a product for it by: ``:v3:``, ``:1:``."""
    key = image.key
    above = f"com.rackferry.{key.label}"
    if image.bootloader_type is not None:
        return f"{above}:1:{key.os}:{image.bootloader_type}:{key.arch}"
    number = "v4" if key.os == "ubuntu-core" else "v3"
    kind = "boot" if key.os == "ubuntu" else key.os
    return f"{above}:{number}:{kind}:{key.release}:{key.arch}:{key.subarch}"


def _product(image: StoredImage) -> Document:
    """A product with its one version."""
    tags = _loader_tags(image) if image.bootloader_type is not None else _image_tags(image)
    items = {_item_name(image, file): _item(image, file) for file in image.files}
    text = manifest(image)
    if text is not None:
        items[MANIFEST] = {
            "ftype": MANIFEST,
            "path": path_of(image, MANIFEST),
            "sha256": sha256_hex(text),
            "size": len(text),
        }
    return tags | {"versions": {image.version: {"items": items}}}


def _loader_tags(image: StoredImage) -> Document:
    said, key = image.stream_tags.product, image.key
    return {
        "arch": key.arch,
        "arches": said.get("arches", key.arch),
        "bootloader-type": image.bootloader_type,
        "label": key.label,
        "os": key.os,
    }


def _image_tags(image: StoredImage) -> Document:
    """What the source said; MAAS's own rules for what it did not say."""
    said, key = image.stream_tags.product, image.key
    is_ga = key.subarch.startswith("ga-")
    supposed = {
        "kflavor": image.kflavor or "generic",
        "krel": key.release,
        "release": key.release,
        "release_codename": "",
        "release_title": image.title or key.release,
        "subarch": key.subarch,
        "support_eol": None,
        "version": key.subarch.removeprefix("ga-") if is_ga else key.release,
    }
    return {
        **supposed,
        **said,
        "arch": key.arch,
        "label": key.label,
        "os": key.os,
        "subarches": ",".join(image.subarches or (key.subarch,)),
        **({"rolling": True} if image.rolling else {}),
    }


def _item_name(image: StoredImage, file: NeededFile) -> str:
    """As the source has it; else its type, where there is one file of that type."""
    said = image.stream_tags.items.get(file.name, {}).get("item")
    if said is not None:
        return said
    is_only = sum(each.ftype == file.ftype for each in image.files) == 1
    return file.ftype if is_only else file.name


def _item(image: StoredImage, file: NeededFile) -> Document:
    said = image.stream_tags.items.get(file.name, {})
    return {
        **{tag: text for tag, text in said.items() if tag != "item"},
        "ftype": file.ftype,
        "path": path_of(image, file.name),
        "sha256": file.sha256,
        "size": file.size_bytes,
    }


def path_of(image: StoredImage, name: str) -> str:
    """Where a file of an image stands: as in a rack's tree, with the version."""
    version = image.version if is_segment(image.version) else sha256_hex(image.version.encode())
    return f"{image.key}/{version}/{name}"


def manifest(image: StoredImage) -> bytes | None:
    """What an image consists of, as ``sha256sum`` writes it; None for one that has none.

    MAAS's newest reader refuses images without an item of that name, and fetches none.
    """
    if _content_id(image) not in {_BOOTABLE, _SINGLE}:
        return None
    if any(file.name == MANIFEST for file in image.files):
        return None
    return "".join(f"{file.sha256}  {file.name}\n" for file in image.files).encode("ascii")
