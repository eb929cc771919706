"""The rack's connection to its regions: the typed façade of the wire.

It stays connected to one region at a time, for as long as that answers. It begins with the
configured addresses, then those learnt before, which are kept on disk; where it was last
goes after all others. It tries all of them without waiting, then waits up to 30 s, with
full jitter, so that a fleet does not return as one wave. "Connected" means that ``Hello``
was answered: a TLS 1.3 handshake alone proves nothing about us.

Among several addresses, one that takes a connection and is silent is left after 3 s.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool

from common.backoff import backoff
from common.canonical import parse
from common.commands import (
    PING_INTERVAL_S,
    PROTOCOL_VERSION,
    CurrentView,
    Hello,
    Ping,
    ReadDocument,
    ReportProgress,
    ReportSync,
    SyncNow,
    ViewChanged,
)
from common.connecting import dial
from common.conversation import CLIENT, Conversation, Table, pong
from common.digests import sha256_hex
from common.errors import (
    IntegrityError,
    InternalError,
    ProtocolError,
    RackferryError,
    Refused,
    TransferError,
    packed,
    unpacked,
)
from common.identity import Identity, check_own_times, utc_now
from common.identity_files import load_rack_identity
from common.pools import Threads
from common.regions import RegionEndpoint
from common.release import release
from common.tls import RackTLS
from rackd.blob_reads import BlobReads
from rackd.known_regions import Address, KnownRegions

CONNECT_TIMEOUT_S = 5.0
HELLO_TIMEOUT_S = 10.0
SILENCE_LIMIT_S = 25.0
SILENCE_LIMIT_AMONG_OTHERS_S = 3.0
FIRST_WAIT_S = 0.5
POOL_CLOSE_TIMEOUT_S = 2.0
LONGEST_WAIT_S = 30.0
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024

_log = Logger()


class RegionClient(Service):
    """Keeps the connection, and asks over it.

    Args:
        reactor: for connections and time.
        identity: who this rack is.
        regions: the configured addresses, (host, RPC port).
        state_dir: where learnt regions are kept.
        random: gives a number in [0, 1).
        on_disk: runs what blocks on the disk.
        now: the wall clock, to name clock skew.

    Attributes:
        on_connected: called when a region has answered ``Hello``.
        on_view_changed: called with generation and digest when the region says so. A hint.
        on_sync_now: called when an admin of the region wants a sync.
        on_lost: called with the reason when that connection is over.
        on_problem: called with each new reason why there is no connection.
        problem: why there is no connection; None while there is one.
        agent: for HTTPS requests to regions, with the rack's certificate.
    """

    def __init__(
        self,
        reactor: Any,
        identity: Identity,
        regions: Sequence[Address],
        state_dir: Path,
        *,
        random: Callable[[], float],
        on_disk: Threads,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.on_connected: Callable[[], None] = lambda: None
        self.on_view_changed: Callable[[int, str], None] = lambda _generation, _digest: None
        self.on_sync_now: Callable[[], None] = lambda: None
        self.on_lost: Callable[[RackferryError], None] = lambda _reason: None
        self.on_problem: Callable[[RackferryError], None] = lambda _problem: None
        self.problem: RackferryError | None = TransferError(
            "not connected to a region yet",
            object=", ".join(f"{host}:{port}" for host, port in regions),
            code="region-not-connected",
            remedy="wait a moment; the rack tries all its regions by itself",
        )
        self._reactor = reactor
        self._identity = identity
        self._now = now
        self._tls = RackTLS(identity, now)
        self._random = random
        self._state_dir = state_dir
        self._on_disk = on_disk
        self._regions = KnownRegions(regions, state_dir, on_disk)
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = 4
        self.agent = Agent(reactor, self._tls, CONNECT_TIMEOUT_S, pool=self._pool)
        self._conversation: Conversation | None = None
        self._reads: BlobReads | None = None
        self._awaiting: list[Deferred[Any]] = []
        self._doubting: Deferred[None] | None = None
        self._running: Deferred[None] | None = None

    # Life

    def startService(self) -> None:
        """Connect, and stay connected (called by Twisted)."""
        super().startService()
        self._running = Deferred.fromCoroutine(self._stay_connected())

    async def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await running
        await self._regions.settle()
        await self._close_pool()

    async def _close_pool(self) -> None:
        """End the idle image connections; a region that is silent does not hold us up."""
        # The pool waits for each peer to agree to the end of TLS.
        closed: Deferred[None] = Deferred()
        self._pool.closeCachedConnections().addBoth(lambda _: closed.callback(None))
        closed.addTimeout(POOL_CLOSE_TIMEOUT_S, self._reactor)
        with contextlib.suppress(DeferredTimeout):
            await closed

    def stopService(self) -> "Deferred[None]":
        """End the connection; fires when nothing is left (called by Twisted)."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stay_connected(self) -> None:
        failures = 0
        try:
            await self._regions.recall()
            while True:
                failures = 0 if await self._round() else failures + 1
                if failures:
                    await self._take_new_certificate()
                    self._answer_waiting(self._no_region())
                wait_s = backoff(
                    max(failures, 1), self._random, base_s=FIRST_WAIT_S, cap_s=LONGEST_WAIT_S
                )
                await deferLater(self._reactor, wait_s)
        except CancelledError:
            return

    async def _round(self) -> bool:
        """As ``_one_round``; a bug is logged, and does not end the trying."""
        try:
            return await self._one_round()
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 - a rack without a connection is the worst outcome
            _log.failure("a bug in the connection")
            self._note(InternalError("internal error; the log of rackd says more"))
            return False

    async def _one_round(self) -> bool:
        """Try each address once; returns whether one of them had been connected."""
        for address in self._regions.addresses():
            lost: Deferred[RackferryError] = Deferred()
            conversation = Conversation(
                self._table(),
                self._reactor,
                CLIENT,
                peer="{}:{}".format(*address),
                on_lost=lost.callback,
            )
            try:
                await self._greet(conversation, address)
                reason = await lost
            except RackferryError as error:
                if conversation.transport is not None:
                    # Whoever did not answer a hello does not answer a goodbye.
                    conversation.abort(error)
                self._note(error)
                continue
            finally:
                self._conversation = self._reads = None
                if conversation.transport is not None:
                    await conversation.finish()
            self._note(reason)
            self.on_lost(reason)
            return True
        return False

    async def _greet(self, conversation: Conversation, address: Address) -> None:
        tls = self._tls.for_host(address[0])
        await dial(self._reactor, address, tls, conversation, CONNECT_TIMEOUT_S)
        answer = await conversation.call(
            Hello,
            min(HELLO_TIMEOUT_S, self._silence_limit_s),
            version=release(),
            protocol=PROTOCOL_VERSION,
            now=self._now().timestamp(),
        )
        if answer["protocol"] != PROTOCOL_VERSION:
            raise ProtocolError(
                f"region {answer['region_name']} speaks protocol {answer['protocol']}, "
                f"this rack {PROTOCOL_VERSION}",
                object=conversation.peer,
                code="protocol-version",
                remedy="install the same release on both",
            )
        self._regions.learn(
            parse(tuple[RegionEndpoint, ...], answer["endpoints"], "list of regions")
        )
        conversation.ping_every(PING_INTERVAL_S)
        self._regions.last = address
        self._conversation, self.problem = conversation, None
        self._reads = BlobReads(conversation, self._reactor, self._silence_limit_s)
        _log.info(
            "connected to region {name} at {peer}",
            name=answer["region_name"],
            peer=conversation.peer,
        )
        self.on_connected()
        self._answer_waiting(None)

    def _note(self, problem: RackferryError) -> None:
        """Keep, and log, why there is no connection; the same reason only once."""
        try:
            # If our own certificate is none any more, nothing else is worth a look.
            check_own_times(self._identity, self._now())
        except Refused as own:
            problem = own
        is_new = self.problem is None or self.problem.code != problem.code
        is_other = self.problem is None or self.problem.line() != problem.line()
        self.problem = problem
        if is_other:
            _log.warn("no region: {reason}", reason=problem.line())
        if is_new:
            self.on_problem(problem)

    async def _take_new_certificate(self) -> None:
        """Take what somebody may have put in place of a certificate that is no good."""
        try:
            found = await self._on_disk(lambda: load_rack_identity(self._state_dir))
        except RackferryError as error:
            _log.debug("no other certificate: {reason}", reason=error.line())
            return
        if found is not None and found.serial != self._identity.serial:
            self._identity = found
            self._tls.use(found)
            _log.info("a new certificate of rack {name} is used", name=found.name)

    @property
    def has_others(self) -> bool:
        """Whether more than one address is known."""
        return self._regions.has_others

    def image_bases(self) -> list[str]:
        """``https://host:port`` of all regions, the one we are connected to first."""
        return self._regions.image_bases()

    @property
    def _silence_limit_s(self) -> float:
        """How long nothing may come where something should, in seconds."""
        return SILENCE_LIMIT_AMONG_OTHERS_S if self._regions.has_others else SILENCE_LIMIT_S

    # What the region says

    def _table(self) -> Table:
        return {Ping: pong, ViewChanged: self._view_changed, SyncNow: self._sync_now}

    async def _view_changed(self, generation: int, digest: str) -> Mapping[str, Any]:
        self.on_view_changed(generation, digest)
        return {}

    async def _sync_now(self) -> Mapping[str, Any]:
        self.on_sync_now()
        return {}

    # What we say. Each raises what the region raises, and TransferError without a connection.

    async def _call(self, command: Any, **arguments: Any) -> dict[str, Any]:
        if self._conversation is None:
            raise self._no_region()
        return await self._conversation.call(command, **arguments)

    def _no_region(self) -> RackferryError:
        problem = self.problem or TransferError("no region", code="region-not-connected")
        # A copy: an exception that is raised again and again keeps every traceback.
        return unpacked(packed(problem))

    async def current_view(self, held: str) -> tuple[int, str]:
        """Generation and digest of the view to hold; ``held`` is what is held now, or ""."""
        answer = await self._call(CurrentView, held=held)
        return answer["generation"], answer["digest"]

    async def document(self, sha256: str) -> bytes:
        """A view or image document, verified.

        Raises:
            IntegrityError: the region gave other bytes than those named.
            ProtocolError: more than 16 MiB, or pieces that do not fit together.
        """
        content = bytearray()
        size_bytes = 1
        while len(content) < size_bytes:
            answer = await self._call(ReadDocument, sha256=sha256, offset=len(content))
            size_bytes = answer["size_bytes"]
            if size_bytes > MAX_DOCUMENT_BYTES or (size_bytes and not answer["piece"]):
                raise ProtocolError(f"a document of {size_bytes} bytes", object=sha256)
            content += answer["piece"]
        if sha256_hex(bytes(content)) != sha256:
            raise IntegrityError("the region gave another document", object=sha256)
        return bytes(content)

    async def connected(self) -> None:
        """Wait until a region answers; returns at once while one does.

        Raises:
            RackferryError: none did, at any address; why not.
        """
        if self._conversation is None or self._conversation.is_lost:
            waiting: Deferred[Any] = Deferred(self._awaiting.remove)
            self._awaiting.append(waiting)
            await waiting

    def _answer_waiting(self, answer: RackferryError | None) -> None:
        """Tell those who wait for a connection that there is one, or why there is none.

        Not at once: one of them could stop us, and a coroutine that runs is not cancelled.
        """
        self._reactor.callLater(0, self._tell_waiting, answer)

    def _tell_waiting(self, answer: RackferryError | None) -> None:
        while self._awaiting:
            self._awaiting.pop().callback(answer and Failure(answer))

    async def read_blob(
        self, sha256: str, *, of_digests: bool, offset: int, length: int
    ) -> tuple[bytes, int]:
        """A piece of a blob, or of its digest list, and the size of what it is of."""
        if self._reads is None:
            raise self._no_region()
        return await self._reads.read(sha256, of_digests=of_digests, offset=offset, length=length)

    def doubt(self) -> None:
        """The region may be gone: ask, and leave it if it does not answer soon."""
        if self._conversation is not None and self._doubting is None:
            checking = self._conversation.check(self._silence_limit_s)
            self._doubting = Deferred.fromCoroutine(checking)
            self._doubting.addBoth(self._doubted)

    def _doubted(self, result: None) -> None:
        self._doubting = None
        return result

    async def report_progress(self, generation: int, fetched_bytes: int, total_bytes: int) -> None:
        """How far the sync is; at most once a second."""
        await self._call(
            ReportProgress,
            generation=generation,
            fetched_bytes=fetched_bytes,
            total_bytes=total_bytes,
        )

    async def report_sync(self, generation: int, held: str, problem: str) -> None:
        """How it ended: the digest held complete ("" for none), an error as JSON or ""."""
        await self._call(ReportSync, generation=generation, held=held, problem=problem)
