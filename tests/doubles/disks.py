"""A rack's disk for tests: a real directory, worked on without threads."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from unittest import mock

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from common.images import File
from rackd.library import Library
from tests.doubles.images import digests_of, file_of

T = TypeVar("T")


def at_once(work: Callable[[], T], /) -> "Deferred[T]":
    """Threads that need no time."""
    return maybeDeferred(work)


@contextmanager
def broken_at(path: Path, number: int = errno.EIO) -> Iterator[None]:
    """As long as it lasts, the disk cannot give one file; ``number`` says why."""
    opened = os.open

    def refuse(asked: str | Path, flags: int, *more: int) -> int:
        if Path(asked) == path:
            raise OSError(number, os.strerror(number), str(path))
        return opened(asked, flags, *more)

    with mock.patch("common.durable.os.open", refuse):
        yield


def mount_tmpfs(case: SynchronousTestCase, directory: Path, options: str) -> None:
    """Give ``directory`` a file system of its own for one test, if that is possible here."""
    if os.geteuid() != 0:
        raise SkipTest("only root may mount a file system")
    directory.mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    mounted = subprocess.run(argv, check=False, capture_output=True, text=True)
    if mounted.returncode:
        raise SkipTest(f"cannot mount here: {mounted.stderr.strip()}")
    case.addCleanup(subprocess.run, ["umount", "--lazy", str(directory)], check=True)


class SlowThreads:
    """Threads that finish when the test says so."""

    def __init__(self) -> None:
        self.pending: list[tuple[Deferred[None], Callable[[], object]]] = []

    def __call__(self, work: Callable[[], T], /) -> "Deferred[T]":
        turn: Deferred[None] = Deferred()
        self.pending.append((turn, work))
        return turn.addCallback(lambda _: work())

    def finish_one(self) -> None:
        """Let the oldest piece of work be done."""
        turn, _ = self.pending.pop(0)
        turn.callback(None)


class LibraryCase(SynchronousTestCase):
    """A test with an open library in a directory of its own.

    Attributes:
        reserve_bytes: what is to stay free.
    """

    reserve_bytes: int | None = None

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.images_dir = Path(directory.name) / "images"
        self.prepare()
        self.library = self.opened()

    def prepare(self) -> None:
        """What a kind of test does before there is a library."""

    def opened(self) -> Library:
        """A library on the directory, as after a start."""
        library = Library(
            self.images_dir, on_disk=at_once, on_sync=at_once, reserve_bytes=self.reserve_bytes
        )
        library.open()
        self.addCleanup(library.close)
        return library

    def reopened(self) -> Library:
        """The library after a restart."""
        self.library.close()
        self.library = self.opened()
        return self.library

    def put(self, name: str, blob: bytes) -> File:
        """A file whose blob is in the cache, put there as a transfer would."""
        file = file_of(name, blob)
        sink = self.library.sink(file, digests_of(blob))

        async def fill() -> None:
            await sink.resume()
            await sink.write([blob], [])
            await sink.finish(b"")
            await sink.close()

        self.successResultOf(Deferred.fromCoroutine(fill()))
        return file
