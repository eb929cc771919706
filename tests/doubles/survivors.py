"""A rack's canonical sync, recorded, and what a start makes of each disk that it may leave.

Everything is a thousandth of its real size (a chunk is 1 KiB, a sync is due each 8 KiB), so
that the real code makes few operations and the states can be counted.
"""

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar
from unittest import mock

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from common import durable
from common.digests import sha256_hex
from common.errors import ProtocolError
from common.images import File, Image
from rackd.event_log import EventLog
from rackd.library import Library
from rackd.planning import ARCHIVE
from rackd.records import RECORD_NAME, Record, snapshot_made_at
from rackd.retention import RETENTION_S
from rackd.syncing import Syncing
from tests.doubles.disks import at_once
from tests.doubles.images import content, digests_of, file_of, image_of
from tests.doubles.power_cuts import Disk, Found, Operation, Said
from tests.doubles.recording import Recorder
from tests.doubles.regions import MemoryRegion
from tests.doubles.tarballs import tarball

T = TypeVar("T")

CHUNK_BYTES = 1 << 10
LOST_LIMIT_BYTES = 16 * CHUNK_BYTES
NOW_S = 1_795_295_000
FOREIGN = b"written by somebody else"

JAMMY = "ubuntu/amd64/ga-22.04/jammy/stable"
NOBLE = "ubuntu/amd64/ga-24.04/noble/stable"
PXE = "pxelinux/i386/pxe/any/stable"


class Violation(AssertionError):
    """A promise that a power cut broke."""


def demand(is_kept: object, promise: str) -> None:
    """Raise ``Violation`` unless a promise is kept."""
    if not is_kept:
        raise Violation(promise)


@contextmanager
def small_scale() -> Iterator[None]:
    """A thousandth of the real sizes."""
    sizes = {
        "common.digests.CHUNK_BYTES": CHUNK_BYTES,
        "rackd.partials.CHUNK_BYTES": CHUNK_BYTES,
        "rackd.partials.SYNC_EVERY_BYTES": 8 * CHUNK_BYTES,
        "rackd.partials.MOST_UNSYNCED_BYTES": 16 * CHUNK_BYTES,
        "tests.doubles.images.CHUNK_BYTES": CHUNK_BYTES,
    }
    with ExitStack() as stack:
        for name, size_bytes in sizes.items():
            stack.enter_context(mock.patch(name, size_bytes))
        yield


class SmallRegion(MemoryRegion):
    """Two generations, and their bytes, chunk by chunk.

    Attributes:
        blobs: the files of all images and their bytes.
        first, second: the digests of the views.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, tuple[File, bytes]] = {}
        self._turns: deque[Deferred[None]] = deque()
        squashfs = self._file("squashfs", content(41 * CHUNK_BYTES + 700, 1))
        kernel = self._file("boot-kernel", content(2 * CHUNK_BYTES + 300, 2))
        initrd = self._file("boot-initrd", content(19 * CHUNK_BYTES, 3))
        newer = self._file("boot-kernel", content(3 * CHUNK_BYTES, 4))
        archive = attrs.evolve(
            self._file("syslinux.tar.xz", tarball(("lpxelinux.0", b"pxe" * 300), ("a.c32", b"c"))),
            ftype=ARCHIVE,
        )
        noble = image_of(NOBLE, kernel, squashfs, version="1")
        pxe = image_of(PXE, archive, version="1", bootloader_type="pxe")

        def jammy(kernel: File, version: str) -> Image:
            # The big ones come first: nobody else's sync makes their names durable, then.
            return image_of(JAMMY, squashfs, initrd, kernel, version=version)

        self.first = self.publish(1, jammy(kernel, "1"), noble, pxe)
        self.second = self.publish(2, jammy(newer, "2"), noble, pxe)

    def _file(self, name: str, blob: bytes) -> File:
        file = file_of(name, blob)
        self.blobs[file.sha256] = (file, blob)
        return file

    def turn(self) -> "Deferred[None]":
        """Fires when everybody else had a turn, too."""
        turn: Deferred[None] = Deferred()
        self._turns.append(turn)
        return turn

    def beside(self, work: Callable[[], T], /) -> "Deferred[T]":
        """A thread that finishes a turn later."""
        return self.turn().addCallback(lambda _: work())

    def wait(self, work: "Deferred[T]") -> T:
        """Let everybody have their turns until ``work`` is done."""
        results: list[T | Failure] = []
        work.addBoth(results.append)
        while self._turns:
            self._turns.popleft().callback(None)
        (result,) = results
        if isinstance(result, Failure):
            result.raiseException()
        return result  # type: ignore[return-value]  # no failure

    async def fetch(self, library: Library, file: File) -> None:
        """Get a file into a library, each chunk in a turn of its own."""
        blob = self.blobs[file.sha256][1]
        sink = library.sink(file, digests_of(blob))
        try:
            at = (await sink.resume()).size_bytes
            while at < len(blob):
                await self.turn()
                await sink.write([blob[at : at + CHUNK_BYTES]], [])
                at += CHUNK_BYTES
            await sink.finish(b"")
        finally:
            await sink.close()

    def kept_bytes(self, library: Library, file: File) -> int:
        """How much of a begun file a transfer that resumes does not fetch again."""
        sink = library.sink(file, digests_of(self.blobs[file.sha256][1]))

        async def resumed() -> int:
            try:
                return (await sink.resume()).size_bytes
            finally:
                await sink.close()

        return self.wait(Deferred.fromCoroutine(resumed()))

    def syncing(self, library: Library, clock: Clock) -> Syncing:
        """Real syncs from here."""
        return Syncing(
            self,
            library,
            lambda file, _: self.fetch(library, file),
            clock=clock,
            now=clock.seconds,
            on_disk=at_once,
            events=EventLog(clock.seconds),
        )

    def sync(self, syncing: Syncing, digest: str) -> None:
        """Hold a view."""
        self.wait(Deferred.fromCoroutine(syncing.run(digest)))


def canonical_sync(region: SmallRegion, root: Path) -> list[Operation]:
    """What a rack does to its disk from its first start to two generations later.

    Two images that share a blob, and a bootloader in an archive; then a newer kernel, and at
    last the old tree and its blobs go. Somebody else writes into its directories, too.
    """
    recorder = Recorder(root)
    clock = Clock()
    clock.advance(NOW_S)
    with recorder.recording():
        library = Library(root, on_disk=at_once, on_sync=region.beside)
        library.open()
        durable.write_durably(library.cache / "readme.txt", FOREIGN)
        syncing = region.syncing(library, clock)
        for digest in (region.first, region.second):
            region.sync(syncing, digest)
            recorder.operations.append(Said(digest))
            directory = (root / "current").resolve()
            durable.write_durably(directory / f"{JAMMY}/notes.txt", FOREIGN)
            clock.advance(10)
        clock.advance(RETENTION_S)
        region.wait(Deferred.fromCoroutine(syncing.tidy()))
        library.close()
    return recorder.operations


# What is on a disk, before anybody starts

_sha256 = cache(sha256_hex)


@cache
def _record(document: bytes) -> Record | None:
    try:
        return Record.from_document(document)
    except ProtocolError:
        return None


def check_visible(found: Found) -> None:
    """What tftpd and nginx may see must be right at any moment, also before a start."""
    for path, (node, blob) in found.items():
        directory, _, name = path.rpartition("/")
        if directory == "cache" and len(name) == 64:
            demand(_sha256(blob) == name, f"{path} has other bytes")
        if not directory and snapshot_made_at(name) is not None and node.is_directory:
            _check_snapshot(found, name)
    if "current" in found:
        target = found["current"][0].target
        demand(target in found, f"current leads nowhere: {target}")


def _check_snapshot(found: Found, name: str) -> None:
    _, document = found.get(f"{name}/{RECORD_NAME}", (None, b""))
    record = _record(document)
    if record is None:
        raise Violation(f"{name} has no record")
    for path, file in record.files.items():
        _, blob = found.get(f"{name}/{path}", (None, b""))
        demand(_sha256(blob) == file.sha256, f"{name}/{path} is not complete")
    for link, target in record.links.items():
        node, _ = found.get(f"{name}/{link}", (None, b""))
        demand(node is not None and node.target == target, f"{name}/{link} is not complete")


def lay(found: Found, root: Path) -> None:
    """Make a tree."""
    made: dict[int, str] = {}
    base = f"{root}/"
    for path, (node, blob) in sorted(found.items()):
        here = base + path
        if node.is_directory:
            Path(here).mkdir()
        elif node.target:
            Path(here).symlink_to(node.target)
        elif node.number in made:
            os.link(made[node.number], here)
        else:
            fd = os.open(here, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(fd, blob)
            os.close(fd)
            made[node.number] = here


@attrs.frozen
class Survived:
    """What a start made of a disk: the view that is held, and what is kept of each blob."""

    held_view: str
    kept_bytes: Mapping[str, int]


class Starts:
    """Starts on one disk after the other.

    Args:
        region: whose views they are.
        root: an empty directory, best in memory.
        complete_every: each how many-th start is followed by a whole sync.

    Attributes:
        distinct: different disks so far.
        completed: of them, those that were followed by a whole sync.
    """

    def __init__(self, region: SmallRegion, root: Path, complete_every: int) -> None:
        self._region = region
        self._root = root
        self._complete_every = complete_every
        self._seen: dict[int, Survived] = {}
        self.completed = 0

    @property
    def distinct(self) -> int:
        """Different disks so far."""
        return len(self._seen)

    def start(self, found: Found) -> Survived:
        """Start on this disk, unless an equal one was started on before.

        Raises:
            Violation: of a promise that holds whatever was going on.
        """
        key = hash(frozenset((path, node, blob) for path, (node, blob) in found.items()))
        if key not in self._seen:
            check_visible(found)
            self._root.mkdir()
            try:
                lay(found, self._root)
                self._seen[key] = self._started(found)
            finally:
                shutil.rmtree(self._root)
        return self._seen[key]

    def _started(self, found: Found) -> Survived:
        clock = Clock()
        clock.advance(NOW_S + 3 * RETENTION_S)
        region = self._region
        library = Library(self._root, on_disk=at_once, on_sync=at_once)
        try:
            put_aside = [each.now for each in library.open()]
            survey = library.survey()
            put_aside += [each.now for each in survey.put_aside]
            demand(not library.withdraw_cut(survey.holdings), "damage was found")
            for path in put_aside:
                demand(".txt" in path.name, f"its own {path.name} was put aside")
            self._check_foreign(found)
            self._check_shown(library)
            held_view = library.held_view
            kept = dict(survey.holdings.cache)
            for sha256 in survey.holdings.partials.keys() & region.blobs.keys():
                file, _ = region.blobs[sha256]
                kept[sha256] = max(kept.get(sha256, 0), region.kept_bytes(library, file))
            if self.distinct % self._complete_every == 0:
                self._complete(library, clock)
        finally:
            library.close()
        return Survived(held_view, kept)

    def _check_foreign(self, found: Found) -> None:
        before = sum(blob == FOREIGN for _, blob in found.values())
        after = [path for path in self._root.rglob("*") if path.is_file()] if before else []
        there = {path.lstat().st_ino for path in after if path.read_bytes() == FOREIGN}
        demand(len(there) >= bool(before), "what somebody else wrote is gone")

    def _check_shown(self, library: Library) -> None:
        link = self._root / "current"
        if library.current is None:
            demand(not os.path.lexists(link), "current shows what is none")
            return
        demand(library.current.is_complete, f"{library.current.name} is shown incomplete")
        demand(str(link.readlink()) == library.current.name, "current shows another one")

    def _complete(self, library: Library, clock: Clock) -> None:
        self.completed += 1
        self._region.sync(self._region.syncing(library, clock), self._region.second)
        demand(library.held_view == self._region.second, "a sync did not end")
        self._check_shown(library)
        for path in library.cache.iterdir():
            demand(sha256_hex(path.read_bytes()) == path.name, f"{path.name} has other bytes")


def check_losses(disk: Disk, survived: Survived, views: list[str], blobs: frozenset[str]) -> None:
    """Nothing that was said to be held is lost, and of begun blobs no more than the limit.

    Args:
        disk: at the moment of the power cut.
        survived: what a start made of what it left.
        views: in the order in which they were held.
        blobs: those that were fetched.
    """
    rank = {"": -1} | {digest: number for number, digest in enumerate(views)}
    said = max((rank[each] for each in disk.said), default=-1)
    demand(rank[survived.held_view] >= said, "a view that was held is lost")
    for path, (_, blob) in disk.now().items():
        directory, _, name = path.partition("/")
        sha256 = name.removesuffix(".part")
        if directory in {"cache", "partial"} and sha256 in blobs:
            lost = len(blob) - survived.kept_bytes.get(sha256, 0)
            demand(lost <= LOST_LIMIT_BYTES, f"{lost} bytes of {path} are lost")
