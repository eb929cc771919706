"""Gets one blob: drives ``common.transfer`` with real bytes, real threads and real time.

The pipeline of one body, each arrow with back-pressure to its left::

    origin -> Inflow (whole 1 MiB chunks) -> hash thread (judge) -> sink (one write in flight)

Hashing of one batch overlaps the writing of the one before. At most three batches are in
memory (arriving, being hashed, being written), 4 MiB each.

Two places to get bytes from and two to put them use this: ``common.origins`` (HTTP) and the
rack's AMP origin; the region's chunk rows and the rack's partial file.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from common import transfer
from common.backoff import backoff
from common.digests import RunningDigest, digest_at
from common.errors import RackferryError, TransferError
from common.inflow import Inflow, Pieces, Receiver
from common.pools import Threads
from common.throttle import PacedBody, Throttle
from common.transfer import Goal, Head, Transfer
from common.unbroken import unbroken

T = TypeVar("T")


class Sink(Protocol):
    """A place that keeps whole verified chunks through any interruption."""

    async def resume(self) -> RunningDigest:
        """What is held and verified: whole chunks, at most the goal's size."""

    async def write(self, chunks: list[bytes], digests: list[bytes]) -> None:
        """Keep the next whole chunks, in order; only the blob's last one may be short.

        Args:
            chunks: at most four.
            digests: the running digest after each of them, 32 bytes.
        """

    async def restart(self) -> None:
        """Forget everything held."""

    async def finish(self, digests: bytes) -> None:
        """All is verified, and this is the digest list: make it durable, give it its name."""


class Body(Protocol):
    """The answer of an origin: a head, and bytes that flow once they are asked for."""

    head: Head

    def deliver(self, receiver: Receiver) -> None:
        """Let the bytes flow into ``receiver`` until its ``ended`` is called."""

    def pause(self) -> None:
        """Hold the bytes back, soon."""

    def resume(self) -> None:
        """Let them flow again."""

    def abort(self) -> None:
        """Drop the connection now; harmless when the body is over."""

    def was_held(self) -> bool:
        """Whether the other end said, since this was last asked, that it holds bytes back."""


class Origin(Protocol):
    """A place that has the bytes. ``name`` stands in messages: no credentials in it."""

    name: str

    async def open(self, offset: int) -> Body:
        """Ask for the bytes from ``offset`` to the end (from 0: for all, without a range).

        Raises:
            TransferError: no answer; worth another try.
            RackferryError: any other family: this origin will never answer.
            CancelledError: whenever it is cancelled, at whatever stage.
        """


@attrs.frozen
class Limits:
    """How patient a transfer is.

    Attributes:
        stall_timeout_s: the window over which ``min_rate`` must be kept.
        min_rate: bytes per second; less is a stall. Time in which we hold the bytes back
            ourselves does not count.
        head_timeout_s: from asking to the first line of the answer.
        connect_timeout_s: for one TCP connection (``common.origins`` uses it).
        max_attempts: failures without progress before giving up; None: never.
    """

    stall_timeout_s: float = 60.0
    min_rate: int = 1024
    head_timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    max_attempts: int | None = 5


@attrs.frozen
class Verdict:
    """What the hash thread says about a batch: the good chunks, and the first wrong one."""

    chunks: list[bytes]
    digests: list[bytes]
    found: bytes = b""
    promised: bytes = b""


def judge(running: RunningDigest, batch: Sequence[Pieces], promised: bytes | None) -> Verdict:
    """Join and hash the next chunks; stop at the first that is not the promised one.

    Args:
        running: the digest of all chunks before; continued over the good ones only.
        batch: the pieces of each chunk; they are emptied.
        promised: the blob's digest list, if it is known.
    """
    chunks: list[bytes] = []
    digests: list[bytes] = []
    for pieces in batch:
        chunk = b"".join(pieces)
        pieces.clear()  # or the batch would be in memory twice
        wanted = None if promised is None else digest_at(promised, running.chunks)
        found = running.add_if(chunk, wanted)
        if wanted is not None and found != wanted:
            return Verdict(chunks, digests, found, wanted)
        chunks.append(chunk)
        digests.append(found)
    return Verdict(chunks, digests)


async def fetch(
    goal: Goal,
    origins: Sequence[Origin],
    sink: Sink,
    *,
    clock: IReactorTime,
    random: Callable[[], float],
    hashing: Threads,
    limits: Limits,
    progress: Callable[[int], None],
    failed: Callable[[str], None] = lambda _: None,
    throttles: Callable[[int], Sequence[Throttle]] = lambda _: (),
    wasted: Callable[[int], None] = lambda _: None,
) -> None:
    """Get the goal's bytes from the origins into the sink, verified.

    Cancelling drops the connection, waits for a write that is under way, and leaves what
    the sink holds; the next ``fetch`` goes on from there.

    Args:
        goal: the bytes to get.
        origins: tried in this order, the next at once after a failure; back-off per round.
        sink: where they go.
        clock: for stalls, time-outs and back-off.
        random: a number in [0, 1) for the back-off's jitter.
        hashing: runs the hashing away from the reactor.
        limits: patience.
        progress: told the bytes held so far, after each write.
        failed: told the name of each origin that did not answer, or broke off.
        throttles: those that limit what the origin of that number (from 0) gives.
        wasted: told at the end, however that is, how many bytes were thrown away.

    Raises:
        TransferError: no more attempts are left, or every origin said no.
        IntegrityError: the origins have other bytes than promised.
        RackferryError: whatever the sink raises (no space, storage, stale).
    """
    names = [origin.name for origin in origins]
    rules = Transfer(goal, names, max_attempts=limits.max_attempts)
    try:
        await _Fetch(
            goal, origins, sink, clock, random, hashing, limits, progress, failed, throttles, rules
        ).run()
    finally:
        wasted(rules.wasted_bytes)


@attrs.define(eq=False)
class _Fetch:
    """One running ``fetch``: does what ``Transfer`` says and tells it what came of it."""

    _goal: Goal
    _origins: Sequence[Origin]
    _sink: Sink
    _clock: IReactorTime
    _random: Callable[[], float]
    _hashing: Threads
    _limits: Limits
    _progress: Callable[[int], None]
    _failed: Callable[[str], None]
    _throttles: Callable[[int], Sequence[Throttle]]
    _rules: Transfer
    _running: RunningDigest = attrs.field(factory=RunningDigest)
    _tail: Pieces = attrs.field(factory=list)
    _body: Body | None = None
    _asked: str = ""
    _asked_number: int = 0

    async def run(self) -> None:
        self._running = await self._sink.resume()
        effect = self._rules.begin(self._running.size_bytes)
        try:
            while not isinstance(effect, transfer.Finish):
                effect = await self._do(effect)
        finally:
            self._drop_body()
        await self._sink.finish(self._running.digests)

    async def _do(self, effect: transfer.Effect) -> transfer.Effect:
        match effect:
            case transfer.Ask(origin, offset):
                self._asked_number = origin
                return await self._ask(self._origins[origin], offset)
            case transfer.Receive(length_bytes):
                return await self._receive(length_bytes)
            case transfer.Forget():
                self._tail = []
                self._running = RunningDigest()
                await self._sink.restart()
                return self._rules.forgotten()
            case transfer.Wait(attempt):
                await deferLater(self._clock, backoff(attempt, self._random))
                return self._rules.waited()
            case transfer.Check():
                return self._rules.named(self._running.hexdigest())
            case transfer.GiveUp(error):
                raise error
        raise AssertionError(effect)

    async def _ask(self, origin: Origin, offset: int) -> transfer.Effect:
        self._drop_body()
        self._asked = origin.name
        opening = Deferred.fromCoroutine(origin.open(offset))
        opening.addTimeout(self._limits.head_timeout_s, self._clock)
        try:
            self._body = await opening
        except DeferredTimeout:
            self._failed(origin.name)
            return self._rules.failed(
                TransferError(
                    f"{origin.name} did not answer within {self._limits.head_timeout_s:g} s",
                    object=self._goal.object,
                    code="transfer-stalled",
                    remedy="look at the origin and the network between",
                )
            )
        except RackferryError as error:
            error.object = error.object or self._goal.object
            self._failed(origin.name)
            return self._rules.failed(error)
        return self._rules.answered(self._body.head)

    async def _receive(self, length_bytes: int) -> transfer.Effect:
        """Take one body through the pipeline."""
        body = self._body
        assert body is not None, "a body is received only after it was asked for"  # noqa: S101 - types
        paced: list[PacedBody] = []
        for throttle in self._throttles(self._asked_number):
            paced.append(PacedBody(paced[-1] if paced else body, throttle))
        flow = paced[-1] if paced else body
        inflow = Inflow(
            self._tail,
            length_bytes,
            clock=self._clock,
            window_s=self._limits.stall_timeout_s,
            min_rate=self._limits.min_rate,
            flow=flow,
            # All are asked: each forgets what it says.
            was_held=lambda: sum([body.was_held(), *(each.was_held() for each in paced)]) > 0,
        )
        self._tail = []
        writes = _Writes(self._sink, self._progress)
        flow.deliver(inflow)
        try:
            while batch := await inflow.batch():
                verdict = await self._hashing(
                    partial(judge, self._running, batch, self._goal.digests)
                )
                await writes.settle()
                if verdict.chunks:
                    self._rules.kept(sum(map(len, verdict.chunks)))
                    writes.start(verdict, self._rules.held_bytes)
                if verdict.found:
                    return self._rules.wrong_chunk(verdict.found, verdict.promised)
        finally:
            inflow.close()
            flow.abort()
            self._drop_body()
            await writes.settle()
        self._tail = inflow.tail
        tail_bytes = sum(map(len, self._tail))
        if inflow.error is None:
            return self._rules.ended(tail_bytes)
        inflow.error.object = inflow.error.object or self._goal.object
        self._failed(self._asked)
        return self._rules.failed(inflow.error, tail_bytes)

    def _drop_body(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.abort()


class _Writes:
    """At most one write in flight.

    A thread that writes cannot be stopped, so a cancelled transfer waits for it: after
    ``fetch`` is over nothing touches the sink any more.
    """

    def __init__(self, sink: Sink, progress: Callable[[int], None]) -> None:
        self._sink = sink
        self._progress = progress
        self._flying: Deferred[None] | None = None

    def start(self, verdict: Verdict, held_bytes: int) -> None:
        """Begin to write the good chunks; with them ``held_bytes`` are held."""
        self._flying = Deferred.fromCoroutine(self._write(verdict, held_bytes))

    async def settle(self) -> None:
        """Wait for the write under way, if there is one; raises what it raised."""
        if self._flying is not None:
            await unbroken(self._flying)
            self._flying = None

    async def _write(self, verdict: Verdict, held_bytes: int) -> None:
        await self._sink.write(verdict.chunks, verdict.digests)
        self._progress(held_bytes)
