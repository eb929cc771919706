"""TLS in larger pieces: the same bytes, in fewer rounds."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from common.bulk_tls import READ_BYTES, BulkConnection, BulkTLSFactory
from common.connecting import dial
from common.identity import Identity, new_authority, new_key, utc_now
from common.tls import RackTLS, ServerTLS, _context
from tests.doubles.streams import some_bytes

AUTHORITY = new_authority(utc_now())
SERVER = AUTHORITY.issue_server(["127.0.0.1"], utc_now())


def connected() -> tuple[BulkConnection, BulkConnection]:
    """A server and a client in memory, after their handshake."""
    server, client = BulkConnection(_context(SERVER), None), BulkConnection(_context(None), None)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(3):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            move(one, other)
    return server, client


def move(one: BulkConnection, other: BulkConnection) -> None:
    """Carry all records from one end to the other."""
    while True:
        try:
            other.bio_write(one.bio_read(1 << 15))
        except SSL.WantReadError:
            return


class ConnectionTests(SynchronousTestCase):
    @settings(max_examples=20)
    @given(st.lists(st.integers(1, 200_000), min_size=1, max_size=5))
    def test_all_that_was_sent_arrives_in_few_reads(self, sizes: list[int]) -> None:
        """Whatever was sent comes back in order, in pieces of about 256 KiB, then nothing."""
        server, client = connected()
        sent = [some_bytes(size, seed=number) for number, size in enumerate(sizes)]
        for data in sent:
            server.sendall(data)
        move(server, client)
        pieces = []
        while True:
            try:
                pieces.append(client.recv(1 << 15))
            except SSL.WantReadError:
                break
        self.assertEqual(b"".join(pieces), b"".join(sent))
        self.assertLessEqual(len(pieces), sum(sizes) // READ_BYTES + 1)

    @settings(max_examples=20)
    @given(st.lists(st.integers(1, 1 << 20), min_size=1, max_size=4))
    def test_what_is_encrypted_at_once_is_all_that_is_to_be_sent(self, sizes: list[int]) -> None:
        """Whatever the size, the records are whole, and nothing stays behind in memory."""
        server, client = connected()
        for number, size in enumerate(sizes):
            data = some_bytes(size, seed=number)
            client.bio_write(server.encrypted(memoryview(data)))
            self.assertRaises(SSL.WantReadError, server.bio_read, 1)
            pieces = []
            with contextlib.suppress(SSL.WantReadError):
                while True:
                    pieces.append(client.recv(1 << 15))
            self.assertEqual(b"".join(pieces), data)

    def test_the_end_comes_after_the_last_bytes(self) -> None:
        """A goodbye that was received with data is told after the data, not instead of it."""
        server, client = connected()
        server.sendall(b"last words")
        server.shutdown()
        move(server, client)
        self.assertEqual(client.recv(1 << 15), b"last words")
        self.assertRaises(SSL.ZeroReturnError, client.recv, 1 << 15)


class Pouring(Protocol):
    """Sends what it was given as soon as it is connected, in one write each."""

    writes: list[bytes]

    def connectionMade(self) -> None:
        for data in self.writes:
            self.transport.write(data)  # type: ignore[union-attr]  # connected
        self.transport.loseConnection()  # type: ignore[union-attr]  # connected


class Taking(Protocol):
    """Keeps what comes, until the end."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.over: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: object = None) -> None:
        self.over.callback(b"".join(self.pieces))


class TransportTests(TestCase):
    async def test_writes_of_any_size_arrive_whole(self) -> None:
        """Small, odd and large writes come out at the other end as one stream, over real TLS."""
        writes = [b"head", some_bytes((1 << 20) + 1), b"", some_bytes(70_000, seed=1), b"tail"]
        factory = Factory.forProtocol(Pouring)
        Pouring.writes = writes
        tls = ServerTLS(SERVER, asks_certificate=False)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(BulkTLSFactory(tls, False, factory, reactor))
        self.addCleanup(port.stopListening)
        key = new_key()
        certificate = AUTHORITY.issue_rack("rack-1", key.public_key(), utc_now())
        client = RackTLS(Identity(key, certificate, AUTHORITY.certificate), utc_now)
        taking = Taking()
        address = ("127.0.0.1", port.getHost().port)
        await dial(reactor, address, client.for_host("127.0.0.1"), taking, 10.0)  # type: ignore[arg-type]  # any protocol will do
        self.assertEqual(await taking.over, b"".join(writes))
        # A record at a time would be 73 pieces.
        self.assertLess(len(taking.pieces), 40)
