"""Fetches one blob from the regions into the library: first its digest list, then its bytes.

The digest list is named by its own SHA-256 in the image document and is thus fetched and
verified like any other bytes, only into memory.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from common.digests import DIGEST_BYTES, RunningDigest, chunk_count
from common.errors import TransferError
from common.fetching import Limits, Origin, Sink, fetch
from common.pools import Threads
from common.throttle import Throttle
from common.transfer import Goal
from rackd.library import Library
from rackd.mirror import Content

ALONE = Limits(stall_timeout_s=30.0, max_attempts=5)
"""With one region there is nobody to turn to: be patient with it."""

AMONG_OTHERS = Limits(stall_timeout_s=3.0, head_timeout_s=4.0)
"""With several, a dead one is left within 4 seconds, so that bytes flow again within 5."""


class Transport(Protocol):
    """How bytes come from the regions: ``rackd.https_blobs`` or ``rackd.amp_blobs``."""

    @property
    def has_others(self) -> bool:
        """Whether there is anybody to turn to when one fails."""

    def origins(self, sha256: str, size_bytes: int, *, of_digests: bool) -> Sequence[Origin]:
        """Where to get a blob of that size, or its digest list; the best first."""

    def failed(self, origin: str) -> None:
        """That origin did not answer, or broke off."""


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
        transport: how they come.
        library: where they go.
        clock: for stalls and back-off.
        random: jitter, in [0, 1).
        hashing: runs hashing away from the reactor.
        throttle: limits the rate of all of it together.
        wasted: told how many bytes a transfer threw away.
    """

    def __init__(
        self,
        transport: Transport,
        library: Library,
        *,
        clock: IReactorTime,
        random: Callable[[], float],
        hashing: Threads,
        throttle: Throttle,
        wasted: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._transport = transport
        self._library = library
        self._clock = clock
        self._random = random
        self._hashing = hashing
        self._throttle = throttle
        self._wasted = wasted

    async def fetch(self, file: Content, progress: Callable[[int], None]) -> None:
        """Get ``file`` into the cache; ``progress`` is told the bytes held so far.

        Raises:
            TransferError: no region is known, or none gave the bytes.
            IntegrityError: the regions have other bytes than the image document says.
            NoSpace, StorageError: the disk.
        """
        transport = self._transport
        entries = max(1, chunk_count(file.size_bytes))
        listed = ListSink()
        goal = Goal(
            file.digests_sha256, entries * DIGEST_BYTES, None, f"digest list of {file.name}"
        )
        origins = transport.origins(file.sha256, goal.size_bytes, of_digests=True)
        await self._get(origins, goal, listed, lambda _: None)
        sink = self._library.sink(file, listed.content)
        goal = Goal(file.sha256, file.size_bytes, listed.content, file.name)
        origins = transport.origins(file.sha256, goal.size_bytes, of_digests=False)
        try:
            await self._get(origins, goal, sink, progress)
        finally:
            await sink.close()

    async def _get(
        self,
        origins: Sequence[Origin],
        goal: Goal,
        sink: Sink,
        progress: Callable[[int], None],
    ) -> None:
        if not origins:
            raise TransferError(
                "no region is known that has it",
                object=goal.object,
                code="transfer-no-region",
                remedy="it is tried again when a region answers",
            )
        await fetch(
            goal,
            origins,
            sink,
            clock=self._clock,
            random=self._random,
            hashing=self._hashing,
            limits=AMONG_OTHERS if self._transport.has_others else ALONE,
            progress=progress,
            throttles=lambda _: (self._throttle,),
            failed=self._transport.failed,
            wasted=self._wasted,
        )
