"""A region as a rack's follower sees it, in memory."""

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred

from common.digests import sha256_hex
from common.errors import NotFound, RackferryError
from common.images import Image, SourceDocument, View, ViewImage
from rackd.library import Library
from rackd.mirror import Content
from tests.doubles.images import digests_of


class MemoryRegion:
    """Publishes views; remembers what it was asked and told.

    Attributes:
        failure: raised by every question while it is set.
        asked: each ``held`` of ``current_view``, in order.
        syncs: each report, in order.
        progress: each progress report, in order.
    """

    def __init__(self) -> None:
        self.failure: RackferryError | None = None
        self.asked: list[str] = []
        self.syncs: list[tuple[int, str, str]] = []
        self.progress: list[tuple[int, int, int]] = []
        self.read: list[str] = []
        self.documents: dict[str, bytes] = {}
        self.view = (0, "")

    def publish(
        self,
        generation: int,
        *images: Image,
        documents: Mapping[str, Mapping[str, SourceDocument]] | None = None,
        superseded: Sequence[Image] = (),
        kept: Sequence[Image] = (),
    ) -> str:
        """A new view of these images, of what is mirrored and what is kept; its digest."""
        every = (*images, *superseded, *kept)
        names = {image: sha256_hex(image.to_document()) for image in every}
        self.documents |= {name: image.to_document() for image, name in names.items()}
        view = View(
            generation,
            {str(image.key): ViewImage(image.version, names[image]) for image in images},
            documents or {},
            tuple(names[image] for image in superseded),
            tuple(names[image] for image in kept),
        )
        self.documents[view.digest] = view.to_document()
        self.view = (generation, view.digest)
        return view.digest

    async def current_view(self, held: str) -> tuple[int, str]:
        self.asked.append(held)
        self._fail()
        return self.view

    async def document(self, sha256: str) -> bytes:
        self._fail()
        self.read.append(sha256)
        if sha256 not in self.documents:
            raise NotFound("no such document", object=sha256)
        return self.documents[sha256]

    async def report_progress(self, generation: int, fetched_bytes: int, total_bytes: int) -> None:
        self._fail()
        self.progress.append((generation, fetched_bytes, total_bytes))

    async def report_sync(self, generation: int, held: str, problem: str) -> None:
        self._fail()
        self.syncs.append((generation, held, problem))

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class Fetches:
    """Fetches blobs when the test says so, into a real library.

    Attributes:
        begun: the names of files, in the order in which they were begun.
        cancelled: the names of files that were let go of.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.blobs: dict[str, bytes] = {}
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self._running: dict[str, Deferred[None]] = {}
        self._progress: dict[str, Callable[[int], None]] = {}

    async def fetch(self, file: Content, progress: Callable[[int], None]) -> None:
        self.begun.append(file.name)
        self._running[file.name] = Deferred(lambda _: self.cancelled.append(file.name))
        self._progress[file.name] = progress
        try:
            await self._running[file.name]
        finally:
            del self._running[file.name]
        blob = self.blobs[file.sha256]
        sink = self.library.sink(file, digests_of(blob))
        await sink.resume()
        await sink.write([blob], [])
        await sink.finish(b"")
        await sink.close()

    @property
    def running(self) -> list[str]:
        """The names of the files that are being fetched."""
        return list(self._running)

    def tell(self, name: str, held_bytes: int) -> None:
        """Let a fetch say how far it is."""
        self._progress[name](held_bytes)

    def finish(self, name: str) -> None:
        """Let a fetch succeed."""
        self._running[name].callback(None)

    def finish_all(self) -> None:
        """Let all fetches succeed, and those that follow them."""
        while self._running:
            self.finish(next(iter(self._running)))

    def fail(self, name: str, error: RackferryError) -> None:
        """Let a fetch fail."""
        self._running[name].errback(error)
