"""The store on both engines, in the caller's thread: one suite, two test cases.

class BlobSuite(Store): ...promises...
class BlobsOnSQLite(BlobSuite, OnSQLite): ...
class BlobsOnPostgreSQL(BlobSuite, OnPostgreSQL): ...
"""

import functools
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from common.digests import CHUNK_BYTES, RunningDigest
from common.images import ImageKey
from regiond.store import blob_writing, images, leases, publication
from regiond.store.database import Database
from regiond.store.threads import Inline
from tests.doubles import postgres

T = TypeVar("T")
NOW = 1_800_000_000.0
DAY_S = 86400.0


@functools.cache
def _empty_file() -> Path:
    """A new SQLite database, made once: copying it is quicker than making another."""
    file = Path(tempfile.mkdtemp(prefix="rf-store-")) / "empty.db"
    database = Database(f"sqlite:///{file}", None)
    for step in (database.open(), database.close()):
        finished(step)
    return file


def finished(work: Coroutine[Deferred[Any], Any, T]) -> T:
    """The result of work that needs no waiting."""
    results: list[Any] = []
    failures: list[Any] = []
    Deferred.fromCoroutine(work).addCallbacks(results.append, failures.append)
    if failures:
        failures[0].raiseException()
    return results[0]


@attrs.frozen
class Content:
    """Bytes with everything that is known of them."""

    chunks: tuple[bytes, ...]
    sha256: str
    size_bytes: int
    digests: bytes
    rows: tuple[tuple[bytes, bytes], ...]


@functools.cache
def content(size_bytes: int, seed: int = 0) -> Content:
    """Some bytes, different for each seed."""
    block = bytes([seed % 251, seed // 251, 7]) * (CHUNK_BYTES // 3 + 1)
    sizes = [CHUNK_BYTES] * (size_bytes // CHUNK_BYTES) + [size_bytes % CHUNK_BYTES]
    chunks = tuple(
        bytes([place % 256]) + block[: size - 1] for place, size in enumerate(sizes) if size
    )
    running = RunningDigest()
    digests = running.add_all(chunks)
    return Content(
        chunks,
        running.hexdigest(),
        size_bytes,
        running.digests,
        tuple(zip(chunks, digests, strict=True)),
    )


def key(release: str = "jammy", arch: str = "amd64") -> ImageKey:
    """An image's key."""
    return ImageKey("ubuntu", arch, "ga-22.04", release, "stable")


class Store:
    """What suites use; ``database`` is set by the engine's test case."""

    database: Database
    epoch: int

    def read(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return finished(self.database.read(work, *args, **kwargs))

    def write(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return finished(self.database.write(work, *args, **kwargs))

    def take_lease(self, holder: str = "region-1") -> int:
        epoch = self.write(leases.acquire, publication.IMPORT_LEASE, holder, NOW, 15.0)
        assert epoch is not None
        self.epoch = epoch
        return epoch

    def store(self, *contents: Content) -> None:
        """Complete blobs of these contents."""
        for each in contents:
            blob = self.write(blob_writing.claim_blob, each.sha256, each.size_bytes, self.epoch)
            if not blob.is_complete:
                self.write(blob_writing.append_chunks, blob.id, self.epoch, 0, each.rows)
                self.write(blob_writing.complete_blob, blob.id, self.epoch, each.digests)

    def stage(
        self,
        files: Sequence[Content],
        version: str = "20261101",
        of: ImageKey | None = None,
        now: float = NOW,
    ) -> int:
        needed = [
            images.NeededFile(f"file-{place}", "boot-kernel", each.sha256, each.size_bytes, 1, "a")
            for place, each in enumerate(files)
        ]
        new = images.NewImage(of or key(), version, needed, source_id=1)
        (image,) = self.write(images.stage_images, [new], now)
        return image

    def publish(
        self,
        files: Sequence[Content],
        version: str = "20261101",
        of: ImageKey | None = None,
        now: float = NOW,
    ) -> int:
        """Stage, store and publish an image; returns its id."""
        image = self.stage(files, version, of, now)
        self.store(*files)
        self.publish_staged(image, now=now)
        return image

    def publish_staged(self, image: int, epoch: int | None = None, now: float = NOW) -> int:
        """Publish a staged image; the generation, or raises why it was refused."""
        ids, epoch = [image], self.epoch if epoch is None else epoch
        published = self.write(publication.publish_images, ids, epoch, now)
        for why in published.refused.values():
            raise why
        return published.generation


class OnSQLite(SynchronousTestCase):
    """A new database in a file."""

    def setUp(self) -> None:
        super().setUp()
        directory = Path(tempfile.mkdtemp(prefix="rf-store-"))
        self.addCleanup(shutil.rmtree, directory)
        self.file = directory / "regiond.db"
        shutil.copy(_empty_file(), self.file)
        self.url = f"sqlite:///{self.file}"
        self.database = Database(self.url, None)
        finished(self.database.open())
        self.addCleanup(lambda: finished(self.database.close()))


class OnPostgreSQL(SynchronousTestCase):
    """An emptied database on the private server."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        postgres.server_url()

    def setUp(self) -> None:
        super().setUp()
        self.url = postgres.emptied()
        self.database = Database(self.url, None)
        finished(self.database.open())
        self.addCleanup(lambda: finished(self.database.close()))


class SlowDisk(Inline):
    """A place for syncs that ends one when the test says so.

    Attributes:
        waiting: the syncs that were asked for and have not ended, oldest first.
    """

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Wait for the test."""
        asked: Deferred[None] = Deferred()
        self.waiting.append(asked)
        return asked.addCallback(lambda _: work())
