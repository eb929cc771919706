"""Chunks that were just read: N racks that fetch one image cost one database read.

A bounded cache, least recently used first out, in which a chunk is loaded once however
many ask for it meanwhile.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

LIMIT_BYTES = 64 << 20

Key = tuple[int, int]


class ChunkCache:
    """Chunks by (blob id, number), of which ``limit_bytes`` are kept.

    Args:
        load: reads a chunk; what it raises, everybody who waits for that chunk gets.
        limit_bytes: how much is kept; what is being loaded comes on top.

    Attributes:
        hits: how often a chunk was there, or on its way.
        loads: how often ``load`` was called.
    """

    def __init__(
        self, load: Callable[[int, int], Awaitable[bytes]], limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._load = load
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._waiting: dict[Key, list[Deferred[bytes]]] = {}
        self._outdated: set[Key] = set()
        self.hits = 0
        self.loads = 0

    async def get(self, blob_id: int, seq: int) -> bytes:
        """Chunk ``seq`` of a blob."""
        key = (blob_id, seq)
        chunk = self._kept.get(key)
        if chunk is not None:
            self._kept.move_to_end(key)
            self.hits += 1
            return chunk
        return await self._loaded(key)

    def forget(self, blob_id: int) -> None:
        """Keep nothing of a blob that is, or is being loaded: its chunks went bad."""
        for key in [key for key in self._kept if key[0] == blob_id]:
            self._kept_bytes -= len(self._kept.pop(key))
        self._outdated |= {key for key in self._waiting if key[0] == blob_id}

    def _loaded(self, key: Key) -> Deferred[bytes]:
        """Wait for the load of a chunk, which this begins if nobody has.

        Everybody waits on a Deferred of their own: one who gives up leaves the others, and
        the load, alone.
        """
        waiters = self._waiting.get(key)
        begin = waiters is None
        if waiters is None:
            waiters = self._waiting[key] = []
        else:
            self.hits += 1
        waiter: Deferred[bytes] = Deferred(waiters.remove)
        waiters.append(waiter)
        if begin:
            self.loads += 1
            ensureDeferred(self._read(key)).addBoth(self._arrived, key)
        return waiter

    async def _read(self, key: Key) -> bytes:
        return await self._load(*key)

    def _arrived(self, result: bytes | Failure, key: Key) -> None:
        waiters = self._waiting.pop(key)
        if key in self._outdated:
            self._outdated.remove(key)
        elif not isinstance(result, Failure):
            self._keep(key, result)
        while waiters:  # one that is told may let another give up
            waiters.pop(0).callback(result)  # a Failure goes to the errbacks

    def _keep(self, key: Key, chunk: bytes) -> None:
        self._kept[key] = chunk
        self._kept_bytes += len(chunk)
        while self._kept_bytes > self._limit_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)
