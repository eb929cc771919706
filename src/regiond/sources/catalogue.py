"""From products to the images a source offers (pure).

The mapping is MAAS's, with its names, so that trees and selections mean the same:

* ``os`` defaults to ubuntu, ``subarch`` and ``kflavor`` to generic.
* A flavour other than generic is folded into a ``ga-``/``hwe-`` kernel's name, before
  ``edge``: ``hwe-18.04-edge`` with lowlatency is ``hwe-18.04-lowlatency-edge``.
* A bootloader's release is its type (``uefi``), its subarch generic.
* Ubuntu Core has the release ``<release>-<gadget snap>`` and its kernel snap as flavour.
* ``squashfs`` makes ``root-image.gz`` superfluous; unknown file types are left out.

A path means the same bytes for ever, in all documents of a source: products that disagree
about one are left out, all of them. Where MAAS drops a product silently, the catalogue names
it in ``ignored``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import attrs

from common.images import FTYPES, ImageKey
from regiond.sources.simplestreams import (
    NOTIFICATIONS,
    Item,
    Notice,
    Product,
    ProductFile,
    Skipped,
    Version,
)
from regiond.stream_tags import PRODUCT_TAGS, StreamTags

MAAS_VERSION = (3, 8)  # the MAAS whose products we understand (``maas_supported``)

_UBUNTU = re.compile(r".*:v([23]|3\+platform):.*", re.IGNORECASE)
_UBUNTU_CORE = re.compile(r".*:v4:.*", re.IGNORECASE)
_BOOTLOADER = re.compile(r".*:1:.*", re.IGNORECASE)
_ANY_PRODUCTS = "; any_products=true at the boot source takes it all the same"
_BOOTLOADERS = {
    ("pxe", "pxelinux", "i386"),
    ("uefi", "grub-efi-signed", "amd64"),
    ("uefi", "grub-efi", "arm64"),
    ("open-firmware", "grub-ieee1275", "ppc64el"),
}


@attrs.frozen
class WantedFile:
    """A file of an offered image; ``name`` is its name in a rack's tree.

    ``sha512`` is empty unless the stream gives one; then it has to be right, too.
    """

    name: str
    ftype: str
    sha256: str
    size_bytes: int
    upstream_path: str
    sha512: str = ""


@attrs.frozen
class Offer:
    """An image that a source offers, in its newest version.

    ``versions`` are all that are offered, newest first. ``subarches`` are the further kernel names it answers to. ``own_subarch`` is its name
    before the flavour was folded in. ``os_version`` is 22.04 for jammy. ``support_eol``
    is YYYY-MM-DD or empty.
    ``beside`` are files of the version that are no part of an image.
    """

    key: ImageKey
    version: str
    files: tuple[WantedFile, ...]
    content_id: str
    product: str
    own_subarch: str = "generic"
    subarches: tuple[str, ...] = ()
    kflavor: str | None = None
    bootloader_type: str | None = None
    rolling: bool = False
    title: str = ""
    release_title: str = ""
    os_version: str = ""
    support_eol: str = ""
    versions: tuple[str, ...] = ()
    stream_tags: StreamTags = attrs.field(factory=StreamTags, hash=False)
    beside: tuple[WantedFile, ...] = ()

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self.files)


@attrs.frozen
class Catalogue:
    """All that a source offers, and what it does not.

    ``malformed`` are those of ``ignored`` that are faults of the source; the others are
    merely not for us. ``notices`` are what the publisher wants admins to read.
    """

    newest: tuple[Offer, ...]
    ignored: tuple[Skipped, ...] = ()
    malformed: tuple[Skipped, ...] = ()
    notices: tuple[Notice, ...] = ()


class _Ignored(Exception):
    """A product is not for us; the text says why."""


def catalogue(product_files: Sequence[ProductFile], *, any_products: bool = False) -> Catalogue:
    """What a source offers; with the products that could not be parsed.

    Args:
        product_files: all its documents.
        any_products: also products whose names MAAS does not know.
    """
    disputed = _disputed(product_files)
    malformed = [skipped for each in product_files for skipped in each.skipped]
    ignored: list[Skipped] = []
    newest: dict[ImageKey, Offer] = {}
    notices: list[Notice] = []
    for product_file in product_files:
        for product in product_file.products:
            dispute = _dispute(product, disputed) if disputed else None
            if dispute is not None:
                malformed.append(dispute)
                continue
            notices += product.versions[0].notices if product.versions else ()
            try:
                offer = _offer(product, product_file.content_id, any_products)
            except _Ignored as why:
                ignored.append(_ignored(product, str(why)))
                continue
            first = newest.setdefault(offer.key, offer)
            if first is not offer:
                reason = f"the image {offer.key} is already offered by {first.product}"
                ignored.append(_ignored(product, reason))
    offers = tuple(newest.values())
    return Catalogue(offers, (*malformed, *ignored), tuple(malformed), tuple(notices))


def _ignored(product: Product, reason: str) -> Skipped:
    """An image never falls back to an older version because its newest cannot be used."""
    newest = product.versions[0].name if product.versions else ""
    return Skipped(product.name, newest, "", reason)


def _disputed(product_files: Iterable[ProductFile]) -> frozenset[str]:
    """The paths of which different sizes or digests are claimed; nothing tells who is right."""
    claims: dict[str, Item] = {}
    disputed: set[str] = set()
    for product_file in product_files:
        for product in product_file.products:
            for version in product.versions:
                for item in version.items:
                    claim = claims.setdefault(item.path, item)
                    if claim.sha256 != item.sha256 or claim.size_bytes != item.size_bytes:
                        disputed.add(item.path)
    return frozenset(disputed)


def _dispute(product: Product, disputed: frozenset[str]) -> Skipped | None:
    """The first item of a product about which others disagree."""
    for version in product.versions:
        for item in version.items:
            if item.path in disputed:
                reason = f"the path {item.path} is also said to have another size or sha256"
                return Skipped(product.name, version.name, item.name, reason)
    return None


def _offer(product: Product, content_id: str, any_products: bool) -> Offer:
    """What a product offers: its newest version. Raises ``_Ignored``."""
    if not product.versions:
        raise _Ignored("has no versions")
    version = product.versions[0]
    tags = version.tags
    if NOTIFICATIONS in version.metadata and not version.items:
        raise _Ignored("is a release notification, not an image")
    _demand_supported(tags)
    if not any_products:
        _demand_known_name(product.name, tags)
    own_subarch, kflavor = tags.get("subarch", "generic"), tags.get("kflavor")
    release, bootloader_type = tags.get("release", ""), tags.get("bootloader-type")
    if _os(tags) == "ubuntu-core":
        own_subarch, kflavor = "generic", tags.get("kernel_snap", "generic")
        release = f"{release}-{tags.get('gadget_snap', '')}"
    elif bootloader_type is not None:
        own_subarch, kflavor, release = "generic", None, bootloader_type
    subarch = folded_subarch(own_subarch, kflavor)
    label, arch = tags.get("label", ""), tags.get("arch", "")
    try:
        key = ImageKey(_os(tags), arch, subarch, release, label)
    except ValueError as error:
        raise _Ignored(str(error)) from error
    return Offer(
        key=key,
        version=version.name,
        files=_files(version),
        content_id=content_id,
        product=product.name,
        own_subarch=own_subarch,
        subarches=_words(tags.get("subarches", "")),
        kflavor=kflavor,
        bootloader_type=bootloader_type,
        rolling=tags.get("rolling", "").lower() == "true",
        title=" ".join(
            filter(None, (tags.get(f"{part}_title") for part in ("os", "release", "gadget")))
        ),
        release_title=tags.get("release_title", ""),
        os_version=tags.get("version", ""),
        support_eol=tags.get("support_eol", ""),
        versions=tuple(each.name for each in product.versions),
        stream_tags=StreamTags(
            {tag: tags[tag] for tag in PRODUCT_TAGS if tag in tags},
            {_file_name(each): {"item": each.name, **each.tags} for each in _items(version)},
        ),
        beside=tuple(_wanted(item) for item in version.items if item.ftype not in FTYPES),
    )


def folded_subarch(subarch: str, kflavor: str | None) -> str:
    """The kernel's name with its flavour, as racks and listings know it.

    A name that has it already does not get it twice: a region that serves images again has
    folded it in, and the kernel of a platform may be called after it (``nvidia-ga-22.04``).
    """
    if kflavor in {None, "generic", subarch} or not ("ga-" in subarch or "hwe-" in subarch):
        return subarch
    if f"-{kflavor}-" in f"-{subarch}-":
        return subarch
    if subarch.endswith("-edge"):
        return f"{subarch.removesuffix('-edge')}-{kflavor}-edge"
    return f"{subarch}-{kflavor}"


def _os(tags: Mapping[str, str]) -> str:
    return tags.get("os", "ubuntu")


def _demand_supported(tags: Mapping[str, str]) -> None:
    """MAAS's rules for what is meant for it; raises ``_Ignored``."""
    supported = tags.get("maas_supported", "")
    if _dotted(supported) > MAAS_VERSION:
        known = ".".join(map(str, MAAS_VERSION))
        raise _Ignored(f"is for MAAS {supported} and newer; products up to {known} are understood")
    bootloader = tags.get("bootloader-type"), _os(tags), tags.get("arch", "")
    if bootloader[0] is not None and bootloader not in _BOOTLOADERS:
        raise _Ignored(f"the bootloader {'/'.join(map(str, bootloader))} boots no machine here")


def _demand_known_name(product: str, tags: Mapping[str, str]) -> None:
    """MAAS's rules for the names of products; raises ``_Ignored``."""
    os = _os(tags)
    if "bootloader-type" in tags:
        if not _BOOTLOADER.fullmatch(product):
            raise _Ignored(f"is a bootloader whose product name lacks ':1:'{_ANY_PRODUCTS}")
    elif os == "ubuntu-core":
        if not _UBUNTU_CORE.fullmatch(product):
            raise _Ignored(f"is Ubuntu Core whose product name lacks ':v4:'{_ANY_PRODUCTS}")
    elif "ubuntu" in os.lower() and not _UBUNTU.fullmatch(product):
        raise _Ignored(f"is Ubuntu whose product name lacks ':v2:' and ':v3:'{_ANY_PRODUCTS}")


def _dotted(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _items(version: Version) -> list[Item]:
    """The items of a version that are files of the image."""
    items = [item for item in version.items if item.ftype in FTYPES]
    if any(item.ftype == "squashfs" for item in items):
        items = [item for item in items if item.ftype != "root-image.gz"]
    return items


def _file_name(item: Item) -> str:
    return item.path.rpartition("/")[2]


def _files(version: Version) -> tuple[WantedFile, ...]:
    items = _items(version)
    if not items:
        raise _Ignored(_why_no_files(version.items))
    files = tuple(map(_wanted, items))
    if len({file.name for file in files}) < len(files):
        raise _Ignored("two of its files have the same name")
    return files


def _wanted(item: Item) -> WantedFile:
    return WantedFile(
        _file_name(item),
        item.ftype,
        item.sha256,
        item.size_bytes,
        item.path,
        item.sha512 or "",
    )


def _why_no_files(items: tuple[Item, ...]) -> str:
    if items:
        ftypes = ", ".join(sorted({item.ftype for item in items}))
        return f"has no file of a known type, only {ftypes}"
    return "has nothing to download"


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
