"""Authorities, racks and a fleet to talk to, and TLS on loopback."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
from cryptography import x509
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    wrapClientTLS,
    wrapServerTLS,
)
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from common.commands import PIECE_BYTES
from common.conversation import Conversation
from common.errors import NotFound, Refused
from common.identity import (
    Authority,
    Identity,
    certificate_pem,
    new_authority,
    new_key,
    serial_of,
    spki_sha256,
)
from common.regions import RegionEndpoint
from common.serving import ByteSource
from common.tls import RackTLS, ServerTLS
from common.tokens import Token, secret_sha256
from regiond.racks.enrolment import checked_request, issue
from regiond.racks.fleet import Enrolled, RackIdentity

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
AUTHORITY = new_authority(NOW)
OTHER_AUTHORITY = new_authority(NOW)
HOSTS = ("127.0.0.1", "localhost")
SERVER = AUTHORITY.issue_server(HOSTS, NOW)
SECRET = b"s" * 24


def now() -> datetime:
    return datetime.now(UTC)


def rack(
    name: str = "rack-1", authority: Authority = AUTHORITY, issued: datetime = NOW
) -> Identity:
    """A rack's identity; ``issued`` in the past makes an expired one."""
    key = new_key()
    certificate = authority.issue_rack(name, key.public_key(), issued)
    return Identity(key, certificate, authority.certificate)


def known(identity: Identity) -> RackIdentity:
    """How a region knows the holder of that certificate."""
    key = spki_sha256(identity.certificate.public_key()).hex()
    return RackIdentity(identity.name, identity.serial, key)


def token(authority: Authority = AUTHORITY, secret: bytes = SECRET) -> Token:
    return Token(authority.pin, secret)


@attrs.define
class Permit:
    """A token as the fake fleet keeps it."""

    name: str
    is_expired: bool = False
    used_by: str = ""
    answer: Enrolled | None = None


class FakeFleet:
    """A region's use-cases in memory; ``calls`` is what was asked of it."""

    def __init__(self, *racks: Identity) -> None:
        self.racks = {each.serial: known(each) for each in racks}
        self.permits: dict[str, Permit] = {}
        self.view = (0, "")
        self.documents: dict[str, bytes] = {}
        self.blobs: dict[str, ByteSource] = {}
        self.digest_lists: dict[str, bytes] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.sent_bytes: Counter[str] = Counter()
        self.clocks: dict[str, float] = {}
        self.hold: Deferred[None] | None = None
        self.failure: Exception | None = None

    def permit(self, name: str, secret: bytes = SECRET) -> Permit:
        """Let a rack enrol."""
        permit = self.permits[secret_sha256(secret)] = Permit(name)
        return permit

    def sent(self, rack: RackIdentity, size_bytes: int) -> None:
        self.sent_bytes[rack.name] += size_bytes

    async def enrol(self, secret: bytes, csr_der: bytes, name: str) -> Enrolled:
        self.calls.append(("enrol", name))
        if self.failure is not None:
            raise self.failure
        key = checked_request(csr_der)
        permit = self.permits.get(secret_sha256(secret))
        if permit is None:
            raise Refused("no such token", code="token-unknown")
        if permit.is_expired:
            raise Refused("the token has expired", code="token-expired")
        if name not in {"", permit.name}:
            raise Refused("the token is for another rack", code="token-wrong-name")
        issued = issue(AUTHORITY, permit.name, key, NOW)
        if permit.used_by not in {"", issued.spki_sha256}:
            raise Refused("the token was used", code="token-used")
        if permit.answer is None:
            permit.used_by = issued.spki_sha256
            permit.answer = Enrolled(issued.pem, AUTHORITY.pem, "region-1")
            self.racks[issued.serial] = RackIdentity(permit.name, issued.serial, issued.spki_sha256)
        return permit.answer

    async def rack_by_serial(self, serial: str) -> RackIdentity | None:
        return self.racks.get(serial)

    async def seen(self, rack: RackIdentity) -> None:
        self.calls.append(("seen", rack.name))

    async def greeted(self, rack: RackIdentity, rack_now: float) -> None:
        self.clocks[rack.name] = rack_now

    async def current_view(self, rack: RackIdentity, held: str) -> tuple[int, str]:
        self.calls.append(("current_view", rack.name, held))
        if self.failure is not None:
            raise self.failure
        if self.hold is not None:
            await self.hold
        return self.view

    async def document(self, rack: RackIdentity, sha256: str, offset: int) -> tuple[bytes, int]:
        if sha256 not in self.documents:
            raise NotFound("no such document", object=sha256)
        document = self.documents[sha256]
        return document[offset : offset + PIECE_BYTES], len(document)

    async def report_progress(
        self, rack: RackIdentity, generation: int, fetched_bytes: int, total_bytes: int
    ) -> None:
        self.calls.append(("progress", rack.name, generation, fetched_bytes, total_bytes))

    async def report_sync(
        self, rack: RackIdentity, generation: int, held: str, problem: str
    ) -> None:
        self.calls.append(("sync", rack.name, generation, held, problem))

    async def blob(self, rack: RackIdentity, sha256: str) -> ByteSource | None:
        return self.blobs.get(sha256)

    async def digests(self, rack: RackIdentity, sha256: str) -> bytes | None:
        return self.digest_lists.get(sha256)


def endpoints(rpc_port: int = 0, images_port: int = 0) -> list[RegionEndpoint]:
    return [RegionEndpoint("region-1", ("127.0.0.1",), rpc_port, images_port)]


def self_signed(name: str) -> Identity:
    """A rack that vouches for itself."""
    lonely = new_authority(NOW)
    identity = rack(name, lonely)
    return Identity(identity.key, identity.certificate, AUTHORITY.certificate)


def stranger(identity: Identity) -> Identity:
    """The same key and certificate, held by someone who believes our authority."""
    return attrs.evolve(identity, root=AUTHORITY.certificate)


def chain_pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(map(certificate_pem, certificates))


def serial(identity: Identity) -> str:
    return serial_of(identity.certificate)


class LoopbackTestCase(TestCase):
    """Real TLS over real sockets, all closed in the end."""

    async def listen(self, factory: IProtocolFactory, tls: ServerTLS) -> int:
        """Listen on a free port of 127.0.0.1; gives its number."""
        endpoint = wrapServerTLS(tls, TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        port = await endpoint.listen(factory)
        connections = port.factory.protocols

        async def hang_up() -> None:
            for connection in list(connections):
                connection.abortConnection()
            await eventually(reactor, lambda: not connections)

        self.addCleanup(lambda: Deferred.fromCoroutine(hang_up()))
        self.addCleanup(port.stopListening)
        return port.getHost().port

    async def connect(self, conversation: Conversation, port: int, creator: Any) -> None:
        """Connect a conversation; it is cut off when the test ends."""
        endpoint = wrapClientTLS(creator, TCP4ClientEndpoint(reactor, "127.0.0.1", port))
        over: Deferred[None] = Deferred()
        told = conversation._on_lost

        def lost(reason: Any) -> None:
            told(reason)
            over.callback(None)

        conversation._on_lost = lost
        await endpoint.connect(Factory.forProtocol(lambda: conversation))

        def hang_up() -> Deferred[None]:
            if not conversation.is_lost:
                conversation.transport.abortConnection()
            return over

        self.addCleanup(hang_up)

    def client(self, table: Any = None, **keywords: Any) -> Conversation:
        return Conversation(table or {}, reactor, peer="region", **keywords)

    def tls(self, identity: Identity, host: str = "127.0.0.1") -> Any:
        return RackTLS(identity, now).for_host(host)

    async def failure_of(self, awaitable: Any, kind: type[Exception] = Exception) -> Any:
        """The exception that it raises."""
        try:
            value = await awaitable
        except kind as error:
            return error
        self.fail(f"no failure, but {value!r}")
        return None


def eventually(clock: Any, condition: Callable[[], object], timeout_s: float = 5.0) -> Any:
    """Wait, without a fixed time, until ``condition`` holds."""

    async def wait() -> None:
        end = clock.seconds() + timeout_s
        while not condition():
            if clock.seconds() > end:
                raise AssertionError(f"never came true: {condition}")
            pause: Deferred[None] = Deferred()
            clock.callLater(0.005, pause.callback, None)
            await pause

    return wait()
