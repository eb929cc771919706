"""Serves bytes over HTTP/1.1: ranges, conditions, and a push producer that reads ahead.

Independent of where the bytes come from (``ByteSource``: chunk rows, a file) and of the
resource that was asked for. The two promises:

* What was begun is either sent whole or the connection is aborted: a reader can never take
  a failed read for the proper end of the bytes.
* Memory per reader is two chunks: the one being sent, and the one read ahead.
"""

import json
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from common.digests import CHUNK_BYTES, chunk_count
from common.errors import InternalError, RackferryError, RangeError, TimedOut, door_of
from common.ranges import Slice, requested_slice
from common.sockets import send_much

IMMUTABLE = "public, max-age=31536000, immutable"
"""Cache-Control of what is named by its content."""

SEND_TIMEOUT_S = 600.0
"""How long a reader may take for one chunk: 1 MiB in 10 minutes is 1.7 KiB/s."""

_CERTAINLY_FLUSHED_BYTES = 1 << 16
"""A transport pauses for a larger piece, and goes on when it has handed over all of it."""

_TYPES = {".json": "application/json", ".sjson": "text/plain; charset=utf-8"}

Pace = Callable[[int], Awaitable[int]]
"""Waits until some of that many bytes may be sent, and says how many."""

SendRest = Callable[[Slice], Awaitable[None]]
"""Sends a slice on a request's connection; what was written before is with the kernel."""

_log = Logger()


class ByteSource(Protocol):
    """Bytes that can be served.

    Attributes:
        size_bytes: all of them.
        etag: strong and quoted: the SHA-256 in quotation marks.
        content_type: of the whole.
    """

    @property
    def size_bytes(self) -> int: ...

    @property
    def etag(self) -> str: ...

    @property
    def content_type(self) -> str: ...

    async def read_chunk(self, seq: int) -> bytes:
        """Chunk ``seq`` (from 0): 1 MiB, the last one shorter."""


@attrs.frozen
class WholeBytes:
    """Something small as a ``ByteSource``. ``etag`` is quoted, and its alone."""

    etag: str
    content: bytes
    content_type: str = "application/octet-stream"

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return len(self.content)

    async def read_chunk(self, seq: int) -> bytes:
        """One chunk of it."""
        return self.content[seq * CHUNK_BYTES : (seq + 1) * CHUNK_BYTES]


@attrs.frozen
class Choice:
    """What to answer to a request: the status, and which bytes (None: no body)."""

    status: int
    slice: Slice | None


def choose(
    source: ByteSource,
    *,
    range_: str | None = None,
    if_range: str | None = None,
    if_none_match: str | None = None,
) -> Choice:
    """What RFC 9110 section 13.2 says to answer a GET with these headers.

    Raises:
        RangeError: malformed or unsatisfiable.
    """
    if if_none_match is not None and _matches(if_none_match, source.etag):
        return Choice(304, None)
    if if_range is not None and if_range.strip() != source.etag:
        range_ = None
    status, wanted = requested_slice(range_, source.size_bytes)
    return Choice(status, wanted)


def _matches(if_none_match: str, etag: str) -> bool:
    """The weak comparison of RFC 9110; our own tags contain no comma."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags


def answering(request: Request, work: Coroutine[Any, Any, None]) -> int:
    """Let ``work`` answer the request; the value is for ``Resource.render_*`` to return.

    The work is cancelled when the client goes away. An expected failure becomes its error
    answer, any other a 500 whose reference number is in the log.
    """
    running = Deferred.fromCoroutine(work)
    request.notifyFinish().addErrback(lambda _: running.cancel())
    running.addErrback(partial(_answer_failure, request))
    return NOT_DONE_YET


def _answer_failure(request: Request, failure: Failure) -> None:
    error = failure.value
    if isinstance(error, CancelledError):
        return
    if not isinstance(error, RackferryError):
        reference = f"{id(error):x}"
        _log.failure("bug {reference}", failure, reference=reference)
        error = InternalError(f"internal error {reference}; the log of the daemon says more")
    answer_error(request, error)


def answer_error(request: Request, error: RackferryError) -> None:
    """Answer with an expected failure as a JSON error object.

    If the answer has begun already, the connection is aborted instead.
    """
    if request.channel is None:  # the reader is gone
        return
    if request.startedWriting:
        _log.warn("answer broken off: {line}", line=error.line())
        abort(request)
        return
    body = json.dumps({"error": error.to_json()}).encode() + b"\n"
    request.setResponseCode(door_of(error).http_status)
    headers = request.responseHeaders
    for stale in ("etag", "content-range"):
        if not isinstance(error, RangeError):
            headers.removeHeader(stale)
    headers.setRawHeaders("cache-control", ["no-store"])
    headers.setRawHeaders("content-type", ["application/json"])
    headers.setRawHeaders("content-length", [str(len(body))])
    request.write(body)
    request.finish()


def abort(request: Request) -> None:
    """Drop the request's connection at once, without a proper end."""
    if request.channel is not None:
        transport: Any = request.channel.transport
        transport.abortConnection()


def content_type_of(path: str) -> str:
    """What a file in a tree of images and signed documents is."""
    return _TYPES.get(PurePosixPath(path).suffix, "application/octet-stream")


async def serve(
    request: Request,
    source: ByteSource,
    *,
    clock: IReactorTime,
    cache_control: str = IMMUTABLE,
    send_rest: SendRest | None = None,
    pace: Pace | None = None,
) -> None:
    """Answer a GET or HEAD with the source's bytes; returns when all were handed over.

    Args:
        request: the caller has found that it may have these bytes.
        source: the bytes.
        clock: for readers that do not read.
        cache_control: for names that do not change their meaning; else "no-cache".
        send_rest: a faster way for all but the first piece, if the connection has one.
        pace: holds what is sent back; it does not see what ``send_rest`` sends.

    Raises:
        RackferryError: a read failed. ``answer_error`` (``answering`` calls it) answers
            if nothing was sent yet, and aborts the connection otherwise.
    """
    headers = request.responseHeaders
    headers.setRawHeaders("accept-ranges", ["bytes"])
    if request.method not in {b"GET", b"HEAD"}:
        headers.setRawHeaders("allow", ["GET, HEAD"])
        request.setResponseCode(405)
        headers.setRawHeaders("content-length", ["0"])
        request.finish()
        return
    try:
        choice = choose(
            source,
            range_=_header(request, b"range") if request.method == b"GET" else None,
            if_range=_header(request, b"if-range"),
            if_none_match=_header(request, b"if-none-match"),
        )
    except RangeError as error:
        headers.setRawHeaders("content-range", [f"bytes */{source.size_bytes}"])
        answer_error(request, error)
        return
    request.setResponseCode(choice.status)
    headers.setRawHeaders("etag", [source.etag])
    headers.setRawHeaders("cache-control", [cache_control])
    if choice.slice is None:
        request.finish()
        return
    headers.setRawHeaders("content-type", [source.content_type])
    headers.setRawHeaders("content-length", [str(choice.slice.length)])
    if choice.status == 206:
        headers.setRawHeaders("content-range", [choice.slice.content_range])
    if request.method == b"GET" and choice.slice.length:
        await _send(request, source, choice.slice, clock, send_rest=send_rest, pace=pace)
    request.finish()


def _header(request: Request, name: bytes) -> str | None:
    """A header's text, whatever bytes it has (Twisted's own decoding fails on some)."""
    value = request.getHeader(name)
    return None if value is None else value.decode("latin-1")


async def _send(
    request: Request,
    source: ByteSource,
    wanted: Slice,
    clock: IReactorTime,
    *,
    send_rest: SendRest | None,
    pace: Pace | None,
) -> None:
    """Send a slice; one chunk is read ahead while the one before is on its way."""
    seq, last = wanted.first // CHUNK_BYTES, chunk_count(wanted.stop) - 1
    gate = _Gate(clock)
    chunk = await source.read_chunk(seq)
    send_much(request.transport)
    request.registerProducer(gate, True)
    ahead: Deferred[bytes] | None = None
    try:
        while True:
            start = seq * CHUNK_BYTES
            piece = chunk[max(0, wanted.first - start) : wanted.stop - start]
            if send_rest is not None and seq < last and len(piece) > _CERTAINLY_FLUSHED_BYTES:
                request.write(piece)
                await gate.open()
                await send_rest(Slice(start + CHUNK_BYTES, wanted.stop, wanted.size_bytes))
                return
            if seq < last:
                ahead = Deferred.fromCoroutine(source.read_chunk(seq + 1))
            while piece:
                allowed = len(piece) if pace is None else await pace(len(piece))
                request.write(piece[:allowed])
                piece = piece[allowed:]
                await gate.open()
            if ahead is None:
                return
            chunk, ahead, seq = await ahead, None, seq + 1
    finally:
        if ahead is not None:
            ahead.addErrback(lambda _: None)
            ahead.cancel()
        if request.channel is not None:
            request.unregisterProducer()


@implementer(IPushProducer)
class _Gate:
    """Back-pressure as something to wait for: open while the transport takes bytes."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._paused = False
        self._waiting: Deferred[None] | None = None

    async def open(self) -> None:
        """Wait until the transport wants more.

        Raises:
            TimedOut: the reader takes too long.
        """
        if self._paused:
            self._waiting = Deferred()
            self._waiting.addTimeout(SEND_TIMEOUT_S, self._clock)
            try:
                await self._waiting
            except DeferredTimeout:
                raise TimedOut("the reader took too long for one chunk") from None

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """The connection is lost; whoever answers is cancelled by ``notifyFinish``."""
