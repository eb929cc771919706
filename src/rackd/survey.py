"""A look at a rack's image directory: what is held, and what is not ours.

It reads the directories anew each time, and puts aside what is foreign. It blocks.
"""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import attrs

from common import durable
from common.digests import is_sha256
from common.events import Event, Severity
from rackd import snapshot
from rackd.planning import Damaged, HeldSnapshot, Holdings
from rackd.records import snapshot_made_at

_PART = ".part"
_DAMAGED = re.compile(r"[0-9a-f]{64}(\.\d+)?")


@attrs.frozen
class PutAside:
    """Something that is not ours: where it stood, and where it is now."""

    path: Path
    now: Path


def foreign_file(found: PutAside) -> Event:
    """What to tell people of something that is not ours."""
    return Event(
        "foreign-file",
        Severity.WARNING,
        str(found.path),
        f"is not Rackferry's; moved to {found.now}",
        "look at it and delete it; nothing else may write there",
    )


@attrs.frozen
class Survey:
    """What a look at the disk found, and what it had to put aside."""

    holdings: Holdings
    put_aside: tuple[PutAside, ...] = ()


@attrs.frozen
class Places:
    """Where everything stands in an image directory."""

    images_dir: Path

    @property
    def cache(self) -> Path:
        """The finished blobs."""
        return self.images_dir / "cache"

    @property
    def partial(self) -> Path:
        """The begun ones."""
        return self.images_dir / "partial"

    @property
    def aside(self) -> Path:
        """What is not ours, and blobs that went bad."""
        return self.images_dir / "aside"

    def part(self, sha256: str) -> Path:
        """A begun blob."""
        return self.partial / f"{sha256}{_PART}"

    def put_aside(self, path: Path) -> PutAside:
        """Take something out of the way; it is not deleted."""
        return PutAside(path, durable.set_aside(path, self.aside))


def look_around(places: Places, current: str, free_bytes: int) -> Survey:
    """Look at everything; put aside what is not ours.

    Args:
        places: where.
        current: the name of the snapshot that machines see; "" for none.
        free_bytes: what may still be written.
    """
    put_aside: list[PutAside] = []
    cache = _sizes(places, places.cache, is_sha256, put_aside)
    partials = _sizes(places, places.partial, _is_partial_name, put_aside, links=1)
    put_aside += [places.put_aside(path) for path in _impostors(places.images_dir)]
    snapshots = []
    for name in snapshot.snapshot_names(places.images_dir):
        record = snapshot.read_record(places.images_dir / name)
        blobs = record.blobs if record else frozenset[str]()
        snapshots.append(HeldSnapshot(name, snapshot_made_at(name) or 0.0, blobs))
    holdings = Holdings(
        cache=cache,
        partials={name.removesuffix(_PART): size for name, size in partials.items()},
        snapshots=tuple(snapshots),
        current=current,
        free_bytes=free_bytes,
        damaged=_damaged(places.aside),
    )
    return Survey(holdings, tuple(put_aside))


def _sizes(
    places: Places,
    directory: Path,
    is_ours: Callable[[str], bool],
    put_aside: list[PutAside],
    links: int | None = None,
) -> dict[str, int]:
    sizes = {}
    for name, status in _entries(directory):
        is_plain = stat.S_ISREG(status.st_mode) and links in {None, status.st_nlink}
        if is_ours(name) and is_plain:
            sizes[name] = status.st_size
        else:
            put_aside.append(places.put_aside(directory / name))
    return sizes


def _damaged(aside: Path) -> tuple[Damaged, ...]:
    """The blobs that were put aside: plain files that are still called as in the cache."""
    if not aside.is_dir():
        return ()
    return tuple(
        Damaged(name, status.st_size, status.st_ctime)
        for name, status in _entries(aside)
        if _DAMAGED.fullmatch(name) and stat.S_ISREG(status.st_mode)
    )


def finished(cache: Path) -> dict[str, int]:
    """The finished blobs and their sizes in bytes, in the order of their names."""
    return {
        name: status.st_size
        for name, status in sorted(_entries(cache), key=lambda each: each[0])
        if is_sha256(name) and stat.S_ISREG(status.st_mode)
    }


def _impostors(images_dir: Path) -> list[Path]:
    """Things with a snapshot's name that are no directories."""
    with durable.storage_errors(images_dir, "read"), os.scandir(images_dir) as found:
        return [
            Path(entry.path)
            for entry in found
            if snapshot_made_at(entry.name) is not None and not entry.is_dir(follow_symlinks=False)
        ]


def _entries(directory: Path) -> list[tuple[str, os.stat_result]]:
    with durable.storage_errors(directory, "read"), os.scandir(directory) as entries:
        return [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]


def _is_partial_name(name: str) -> bool:
    return name.endswith(_PART) and is_sha256(name.removesuffix(_PART))
