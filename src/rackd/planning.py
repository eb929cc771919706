"""What a rack must do to hold a view: what to fetch, link and delete (pure).

The tree is MAAS's: ``<os>/<arch>/<subarch>/<release>/<label>/<name>``. One directory
belongs to one image, never to two, so that a kernel cannot stand beside another image's
initrd. An image may also stand in further directories:

* under ``generic``, if its kernel flavour is generic and its subarch is the GA kernel's
  (``ga-*``, or ``hwe-<first letter of the release>`` as it was called earlier);
* under ``<first>-rolling[-<rest>]`` instead of ``<first>-<version>[-<rest>]``, if it is
  rolling;
* a bootloader stands in ``bootloader/<type>/<arch>`` and nowhere else.

An archive stands nowhere itself: its members stand where it would (``rackd.tree``).

What is selected is never deleted, nor what a snapshot shows (``rackd.retention``). Of what
was put aside because it is damaged, the newest stays for a look at it, as long as there is room.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from common.images import File, Image
from common.names import is_segment
from rackd.mirror import Content, Mirror, Mirrored, lay_out_mirror
from rackd.records import HeldFile

MOST_ASIDE = 100
MOST_ASIDE_BYTES = 1 << 30

ARCHIVE = "archive.tar.xz"
"""The file type of an archive whose members stand in its image's directory."""

UNPACKED_SIZES = 4
"""How much room the members of an archive are taken to need, in sizes of the archive.

Real bootloader archives unpack to between two and four times their size.
"""

# What stands in the root of the tree beside the operating systems (rackd.tree).
_RESERVED = frozenset(
    {"boot.ipxe", "bootloader", "current", "grub", "maas.meta", "mirror", "pxelinux.cfg"}
)


@attrs.frozen
class HeldSnapshot:
    """A snapshot on the disk, and the blobs that its record names."""

    name: str
    made_at: float
    blobs: frozenset[str] = frozenset()


@attrs.frozen
class Damaged:
    """A blob that was put aside because its bytes were wrong: its name there, size and when."""

    name: str
    size_bytes: int
    since_s: float


@attrs.frozen
class Holdings:
    """What is on the disk.

    Attributes:
        cache: finished blobs and their sizes in bytes, by SHA-256.
        partials: begun blobs and their sizes in bytes so far, by SHA-256.
        snapshots: all complete snapshots.
        current: the name of the snapshot that machines see; "" for none.
        free_bytes: what may still be written (a reserve is already taken off).
        damaged: what was put aside, without what is not ours.
    """

    cache: Mapping[str, int] = attrs.field(factory=dict)
    partials: Mapping[str, int] = attrs.field(factory=dict)
    snapshots: tuple[HeldSnapshot, ...] = ()
    current: str = ""
    free_bytes: int = 0
    damaged: tuple[Damaged, ...] = ()


@attrs.frozen
class Skipped:
    """An image that cannot be laid out, and why."""

    image: str
    reason: str


@attrs.frozen
class Layout:
    """Which file stands at which path, and what could not be laid out.

    ``archives`` are at the paths where they would stand, and do not. ``mirror`` stands
    beside the tree of the images.
    """

    files: Mapping[str, File]
    skipped: tuple[Skipped, ...] = ()
    archives: Mapping[str, File] = attrs.field(factory=dict)
    mirror: Mirror = attrs.field(factory=Mirror)

    @property
    def contents(self) -> tuple[Content, ...]:
        """All that the tree needs, in the order of its paths; some of it more than once."""
        images = (*self.files.values(), *self.archives.values())
        return (*images, *self.mirror.files.values())

    @property
    def blobs(self) -> frozenset[str]:
        """The blobs that the tree needs."""
        return frozenset(each.sha256 for each in self.contents)

    @property
    def held_files(self) -> dict[str, HeldFile]:
        """The tree as a snapshot's record has it."""
        return {path: HeldFile(f.sha256, f.size_bytes) for path, f in self.files.items()}


@attrs.frozen
class SyncPlan:
    """What to do.

    Attributes:
        layout: the tree to link once everything is there.
        fetch: each missing blob once: first what was begun, then image by image.
        suspect: blobs whose size on the disk is wrong; to be put aside and fetched.
        need_bytes: what fetching will add to the disk.
        missing_bytes: how much of that, and of what is unpacked then, does not fit.
    """

    layout: Layout
    fetch: tuple[Content, ...]
    suspect: tuple[str, ...]
    need_bytes: int
    missing_bytes: int


@attrs.frozen
class CleanUp:
    """What to delete: names of snapshots, blobs of the cache and the partials, and aside."""

    snapshots: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()
    partials: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()


def plan(images: Sequence[Image], holdings: Holdings, mirrored: Mirrored | None = None) -> SyncPlan:
    """What it takes to hold exactly ``images``, and to mirror what is mirrored."""
    layout = lay_out(images, mirrored)
    wanted = {each.sha256: each for each in layout.contents}
    missing = [
        file for sha256, file in wanted.items() if holdings.cache.get(sha256) != file.size_bytes
    ]
    fetch = sorted(missing, key=lambda file: file.sha256 not in holdings.partials)
    need_bytes = sum(
        max(0, file.size_bytes - holdings.partials.get(file.sha256, 0)) for file in fetch
    )
    begun = {file.sha256 for file in fetch}
    archives = {file.sha256: file.size_bytes for file in layout.archives.values()}
    unpacked_bytes = UNPACKED_SIZES * sum(
        size_bytes for sha256, size_bytes in archives.items() if sha256 in begun
    )
    return SyncPlan(
        layout=layout,
        fetch=tuple(fetch),
        suspect=tuple(file.sha256 for file in fetch if file.sha256 in holdings.cache),
        need_bytes=need_bytes,
        missing_bytes=max(0, need_bytes + unpacked_bytes - holdings.free_bytes),
    )


def clean_up(
    wanted: Collection[str],
    holdings: Holdings,
    over: Collection[str] = (),
    *,
    is_short: bool = False,
) -> CleanUp:
    """What may go, when the blobs ``wanted`` are what is selected.

    A blob may go when neither the selection nor a remaining snapshot names it.

    Args:
        wanted: blobs.
        holdings: the disk.
        over: the snapshots that may go.
        is_short: whether room is missing, so that nothing that was put aside is worth it.
    """
    gone = {each.name for each in holdings.snapshots if each.name in over} - {holdings.current}
    kept = set(wanted)
    for snapshot in holdings.snapshots:
        if snapshot.name not in gone:
            kept |= snapshot.blobs
    return CleanUp(
        snapshots=tuple(sorted(gone)),
        cache=tuple(sorted(set(holdings.cache) - kept)),
        partials=tuple(sorted(set(holdings.partials) - set(wanted))),
        aside=_outlived(holdings.damaged, 0 if is_short else MOST_ASIDE_BYTES),
    )


def _outlived(damaged: Iterable[Damaged], most_bytes: int) -> tuple[str, ...]:
    """All but the newest that together have no more bytes."""
    newest = sorted(damaged, key=lambda each: each.since_s, reverse=True)
    sizes = itertools.accumulate(each.size_bytes for each in newest)
    kept = sum(size_bytes <= most_bytes for size_bytes in sizes) if most_bytes else 0
    return tuple(each.name for each in newest[min(kept, MOST_ASIDE) :])


def lay_out(images: Iterable[Image], mirrored: Mirrored | None = None) -> Layout:
    """The tree of ``images``, whatever order they come in, and its mirror."""
    owners: dict[str, Image] = {}
    skipped = []
    sizes: dict[str, int] = {}
    usable = []
    for image in sorted(images, key=precedence):
        reason = _unusable(image, sizes)
        if reason:
            skipped.append(Skipped(str(image.key), reason))
            continue
        sizes |= {file.sha256: file.size_bytes for file in image.files}
        usable.append(image)
    for image in usable:
        own = own_directory(image)
        if own in owners:
            skipped.append(Skipped(str(image.key), f"{own} belongs to {owners[own].key}"))
            continue
        owners[own] = image
    mirror = lay_out_mirror(owners.values(), mirrored or Mirrored())
    for image in list(owners.values()):
        # A directory that is an image's own is never taken by another's further name.
        for directory in further_directories(image):
            owners.setdefault(directory, image)
    files: dict[str, File] = {}
    archives: dict[str, File] = {}
    for directory, image in owners.items():
        for file in image.files:
            (archives if file.ftype == ARCHIVE else files)[f"{directory}/{file.name}"] = file
    return Layout(files, tuple(skipped), archives, mirror)


def precedence(image: Image) -> tuple[object, ...]:
    """GA kernels come first, so that ``generic`` is theirs before it is an HWE kernel's."""
    return (not image.key.subarch.startswith("ga-"), image.key, image.version)


def _unusable(image: Image, sizes: Mapping[str, int]) -> str:
    key = image.key
    if key.os.startswith("."):
        return f"{key.os} would be a hidden directory"
    if key.os in _RESERVED and image.bootloader_type is None:
        return f"{key.os} is not the name of an operating system here"
    if image.bootloader_type is not None and not is_segment(image.bootloader_type):
        return f"bootloader type {image.bootloader_type!r} cannot be a directory"
    names = [file.name for file in image.files]
    if len(set(names)) != len(names):
        return "two of its files have the same name"
    for file in image.files:
        if sizes.get(file.sha256, file.size_bytes) != file.size_bytes:
            return f"{file.name} has the SHA-256 of a file of another size"
    return ""


def own_directory(image: Image) -> str:
    """Where an image stands under its own name."""
    if image.bootloader_type is not None:
        return f"bootloader/{image.bootloader_type}/{image.key.arch}"
    return str(image.key)


def further_directories(image: Image) -> list[str]:
    """Where else an image stands."""
    key = image.key
    if image.bootloader_type is not None:
        return []
    names = []
    if image.kflavor == "generic" and (
        key.subarch.startswith("ga-") or key.subarch == f"hwe-{key.release[0]}"
    ):
        names.append("generic")
    if image.rolling:
        first, *rest = key.subarch.split("-")
        if rest:
            names.append("-".join((first, "rolling", *rest[1:])))
    return [str(attrs.evolve(key, subarch=name)) for name in names]
