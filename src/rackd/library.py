"""The rack's image directory: finished blobs, begun blobs, and snapshots.

    <images_dir>/cache/<sha256>          finished, 0444, name = content
                 partial/<sha256>.part   begun; see rackd.partials
                 snapshot-.../           see rackd.snapshot
                 current -> snapshot-...
                 aside/                  what was found and is not ours, which is never
                                         deleted; and damaged blobs, which are, by and by

Nothing is remembered between looks: ``survey`` reads the directories, so that what admins,
other programs and power cuts did to them is seen. Everything here blocks, except for the
sinks; it is called on a disk thread.
"""

import contextlib
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import attrs

from common import durable
from common.digests import sha256_hex
from common.errors import ConfigError, NoSpace, NotFound, SourceError, StorageError
from common.images import File
from common.pools import Threads
from rackd import archives, snapshot
from rackd.archives import Member
from rackd.examination import Examination
from rackd.filesystem import describe_file_system, free_bytes
from rackd.mirror import Content
from rackd.partials import PartialSink, keep_whole
from rackd.planning import CleanUp, Holdings
from rackd.records import HeldFile, KeptImage, Record, snapshot_generation
from rackd.snapshot import Snapshot
from rackd.survey import Places, PutAside, Survey, finished, look_around
from rackd.tree import META, Before

_OLD_RECORDS = 8


class Library:
    """A rack's image directory, locked for this process by ``open``.

    Args:
        images_dir: where everything is.
        on_disk: runs the sinks' hashing, writes and renames.
        on_sync: runs the sinks' syncs.
        recipe: by which generated files are made now; a tree made by another counts as not
            held, so that the next sync makes it anew.
        reserve_bytes: what is to stay free; None for a share of the file system.
    """

    def __init__(
        self,
        images_dir: Path,
        *,
        on_disk: Threads,
        on_sync: Threads,
        recipe: str = "",
        reserve_bytes: int | None = None,
    ) -> None:
        self._places = Places(images_dir)
        self.images_dir = images_dir
        self.recipe = recipe
        self.cache = self._places.cache
        self.aside = self._places.aside
        self.current: Snapshot | None = None
        self._on_disk = on_disk
        self._on_sync = on_sync
        self._reserve_bytes = reserve_bytes
        # A tree is shown, and what is damaged is taken out of all trees, by one thread at a time.
        self._turn = threading.Lock()
        self._lock: durable.Lock | None = None
        # Several threads ask; what was not found is not remembered.
        self._old_record = lru_cache(_OLD_RECORDS)(self._read_record)

    def open(self) -> tuple[PutAside, ...]:
        """Make, lock and probe the directory, and see to it that ``current`` resolves.

        Returns:
            What was put aside.

        Raises:
            ConfigError: another process has it, or its file system has no hard links.
            StorageError, NoSpace: it cannot be written or read; it may be tried again.
        """
        for directory in (self.images_dir, self.cache, self._places.partial):
            durable.make_directory(directory)
        self._lock = durable.lock_directory(self.images_dir)
        try:
            self._probe()
            recovered = snapshot.recover(self.images_dir, self.cache)
            put_aside = tuple(self._places.put_aside(path) for path in recovered.foreign)
        except BaseException:
            self.close()
            raise
        self.current = recovered.current
        return put_aside

    def _probe(self) -> None:
        """Raises ``ConfigError`` if there are no hard links."""
        has_hard_links = True
        with contextlib.suppress(NoSpace):  # a start on a full disk can free some of it
            has_hard_links = durable.has_hard_links(self.cache, self.images_dir)
        if not has_hard_links:
            raise ConfigError(
                f"its file system has no hard links: {describe_file_system(self.cache)}",
                object=str(self.images_dir),
                code="no-hard-links",
                remedy="put images_dir on one file system that has them (ext4, xfs, btrfs)",
            )

    def look(self) -> bool:
        """Show what is there although it cannot be written; whether there is anything.

        Nothing is changed. ``open`` may be tried again later.
        """
        with contextlib.suppress(StorageError):
            self.current = snapshot.look(self.images_dir, self.cache).current
        return self.current is not None

    @property
    def is_open(self) -> bool:
        """Whether it is locked for this process, and can be written."""
        return self._lock is not None

    def close(self) -> None:
        """Give up the lock; twice is fine."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    @property
    def held_view(self) -> str:
        """The digest of the view that is complete on the disk; "" for none."""
        current = self.current
        if current is None or not current.is_complete or current.record.recipe != self.recipe:
            return ""
        return current.record.view_digest

    def record(self, name: str) -> Record:
        """What a snapshot that may have been replaced shows. On any thread.

        Raises:
            NotFound: it is not on the disk any more.
        """
        current = self.current
        return current.record if current and current.name == name else self._old_record(name)

    def name_of_generation(self, generation: int) -> str:
        """The newest snapshot of a generation. On any thread.

        Raises:
            NotFound: there is none on the disk.
        """
        current = self.current
        if current is not None and current.record.generation == generation:
            return current.name
        for name in reversed(snapshot.snapshot_names(self.images_dir)):
            if snapshot_generation(name) == generation:
                return name
        raise NotFound(
            "this rack does not hold that generation (any more)", object=f"generation {generation}"
        )

    def record_with(self, path: str) -> Record:
        """The newest snapshot that shows ``path``. On any thread.

        Raises:
            NotFound: none on the disk does.
        """
        for name in reversed(snapshot.snapshot_names(self.images_dir)):
            with contextlib.suppress(NotFound):
                record = self.record(name)
                if path in record.shown:
                    return record
        raise NotFound("no tree on this rack's disk shows it", object=path)

    def _read_record(self, name: str) -> Record:
        record = snapshot.read_record(self.images_dir / name)
        if record is None:
            raise NotFound("this rack does not hold that snapshot any more", object=name)
        return record

    def survey(self) -> Survey:
        """Look at everything; put aside what is not ours."""
        # Not what the link says: whoever removes that must not make us delete the tree.
        current = self.current.name if self.current else ""
        return look_around(self._places, current, self.free_bytes())

    def free_bytes(self) -> int:
        """What may still be written."""
        return free_bytes(self.images_dir, self._reserve_bytes)

    def sink(self, file: Content, digests: bytes) -> PartialSink:
        """Where the bytes of ``file`` go; ``digests`` is its verified digest list."""
        return PartialSink(
            self._places.part(file.sha256),
            self.cache / file.sha256,
            file.size_bytes,
            digests,
            on_disk=self._on_disk,
            on_sync=self._on_sync,
        )

    def unpack(self, archive: File) -> tuple[Member, ...]:
        """Make blobs of the members of an archive that is in the cache.

        Raises:
            SourceError: it cannot be unpacked, as it was published; nothing of it was written.
            NoSpace, StorageError: the disk; or it went bad in the cache and was put aside.
        """
        path = self.cache / archive.sha256
        try:
            return archives.unpack(path, self._keep)
        except (SourceError, StorageError):
            examination = Examination(path, past_cache=False)
            try:
                examination.read_all()
            finally:
                examination.close()
            if not examination.fault:
                raise
            self.condemn(archive.sha256, examination.seen)
            raise blob_damaged(path, examination.fault) from None

    def keep(self, contents: Iterable[bytes]) -> None:
        """Make blobs of contents that were made here."""
        for content in contents:
            self._keep(Member("", sha256_hex(content), len(content)), iter((content,)))

    def _keep(self, member: Member, parts: Iterator[bytes]) -> None:
        path = self.cache / member.sha256
        if not _is_whole(path, member.size_bytes):
            keep_whole(self._places.part(member.sha256), path, parts)

    def publish(self, record: Record, now_s: float) -> Snapshot:
        """Build a snapshot of what ``record`` says, and let machines see it.

        One that cannot be shown is removed: each try would leave another.
        """
        with self._turn:
            built = snapshot.build(self.images_dir, self.cache, record, now_s)
            try:
                snapshot.flip(self.images_dir, built.name)
            except BaseException:
                if snapshot.current_name(self.images_dir) != built.name:
                    with contextlib.suppress(NoSpace, StorageError):
                        snapshot.remove(self.images_dir, built.name)
                raise
            self.current = built
        return built

    def before(self) -> Before | None:
        """The tree that machines see now, to make the next one; None if there is none."""
        if self.current is None:
            return None
        record = self.current.record
        lost = (each.sha256 for each in record.held_files if not self.has(each))
        return Before(record, frozenset(lost), self._content(record.files.get(META)))

    def _content(self, file: HeldFile | None) -> bytes:
        """The bytes of a small file of the tree; none if they cannot be had."""
        if file is None:
            return b""
        try:
            return (self.cache / file.sha256).read_bytes()
        except OSError:
            return b""

    def discard(self, clean_up: CleanUp) -> tuple[PutAside, ...]:
        """Delete what a clean-up names; foreign things in a snapshot are put aside first."""
        put_aside: list[PutAside] = []
        for name in clean_up.aside:
            durable.remove_file(self.aside / name)
        for name in clean_up.snapshots:
            directory = self.images_dir / name
            record = snapshot.read_record(directory)
            if record is None:
                put_aside.append(self._places.put_aside(directory))
                continue
            _, foreign = snapshot.inspect(directory, self.cache, record)
            put_aside += [self._places.put_aside(path) for path in foreign]
            snapshot.remove(self.images_dir, name)
        for sha256 in clean_up.cache:
            durable.remove_file(self.cache / sha256)
        for sha256 in clean_up.partials:
            durable.remove_file(self._places.part(sha256))
        return tuple(put_aside)

    def distrust(self, blobs: Iterable[str]) -> tuple[PutAside, ...]:
        """Put aside finished blobs that are not what their names say, and out of every tree."""
        with self._turn:
            # One may have been put aside, by a reader that found it wrong, since it was surveyed.
            return tuple(
                self._withdraw(sha256) for sha256 in blobs if os.path.lexists(self.cache / sha256)
            )

    def withdraw_cut(self, holdings: Holdings) -> tuple[StorageError, ...]:
        """Put aside what machines see and has another size than it should have.

        Args:
            holdings: the last survey.

        Returns:
            What was found, and what is gone altogether.
        """
        record = self.current.record if self.current else None
        found = []
        for file in {each.sha256: each for each in record.held_files}.values() if record else ():
            size_bytes = holdings.cache.get(file.sha256)
            if size_bytes == file.size_bytes:
                continue
            self.doubt(file)
            if size_bytes is not None:
                self.distrust((file.sha256,))
            has = "is gone" if size_bytes is None else f"has {size_bytes} bytes"
            found.append(blob_damaged(self.cache / file.sha256, f"{has}, not {file.size_bytes}"))
        return tuple(found)

    def condemn(self, sha256: str, seen: os.stat_result) -> PutAside | None:
        """Put aside a finished blob that was read and found wrong, and out of every tree.

        Args:
            sha256: its name.
            seen: of the file that was read.

        Returns:
            Where it is now; None if that file was replaced or removed meanwhile.
        """
        with self._turn:
            if not _is_same(self.cache / sha256, seen):
                return None
            return self._withdraw(sha256)

    def _withdraw(self, sha256: str) -> PutAside:
        path = self.cache / sha256
        damaged = path.lstat()
        put_aside = self._places.put_aside(path)
        # From here on a killed process leaves links that are not their blobs: a start sees that.
        for name in snapshot.snapshot_names(self.images_dir):
            record = snapshot.read_record(self.images_dir / name)
            for inner in record.paths_of(sha256) if record else ():
                if _is_same(self.images_dir / name / inner, damaged):
                    durable.remove_file(self.images_dir / name / inner)
        if self.current is not None and sha256 in self.current.record.blobs:
            self.current = attrs.evolve(self.current, is_complete=False)
        return put_aside

    def compare_tree(self) -> tuple[tuple[str, ...], tuple[PutAside, ...]]:
        """Look whether the tree that machines see is still what was linked there.

        What stands there and is not ours is put aside. If a path is missing, or was something
        else, the view counts as not held any more, so that the next sync makes the tree anew.

        Returns:
            these paths, and what was put aside.
        """
        with self._turn:
            current = self.current
            if current is None or not self.is_open:
                return (), ()
            directory, foreign = self.images_dir / current.name, list[Path]()
            wrong = list(current.record.files)
            if directory.is_dir():
                wrong, foreign = snapshot.inspect(directory, self.cache, current.record)
            if snapshot.current_name(self.images_dir) != current.name:
                wrong.insert(0, snapshot.CURRENT)
                link = self.images_dir / snapshot.CURRENT
                foreign += [link] if os.path.lexists(link) and not link.is_symlink() else []
            if wrong:
                self.current = attrs.evolve(current, is_complete=False)
            return tuple(wrong), tuple(self._places.put_aside(path) for path in foreign)

    def has(self, file: HeldFile) -> bool:
        """Whether a blob is there, in its size."""
        return _is_whole(self.cache / file.sha256, file.size_bytes)

    def held_bytes(self, image: KeptImage) -> int:
        """How much of an older version is there, in whole files."""
        return sum(file.size_bytes for file in image.files if self.has(file))

    def finished(self) -> dict[str, int]:
        """The finished blobs and their sizes in bytes, in the order of their names."""
        return finished(self.cache)

    def doubt(self, file: HeldFile) -> bool:
        """Look at a blob of the tree that could not be read.

        If it is gone or has another size, the view counts as not held any more, so that
        the next sync gets the blob again and builds the tree anew.

        Returns:
            Whether this is news.
        """
        with self._turn:
            current = self.current
            if (
                current is None
                or not current.is_complete
                or file.sha256 not in current.record.blobs
                or self.has(file)
            ):
                return False
            self.current = attrs.evolve(current, is_complete=False)
            return True


def blob_damaged(path: Path, reason: str) -> StorageError:
    """What to say of a finished blob that is not what its name says."""
    return StorageError(
        reason,
        object=str(path),
        code="blob-damaged",
        remedy="nothing; it is fetched again as soon as a region answers",
    )


def _is_same(path: Path, seen: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), seen)
    except FileNotFoundError:
        return False


def _is_whole(path: Path, size_bytes: int) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size_bytes
