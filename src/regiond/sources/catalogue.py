"""From products to the images a source offers (pure).

The mapping is MAAS's, with its names, so that trees and selections mean the same:

* ``os`` defaults to ubuntu, ``subarch`` and ``kflavor`` to generic.
* A flavour other than generic is folded into a ``ga-``/``hwe-`` kernel's name, before
  ``edge``: ``hwe-18.04-edge`` with lowlatency is ``hwe-18.04-lowlatency-edge``.
* A bootloader's release is its type (``uefi``), its subarch generic.
* Ubuntu Core has the release ``<release>-<gadget snap>`` and its kernel snap as flavour.
* ``squashfs`` makes ``root-image.gz`` superfluous; unknown file types are left out.

Where MAAS drops a product silently, the catalogue names it in ``ignored``.
"""

import re
from collections.abc import Iterable, Mapping

import attrs

from common.images import FTYPES, ImageKey
from regiond.sources.simplestreams import Item, Product, ProductFile, Skipped, Version

MAAS_VERSION = (3, 8)  # the MAAS whose products we understand (``maas_supported``)

_UBUNTU = re.compile(r".*:v([23]|3\+platform):.*", re.IGNORECASE)
_UBUNTU_CORE = re.compile(r".*:v4:.*", re.IGNORECASE)
_BOOTLOADER = re.compile(r".*:1:.*", re.IGNORECASE)
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
    """One version of one image that a source offers.

    ``subarches`` are the further kernel names it answers to. ``own_subarch`` is its name
    before the flavour was folded in. ``os_version`` is 22.04 for jammy. ``support_eol``
    is YYYY-MM-DD or empty.
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

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self.files)


@attrs.frozen
class Catalogue:
    """All that a source offers (each product newest version first) and what it does not.

    ``malformed`` are those of ``ignored`` that are faults of the source; the others are
    merely not for us.
    """

    offers: tuple[Offer, ...]
    ignored: tuple[Skipped, ...] = ()
    malformed: tuple[Skipped, ...] = ()

    @property
    def newest(self) -> tuple[Offer, ...]:
        """Of every product the newest version."""
        first: dict[tuple[str, str], Offer] = {}
        for offer in self.offers:
            first.setdefault((offer.content_id, offer.product), offer)
        return tuple(first.values())


class _Ignored(Exception):
    pass


def catalogue(product_files: Iterable[ProductFile]) -> Catalogue:
    """What these documents offer; with the products that they could not parse."""
    offers: list[Offer] = []
    ignored: list[Skipped] = []
    malformed: list[Skipped] = []
    owners: dict[ImageKey, str] = {}
    for product_file in product_files:
        ignored += product_file.skipped
        malformed += product_file.skipped
        for product in product_file.products:
            found = _offers_of(product, product_file.content_id, ignored)
            for offer in found:
                owner = owners.setdefault(offer.key, product.name)
                if owner != product.name:
                    reason = f"the image {offer.key} is already offered by {owner}"
                    ignored.append(Skipped(product.name, offer.version, "", reason))
                    continue
                offers.append(offer)
    return Catalogue(tuple(offers), tuple(ignored), tuple(malformed))


def _offers_of(product: Product, content_id: str, ignored: list[Skipped]) -> list[Offer]:
    if not product.versions:
        ignored.append(Skipped(product.name, "", "", "has no versions"))
    offers: list[Offer] = []
    for version in product.versions:
        try:
            offers.append(_offer(product, version, content_id))
        except _Ignored as reason:
            ignored.append(Skipped(product.name, version.name, "", str(reason)))
            # An image never falls back to an older version because its newest is unusable.
            break
    return offers


def _offer(product: Product, version: Version, content_id: str) -> Offer:
    tags = version.tags
    _validate(product.name, tags)
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
    )


def folded_subarch(subarch: str, kflavor: str | None) -> str:
    """The kernel's name with its flavour, as racks and listings know it.

    A region serves images again with the flavour folded in already; it is not folded twice.
    """
    if kflavor in {None, "generic", subarch} or not ("ga-" in subarch or "hwe-" in subarch):
        return subarch
    if f"-{kflavor}-" in f"{subarch}-":
        return subarch
    if subarch.endswith("-edge"):
        return f"{subarch.removesuffix('-edge')}-{kflavor}-edge"
    return f"{subarch}-{kflavor}"


def _os(tags: Mapping[str, str]) -> str:
    return tags.get("os", "ubuntu")


def _validate(product: str, tags: Mapping[str, str]) -> None:
    """MAAS's rules for which products are meant for it; raises ``_Ignored``."""
    os, arch, bootloader_type = _os(tags), tags.get("arch", ""), tags.get("bootloader-type")
    supported = tags.get("maas_supported", "")
    if _dotted(supported) > MAAS_VERSION:
        known = ".".join(map(str, MAAS_VERSION))
        raise _Ignored(f"is for MAAS {supported} and newer; products up to {known} are understood")
    if bootloader_type is not None:
        if not _BOOTLOADER.fullmatch(product):
            raise _Ignored("is a bootloader whose product name lacks ':1:'")
        if (bootloader_type, os, arch) not in _BOOTLOADERS:
            raise _Ignored(f"the bootloader {bootloader_type}/{os}/{arch} boots no machine here")
    elif os == "ubuntu-core":
        if not _UBUNTU_CORE.fullmatch(product):
            raise _Ignored("is Ubuntu Core whose product name lacks ':v4:'")
    elif "ubuntu" in os.lower() and not _UBUNTU.fullmatch(product):
        raise _Ignored("is Ubuntu whose product name lacks ':v2:' and ':v3:'")


def _dotted(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _files(version: Version) -> tuple[WantedFile, ...]:
    items = [item for item in version.items if item.ftype in FTYPES]
    if any(item.ftype == "squashfs" for item in items):
        items = [item for item in items if item.ftype != "root-image.gz"]
    if not items:
        raise _Ignored(_why_no_files(version.items, version.metadata))
    files = tuple(
        WantedFile(
            item.path.rpartition("/")[2],
            item.ftype,
            item.sha256,
            item.size_bytes,
            item.path,
            item.sha512 or "",
        )
        for item in items
    )
    if len({file.name for file in files}) < len(files):
        raise _Ignored("two of its files have the same name")
    return files


def _why_no_files(items: tuple[Item, ...], metadata: tuple[str, ...]) -> str:
    if items:
        ftypes = ", ".join(sorted({item.ftype for item in items}))
        return f"has no file of a known type, only {ftypes}"
    if "notifications" in metadata:
        return "is a release notification, not an image"
    return "has nothing to download"


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
