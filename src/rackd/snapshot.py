"""Snapshots on the disk: built out of sight, shown by one rename and one flip.

A snapshot is a directory of hard links to the cache, with a few relative symbolic links in
its root that firmware asks for, and a record of itself inside. It is built under a hidden
name; every directory is synced; then it gets its name, and only then ``current`` points to
it. All functions here block.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import attrs

from common import durable
from common.errors import ProtocolError, RackferryError, StorageError
from rackd.records import RECORD_NAME, Record, snapshot_made_at, snapshot_name

CURRENT = "current"

_BUILDING = ".building-"
_MOST_RECORD_BYTES = 64 << 20


@attrs.frozen
class Snapshot:
    """A snapshot that is on the disk.

    Attributes:
        name: its directory.
        record: what it holds.
        is_complete: whether every path is there and is the blob that the record says.
    """

    name: str
    record: Record
    is_complete: bool = True


@attrs.frozen
class Recovered:
    """What a start found.

    Attributes:
        current: what machines see from now on; None when there is no snapshot at all.
        foreign: things that are not ours, still where they were found.
    """

    current: Snapshot | None
    foreign: tuple[Path, ...] = ()


def read_record(directory: Path) -> Record | None:
    """The record of a snapshot; None if it has none that can be read."""
    try:
        fd = durable.open_for_reading(directory / RECORD_NAME)
        with os.fdopen(fd, "rb") as file:
            return Record.from_document(file.read(_MOST_RECORD_BYTES))
    except (StorageError, ProtocolError, OSError):
        return None


def snapshot_names(images_dir: Path) -> list[str]:
    """The snapshots there are, oldest first. Links and plain files are none."""
    with durable.storage_errors(images_dir, "read"), os.scandir(images_dir) as entries:
        found = [
            (made_at, entry.name)
            for entry in entries
            if (made_at := snapshot_made_at(entry.name)) is not None
            and entry.is_dir(follow_symlinks=False)
        ]
    return [name for _, name in sorted(found)]


def build(images_dir: Path, cache: Path, record: Record, now_s: float) -> Snapshot:
    """Make a complete snapshot and give it its name; ``current`` stays as it is.

    What was begun and fails is removed: on a full disk each try would take a bit more.

    Raises:
        StorageError: a blob is not in the cache, or the disk refused.
        NoSpace: not even links fit.
    """
    taken = [path.name for path in images_dir.iterdir()]
    name = snapshot_name(now_s, record.generation, taken)
    building = images_dir / f"{_BUILDING}{name}"
    durable.remove_tree(building)
    try:
        _fill(building, cache, record)
        durable.rename_durably(building, images_dir / name)
    except BaseException:
        with contextlib.suppress(RackferryError):
            durable.remove_tree(building)
        raise
    return Snapshot(name, record)


def _fill(building: Path, cache: Path, record: Record) -> None:
    durable.make_directory(building)
    directories = {building}
    for path, file in record.files.items():
        target = building / path
        for parent in reversed(target.parents):
            if building in parent.parents and parent not in directories:
                durable.make_directory(parent, sync=False)
                directories.add(parent)
        durable.hard_link(cache / file.sha256, target)
    for link, path in record.links.items():
        durable.make_symlink(building / link, path)
    durable.write_durably(building / RECORD_NAME, record.to_document())
    missing, _ = inspect(building, cache, record)
    if missing:
        raise StorageError("is not what was linked there", object=str(building / missing[0]))
    for directory in directories:
        durable.sync_directory(directory)


def flip(images_dir: Path, name: str) -> None:
    """Let machines see the snapshot ``name``, in one atomic step."""
    durable.replace_symlink(images_dir / CURRENT, name)


def remove(images_dir: Path, name: str) -> None:
    """Delete a snapshot: first out of sight, so that no half of one is ever seen."""
    doomed = images_dir / f"{_BUILDING}{name}"
    durable.remove_tree(doomed)
    durable.rename_durably(images_dir / name, doomed)
    durable.remove_tree(doomed)


def inspect(directory: Path, cache: Path, record: Record) -> tuple[list[str], list[Path]]:
    """Compare a snapshot with its record.

    Returns:
        The paths that are missing, or are not the same file as their blob in the cache or
        the link that they should be, and everything that is not ours.
    """
    expected = {str(parent) for path in record.files for parent in Path(path).parents}
    right, foreign = set(), []
    for path, found in _walk(directory, expected):
        relative = str(path.relative_to(directory))
        file, link = record.files.get(relative), record.links.get(relative)
        if (file is not None and _is_blob(found, cache / file.sha256, file.size_bytes)) or (
            link is not None and _is_link(path, found, link)
        ):
            right.add(relative)
        elif relative != RECORD_NAME or not stat.S_ISREG(found.st_mode):
            foreign.append(path)
    return sorted({*record.files, *record.links} - right), foreign


def _walk(directory: Path, expected: set[str]) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below, except the expected directories themselves; links not followed."""
    pending = [directory]
    while pending:
        here = pending.pop()
        with durable.storage_errors(here, "read"), os.scandir(here) as entries:
            found = [(Path(entry.path), entry.stat(follow_symlinks=False)) for entry in entries]
        for path, status in found:
            if stat.S_ISDIR(status.st_mode) and str(path.relative_to(directory)) in expected:
                pending.append(path)
            else:
                yield path, status


def _is_blob(found: os.stat_result, blob: Path, size_bytes: int) -> bool:
    try:
        return os.path.samestat(found, blob.lstat()) and found.st_size == size_bytes
    except OSError:
        return False


def _is_link(path: Path, found: os.stat_result, target: str) -> bool:
    try:
        return stat.S_ISLNK(found.st_mode) and str(path.readlink()) == target
    except OSError:
        return False


def look(images_dir: Path, cache: Path) -> Recovered:
    """What is there, and what machines should see of it; nothing is changed.

    If ``current`` does not lead to a snapshot of ours, that is the newest complete one.
    """
    snapshots: dict[str, Snapshot] = {}
    foreign: list[Path] = []
    for name in snapshot_names(images_dir):
        record = read_record(images_dir / name)
        if record is None:
            foreign.append(images_dir / name)
            continue
        missing, strange = inspect(images_dir / name, cache, record)
        snapshots[name] = Snapshot(name, record, is_complete=not missing)
        foreign += strange
    complete = [None, *(each for each in snapshots.values() if each.is_complete)]
    return Recovered(snapshots.get(current_name(images_dir), complete[-1]), tuple(foreign))


def recover(images_dir: Path, cache: Path) -> Recovered:
    """After a start: remove what was half-built, and see to it that ``current`` resolves."""
    _remove_leftovers(images_dir)
    found = look(images_dir, cache)
    pointed = current_name(images_dir)
    if found.current is None or found.current.name != pointed:
        link = images_dir / CURRENT
        if os.path.lexists(link):
            durable.set_aside(link, images_dir / "aside")
        if found.current is not None:
            flip(images_dir, found.current.name)
    return found


def current_name(images_dir: Path) -> str:
    """Where ``current`` points, if it is a link to a sibling; else ""."""
    try:
        target = str((images_dir / CURRENT).readlink())
    except OSError:
        return ""
    return target if snapshot_made_at(target) is not None else ""


def _remove_leftovers(images_dir: Path) -> None:
    with durable.storage_errors(images_dir, "read"), os.scandir(images_dir) as entries:
        found = [Path(entry.path) for entry in entries]
    for path in found:
        if path.name.startswith(_BUILDING) and path.is_dir() and not path.is_symlink():
            durable.remove_tree(path)
        elif path.name.startswith(f".{CURRENT}.") and path.is_symlink():
            durable.remove_file(path)
