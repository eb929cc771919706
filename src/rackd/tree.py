"""What a snapshot shows beyond the files of its images (pure).

The members of bootloader archives, the links in the root that firmware asks for, menus, and
``maas.meta``, which MAAS's tools read. Everything has its blob, so that one record covers
the whole tree.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import attrs

from common.digests import sha256_hex
from common.images import Image, ImageKey
from rackd.archives import Member, parents
from rackd.menus import GRUB_CFG, MenuSettings, bootables, grub_menu, ipxe_script, pxelinux_menu
from rackd.planning import Layout, Skipped, further_directories, own_directory, precedence
from rackd.records import HeldFile, Record

META = "maas.meta"

_Spec = tuple[str, ...]
_Item = dict[str, str]
_NOTHING: Mapping[_Spec, _Item] = MappingProxyType({})


@attrs.frozen
class BootMethod:
    """How a kind of machine gets its first program.

    Attributes:
        name: type and architecture, as people are told.
        directories: where it is looked for below ``bootloader/``; the first that is there.
        links: what stands in the root, too; patterns.
        needed: without one of these the method does not work.
        arches: whose kernels it starts.
    """

    name: str
    directories: tuple[str, ...]
    links: tuple[str, ...]
    needed: tuple[str, ...]
    arches: tuple[str, ...]


BOOT_METHODS = (
    BootMethod(
        "pxe",
        ("pxe/i386", "pxe/amd64"),
        ("lpxelinux.0", "pxelinux.0", "*.c32"),
        ("lpxelinux.0", "pxelinux.0"),
        ("amd64", "i386"),
    ),
    BootMethod(
        "uefi/amd64",
        ("uefi/amd64",),
        ("bootx64.efi", "grubx64.efi", "mmx64.efi"),
        ("bootx64.efi", "grubx64.efi"),
        ("amd64",),
    ),
    BootMethod(
        "uefi/arm64",
        ("uefi/arm64",),
        ("bootaa64.efi", "grubaa64.efi", "mmaa64.efi"),
        ("bootaa64.efi", "grubaa64.efi"),
        ("arm64",),
    ),
    BootMethod(
        "open-firmware/ppc64el",
        ("open-firmware/ppc64el", "open-firmware/ppc64"),
        ("bootppc64.bin",),
        ("bootppc64.bin",),
        ("ppc64el", "ppc64"),
    ),
)


@attrs.frozen
class Tree:
    """A whole tree.

    Attributes:
        files: the blob at each path.
        links: links in the root, and the path in ``files`` of each.
        made: the contents that were made here and are in ``files``.
        skipped: images that are not in it.
        stayed: those of them of which the files of the last tree are in it.
        missing: boot methods without a bootloader although there are images for them.
    """

    files: Mapping[str, HeldFile]
    links: Mapping[str, str]
    made: tuple[bytes, ...]
    skipped: tuple[Skipped, ...]
    missing: tuple[str, ...]
    stayed: tuple[str, ...] = ()


@attrs.frozen
class Before:
    """The last tree: its record, which of its blobs are gone, and its ``maas.meta``."""

    record: Record
    lost: frozenset[str] = frozenset()
    meta: bytes = b""

    def files_of(self, image: Image) -> dict[str, HeldFile]:
        """What stood in the directory of an image, if that was all of one of its versions."""
        start = f"{own_directory(image)}/"
        found = {path: f for path, f in self.record.files.items() if path.startswith(start)}
        is_it = any(each.key == str(image.key) for each in self.record.images)
        is_whole = not any(file.sha256 in self.lost for file in found.values())
        return found if is_it and is_whole else {}


def grow(
    layout: Layout,
    images: Sequence[Image],
    members: Mapping[str, Sequence[Member]],
    settings: MenuSettings,
    generation: int,
    *,
    before: Before | None = None,
) -> Tree:
    """The tree of a layout.

    Args:
        layout: where the files of ``images`` stand.
        images: all of them, those that were skipped, too.
        members: what is in each archive, by its SHA-256. One that is not here could not be
            unpacked: its image is left out as a whole, since half a bootloader is none, and
            the version before stays.
        settings: for the menus.
        generation: for the menus.
        before: the last tree.
    """
    unpacked, reasons = _unpacked(layout, members)
    out = tuple(f"{directory}/" for directory in reasons)
    files = {path: f for path, f in layout.held_files.items() if not path.startswith(out)}
    files |= unpacked
    without = {each.image for each in layout.skipped}
    laid_out = [image for image in images if str(image.key) not in without]
    shown = [image for image in laid_out if own_directory(image) not in reasons]
    refused = {own_directory(each): each for each in laid_out if own_directory(each) in reasons}
    stayed: list[Image] = []
    skipped = []
    for directory, image in refused.items():
        former = before.files_of(image) if before else {}
        if former:
            stayed.append(image)
        files |= former
        stays = "; the version before stays" if former else ""
        skipped.append(Skipped(str(image.key), f"{reasons[directory]}{stays}"))
    links, missing = _links(files, {each.arch for each in bootables(shown)})
    kept = _kept_items(stayed, before.meta if before else b"")
    made = _generated(shown, settings, generation, kept)
    files |= {path: HeldFile(sha256_hex(each), len(each)) for path, each in made.items()}
    return Tree(
        files,
        links,
        tuple(made.values()),
        (*layout.skipped, *skipped),
        missing,
        tuple(str(image.key) for image in stayed),
    )


def _unpacked(
    layout: Layout, members: Mapping[str, Sequence[Member]]
) -> tuple[dict[str, HeldFile], dict[str, str]]:
    """The members at their paths, and why directories are left out."""
    files: dict[str, HeldFile] = {}
    reasons: dict[str, str] = {}
    for path, archive in sorted(layout.archives.items()):
        directory = path.rpartition("/")[0]
        if archive.sha256 not in members:
            reasons.setdefault(directory, f"{archive.name} cannot be unpacked")
        for member in members.get(archive.sha256, ()):
            files[f"{directory}/{member.path}"] = HeldFile(member.sha256, member.size_bytes)
    for directory in {path.rpartition("/")[0] for path in layout.archives}:
        twice = _twice(directory, layout, members)
        if twice:
            reasons.setdefault(directory, f"two of its files would stand at {twice}")
    out = tuple(f"{directory}/" for directory in reasons)
    return {path: file for path, file in files.items() if not path.startswith(out)}, reasons


def _twice(directory: str, layout: Layout, members: Mapping[str, Sequence[Member]]) -> str:
    """A path in ``directory`` that several files, or a file and a directory, want; or ""."""
    start = f"{directory}/"
    paths = [path for path in layout.files if path.startswith(start)]
    for path, archive in layout.archives.items():
        if path.rpartition("/")[0] == directory:
            paths += [start + member.path for member in members.get(archive.sha256, ())]
    above = {above for path in paths for above in parents(path)}
    counted = Counter(paths)
    return min((path for path in paths if counted[path] > 1 or path in above), default="")


def _links(
    files: Mapping[str, HeldFile], arches: set[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What stands in the root for firmware, and the methods that lack a bootloader."""
    taken = {path.partition("/")[0] for path in files}
    links: dict[str, str] = {}
    missing = []
    for method in BOOT_METHODS:
        found = _of_method(files, method)
        links |= {name: path for name, path in found.items() if name not in taken}
        if not found.keys() & set(method.needed) and arches & set(method.arches):
            missing.append(method.name)
    # Some ask for one, some for the other; the one that can do HTTP does both.
    if "lpxelinux.0" in links and "pxelinux.0" not in taken:
        links.setdefault("pxelinux.0", links["lpxelinux.0"])
    return links, tuple(missing)


def _of_method(files: Mapping[str, HeldFile], method: BootMethod) -> dict[str, str]:
    for directory in method.directories:
        start = f"bootloader/{directory}/"
        names = [path.removeprefix(start) for path in sorted(files) if path.startswith(start)]
        found = {
            name: start + name
            for name in names
            if "/" not in name and any(fnmatchcase(name, pattern) for pattern in method.links)
        }
        if found:
            return found
    return {}


def _generated(
    images: Sequence[Image],
    settings: MenuSettings,
    generation: int,
    kept: Mapping[_Spec, _Item],
) -> dict[str, bytes]:
    offered = bootables(images)
    return {
        "boot.ipxe": ipxe_script(offered, settings, generation).encode("ascii"),
        "grub/grub.cfg": GRUB_CFG.encode("ascii"),
        "grub/grub.cfg-default-amd64": grub_menu(offered, settings, generation).encode("ascii"),
        META: maas_meta(images, kept),
        "pxelinux.cfg/default": pxelinux_menu(offered, settings, generation).encode("ascii"),
    }


def maas_meta(images: Iterable[Image], kept: Mapping[_Spec, _Item] = _NOTHING) -> bytes:
    """MAAS's index of the tree: os > arch > subarch > kflavor > release > label > item.

    An image is listed under its own subarch, under those of its further directories, and
    under every other subarch that its kernel answers to, unless an image has that itself.
    """
    images = sorted(images, key=precedence)
    specs: dict[_Spec, _Item] = dict(kept)
    for subarches in (_own, _further, _answered):
        for image in images:
            for subarch in subarches(image):
                specs.setdefault(_spec(image, subarch), _item(image))
    index: dict[str, Any] = {}
    for (*above, label), item in specs.items():
        level = index
        for name in above:
            level = level.setdefault(name, {})
        level[label] = item
    return json.dumps(index, sort_keys=True).encode("ascii")


def _kept_items(stayed: Iterable[Image], meta: bytes) -> dict[_Spec, _Item]:
    """What the last ``maas.meta`` says of images whose version before stays."""
    found = {}
    for image in stayed:
        for subarch in (*_own(image), *_further(image)):
            spec = _spec(image, subarch)
            level: Any = _parsed(meta)
            for name in spec:
                level = level.get(name) if isinstance(level, dict) else None
            if isinstance(level, dict):
                found[spec] = level
    return found


def _parsed(meta: bytes) -> Any:
    try:
        return json.loads(meta)
    except ValueError:  # none, or damaged: it only costs these entries
        return None


def _own(image: Image) -> list[str]:
    return ["generic" if image.bootloader_type is not None else image.key.subarch]


def _further(image: Image) -> list[str]:
    return [ImageKey.parse(directory).subarch for directory in further_directories(image)]


def _answered(image: Image) -> Sequence[str]:
    return image.subarches


def _spec(image: Image, subarch: str) -> _Spec:
    key = image.key
    if image.bootloader_type is not None:
        return (key.os, key.arch, subarch, "bootloader", image.bootloader_type, key.label)
    return (key.os, key.arch, subarch, image.kflavor or "generic", key.release, key.label)


def _item(image: Image) -> _Item:
    item = {"version_name": image.version, "subarches": ",".join(image.subarches)}
    if image.title:
        item["release_title"] = image.title
    path = image.files[0].upstream_path if image.files else None
    if path is not None:
        item["path"] = path
    return item
