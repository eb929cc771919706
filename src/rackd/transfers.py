"""Runs the transfers of a plan, a few at a time, and lets go of what is no longer wanted."""

from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from typing import TYPE_CHECKING, cast

from twisted.internet.defer import CancelledError, Deferred, DeferredList

from common.errors import NoSpace, RackferryError, StorageError
from rackd.mirror import Content

if TYPE_CHECKING:
    from twisted.python.failure import Failure

AT_ONCE = 2
"""The second fills the pauses of the first (``python -m bench.transfers`` tells by how much).

A busy machine moves more with four, but each open file may cost 16 MiB after a kill.
"""

FetchBlob = Callable[[Content, Callable[[int], None]], Awaitable[None]]
"""Gets one file into the library; the second argument is told the bytes held so far."""


_MOST_NAMED = 10


def as_one(problems: Sequence[RackferryError]) -> RackferryError:
    """Several failures of one sync as one that counts and names them; the disk's come first."""
    ordered = sorted(problems, key=lambda each: not isinstance(each, NoSpace | StorageError))
    error = ordered[0]
    if len(ordered) == 1:
        return error
    named = "; ".join(f"{each.object}: {each.message}" for each in ordered[:_MOST_NAMED])
    more = "; and more" if len(ordered) > _MOST_NAMED else ""
    is_same = len({each.code for each in ordered}) == 1 or isinstance(error, NoSpace)
    return type(error)(
        f"{len(ordered)} files could not be fetched: {named}{more}",
        object="sync",
        code=error.code if is_same else "sync-incomplete",
        remedy=error.remedy,
    )


class Transfers:
    """The transfers of one plan.

    Args:
        fetch: gets one file.
        files: what to get, in this order.
        held: bytes that are there already of begun files, by SHA-256.

    Attributes:
        fetched_bytes: what came since.
    """

    def __init__(self, fetch: FetchBlob, files: Iterable[Content], held: dict[str, int]) -> None:
        self._fetch = fetch
        self._files = tuple(files)
        self._waiting = deque(self._files)
        self._running: dict[str, Deferred[None]] = {}
        self._abandoned: set[str] = set()
        self._held = {file.sha256: held.get(file.sha256, 0) for file in self._files}
        self.fetched_bytes = 0
        self.problems: list[RackferryError] = []

    @property
    def total_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self._files)

    @property
    def held_bytes(self) -> int:
        """What is there of them."""
        return sum(self.held_bytes_each.values())

    @property
    def held_bytes_each(self) -> dict[str, int]:
        """What is there of each, by its SHA-256."""
        return {file.sha256: min(self._held[file.sha256], file.size_bytes) for file in self._files}

    @property
    def is_abandoned(self) -> bool:
        """Whether something was let go of."""
        return bool(self._abandoned)

    def abandon(self, keep: Container[str]) -> None:
        """Let go of all files that are not in ``keep``; what is there of them stays."""
        gone = [file for file in self._waiting if file.sha256 not in keep]
        self._abandoned |= {file.sha256 for file in gone}
        self._waiting = deque(file for file in self._waiting if file.sha256 in keep)
        for sha256, running in list(self._running.items()):
            if sha256 not in keep:
                self._abandoned.add(sha256)
                running.cancel()

    async def run(self) -> None:
        """Get all files. One that fails costs no other, unless the disk is the reason.

        What failed is in ``problems`` afterwards. When this is cancelled, all transfers
        are, and it returns after the last has let go of its files.
        """
        workers = [Deferred.fromCoroutine(self._work()) for _ in range(AT_ONCE)]
        for succeeded, result in await DeferredList(workers, consumeErrors=True):
            if not succeeded:
                cast("Failure", result).raiseException()

    async def _work(self) -> None:
        while self._waiting:
            file = self._waiting.popleft()
            running = Deferred.fromCoroutine(self._one(file))
            self._running[file.sha256] = running
            try:
                await running
            except CancelledError:
                if file.sha256 not in self._abandoned:
                    raise
            except (NoSpace, StorageError) as error:
                self.problems.append(error)
                self._waiting.clear()
            except RackferryError as error:
                self.problems.append(error)
            finally:
                del self._running[file.sha256]

    async def _one(self, file: Content) -> None:
        def progress(held_bytes: int) -> None:
            self.fetched_bytes += max(0, held_bytes - self._held[file.sha256])
            self._held[file.sha256] = held_bytes

        await self._fetch(file, progress)
        progress(file.size_bytes)
