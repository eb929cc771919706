"""Fetches one blob from the regions into the library: first its digest list, then its bytes.

The digest list is named by its own SHA-256 in the image document and is thus fetched and
verified like any other bytes, only into memory.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IAgent

from common.digests import DIGEST_BYTES, RunningDigest, chunk_count
from common.errors import TransferError
from common.fetching import Hashing, Limits, Sink, fetch
from common.origins import HttpOrigin
from common.transfer import Goal
from rackd.library import Library
from rackd.mirror import Content

ALONE = Limits(stall_timeout_s=30.0, max_attempts=5)
"""With one region there is nobody to turn to: be patient with it."""

AMONG_OTHERS = Limits(stall_timeout_s=4.0, head_timeout_s=5.0, connect_timeout_s=4.0)
"""With several, a dead one is left within 5 seconds."""


class Regions(Protocol):
    """Where blobs are to be had; ``rackd.region_client`` is one."""

    @property
    def agent(self) -> IAgent:
        """Makes requests with the rack's certificate."""

    def image_bases(self) -> list[str]:
        """The base URLs of all known regions, the best first."""


class ListSink:
    """Keeps a few bytes in memory (a ``Sink`` of ``common.fetching``)."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    @property
    def content(self) -> bytes:
        """What was written."""
        return b"".join(self._parts)

    async def resume(self) -> RunningDigest:
        """What is here."""
        running = RunningDigest()
        running.add_all(self._parts)
        return running

    async def write(self, chunks: list[bytes], digests: list[bytes]) -> None:  # noqa: ARG002  (a sink's signature)
        """Keep the next chunks."""
        self._parts += chunks

    async def restart(self) -> None:
        """Forget everything."""
        self._parts.clear()

    async def finish(self, digests: bytes) -> None:
        """All is here."""


class BlobFetcher:
    """Fetches blobs for ``rackd.transfers``.

    Args:
        regions: where blobs are to be had.
        library: where they go.
        clock: for stalls and back-off.
        random: jitter, in [0, 1).
        hashing: runs hashing away from the reactor.
    """

    def __init__(
        self,
        regions: Regions,
        library: Library,
        *,
        clock: IReactorTime,
        random: Callable[[], float],
        hashing: Hashing,
    ) -> None:
        self._regions = regions
        self._library = library
        self._clock = clock
        self._random = random
        self._hashing = hashing

    async def fetch(self, file: Content, progress: Callable[[int], None]) -> None:
        """Get ``file`` into the cache; ``progress`` is told the bytes held so far.

        Raises:
            TransferError: no region is known, or none gave the bytes.
            IntegrityError: the regions have other bytes than the image document says.
            NoSpace, StorageError: the disk.
        """
        url = f"/blobs/{file.sha256}"
        entries = max(1, chunk_count(file.size_bytes))
        listed = ListSink()
        goal = Goal(
            file.digests_sha256, entries * DIGEST_BYTES, None, f"digest list of {file.name}"
        )
        await self._get(f"{url}/digests", goal, listed, lambda _: None)
        sink = self._library.sink(file, listed.content)
        goal = Goal(file.sha256, file.size_bytes, listed.content, file.name)
        try:
            await self._get(url, goal, sink, progress)
        finally:
            await sink.close()

    async def _get(
        self,
        path: str,
        goal: Goal,
        sink: Sink,
        progress: Callable[[int], None],
    ) -> None:
        bases = self._regions.image_bases()
        if not bases:
            raise TransferError(
                "no region is known that has it",
                object=goal.object,
                code="transfer-no-region",
                remedy="it is tried again when a region answers",
            )
        await fetch(
            goal,
            [HttpOrigin(self._regions.agent, base.rstrip("/") + path) for base in bases],
            sink,
            clock=self._clock,
            random=self._random,
            hashing=self._hashing,
            limits=ALONE if len(bases) == 1 else AMONG_OTHERS,
            progress=progress,
        )
