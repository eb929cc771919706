"""Doubles of both ends of a transfer, in memory: sinks, origins, sources, hash threads."""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, succeed

from common.digests import CHUNK_BYTES, RunningDigest, chunk_count, digest_list, sha256_hex
from common.errors import RackferryError, TransferError
from common.inflow import Receiver
from common.transfer import Goal, Head

T = TypeVar("T")


def some_bytes(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that look random and are the same in every run."""
    return random.Random(seed).randbytes(size_bytes)


def chunks_of(content: bytes) -> list[bytes]:
    """Content in 1 MiB chunks."""
    return [content[n : n + CHUNK_BYTES] for n in range(0, len(content), CHUNK_BYTES)]


def goal_of(content: bytes, *, with_digests: bool = True, what: str = "image/file") -> Goal:
    """The goal whose bytes are ``content``."""
    digests = digest_list(chunks_of(content)) if with_digests else None
    return Goal(sha256_hex(content), len(content), digests, what)


def inline(work: Callable[[], T], /) -> Awaitable[T]:
    """A hash thread pool that hashes at once, on the caller's thread."""
    return succeed(work())


class MemorySink:
    """A sink of ``common.fetching`` that insists on the contract.

    Attributes:
        finished: the whole blob once ``finish`` was called, else None.
        gate: set to a Deferred to hold every write back until it fires.
        error: raised by the next write, once.
    """

    def __init__(self, held: bytes = b"") -> None:
        self.chunks = chunks_of(held)
        self.digests: list[bytes] = []
        self.finished: bytes | None = None
        self.digest_list = b""
        self.restarts = 0
        self.writing = 0
        self.most_chunks = 0
        self.gate: Deferred[None] | None = None
        self.error: Exception | None = None

    @property
    def held(self) -> bytes:
        """The bytes it holds."""
        return b"".join(self.chunks)

    async def resume(self) -> RunningDigest:
        running = RunningDigest()
        self.digests = running.add_all(self.chunks)
        return running

    async def write(self, chunks: list[bytes], digests: list[bytes]) -> None:
        assert not self.writing, "two writes at once"
        assert self.finished is None, "write after finish"
        assert chunks and len(chunks) == len(digests)
        assert all(len(chunk) == CHUNK_BYTES for chunk in (self.chunks + chunks)[:-1])
        self.most_chunks = max(self.most_chunks, len(chunks))
        self.writing += 1
        try:
            if self.gate is not None:
                await self.gate
            if self.error is not None:
                error, self.error = self.error, None
                raise error
            self.chunks += chunks
            self.digests += digests
        finally:
            self.writing -= 1

    async def restart(self) -> None:
        self.restarts += 1
        self.chunks, self.digests = [], []

    async def finish(self, digests: bytes) -> None:
        assert not self.writing, "finished during a write"
        assert self.finished is None, "finished twice"
        assert digests == digest_list(self.chunks)
        self.finished, self.digest_list = self.held, digests


@attrs.frozen
class Act:
    """How a ``MemoryOrigin`` treats one request; the default is to be right.

    Positions count from the first byte of the blob.
    """

    error: RackferryError | None = None  # instead of an answer
    silent: bool = False  # never answers
    status: int | None = None
    content_range: str | None = None
    content_length: int | None = None
    ignore_range: bool = False
    cut_at: int | None = None
    end_at: int | None = None
    stall_at: int | None = None
    corrupt_at: int | None = None
    extra: bytes = b""


class MemoryOrigin:
    """An origin that has ``content`` and plays ``acts`` first, one for each request."""

    def __init__(self, content: bytes, acts: list[Act] | None = None, name: str = "memory") -> None:
        self.name = name
        self.content = content
        self.acts = list(acts or [])
        self.offsets: list[int] = []
        self.bodies: list[MemoryBody] = []

    async def open(self, offset: int) -> "MemoryBody":
        self.offsets.append(offset)
        act = self.acts.pop(0) if self.acts else Act()
        if act.error is not None:
            raise act.error
        if act.silent:
            await Deferred()
        body = MemoryBody(self.content, offset, act)
        self.bodies.append(body)
        return body


class MemoryBody:
    """The body of one request; bytes flow on ``deliver`` and stop while paused."""

    PIECE_BYTES = 100_000  # odd on purpose: pieces never match chunks

    def __init__(self, content: bytes, offset: int, act: Act) -> None:
        size = len(content)
        whole = act.ignore_range or not offset
        status = act.status or (200 if whole else 206)
        first = 0 if whole else offset
        content_range = None if status != 206 else f"bytes {first}-{size - 1}/{size}"
        self.head = Head(
            status,
            act.content_range or content_range,
            size - first if act.content_length is None else act.content_length,
        )
        if act.corrupt_at is not None and act.corrupt_at < size:
            wrong = bytes([content[act.corrupt_at] ^ 1])
            content = content[: act.corrupt_at] + wrong + content[act.corrupt_at + 1 :]
        self._content = content + act.extra
        self._position = first
        self._act = act
        self._paused = self._pumping = False
        self._receiver: Receiver | None = None
        self.pauses = 0
        self.aborted = False

    def deliver(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._pump()

    def pause(self) -> None:
        self.pauses += 1
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._pump()

    def abort(self) -> None:
        self.aborted = True
        self._receiver = None

    def was_held(self) -> bool:
        return False

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        stops = [self._act.cut_at, self._act.end_at, self._act.stall_at, len(self._content)]
        stop = min(stop for stop in stops if stop is not None)
        while self._receiver is not None and not self._paused and self._position < stop:
            piece = self._content[self._position : min(stop, self._position + self.PIECE_BYTES)]
            self._position += len(piece)
            self._receiver.received(piece)
        if self._receiver is not None and self._position >= stop and not self._paused:
            if stop == self._act.cut_at:
                self._receiver.ended(TransferError("cut", code="transfer-cut", remedy="mend it"))
            elif stop != self._act.stall_at:
                self._receiver.ended(None)
        self._pumping = False


class MemorySource:
    """A source of ``common.serving``.

    Attributes:
        reads: the chunks that were read, in order.
        gates: Deferreds to wait for before giving a chunk, by number.
        errors: raised instead of giving a chunk, by number.
    """

    content_type = "application/octet-stream"

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size_bytes = len(content)
        self.etag = f'"{sha256_hex(content)}"'
        self.reads: list[int] = []
        self.gates: dict[int, Deferred[None]] = {}
        self.errors: dict[int, Exception] = {}

    async def read_chunk(self, seq: int) -> bytes:
        assert 0 <= seq < chunk_count(self.size_bytes)
        self.reads.append(seq)
        if seq in self.gates:
            await self.gates[seq]
        if seq in self.errors:
            raise self.errors[seq]
        return self.content[seq * CHUNK_BYTES : (seq + 1) * CHUNK_BYTES]
