"""TLS between racks and regions, over real sockets."""

import warnings
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory
from zope.interface import implementer

from common.commands import Ping
from common.conversation import SERVER, Conversation, pong
from common.errors import RackferryError, Refused, TransferError
from common.identity import Identity
from common.tls import RackTLS, ServerTLS, UnverifiedTLS, peer_certificate
from tests.doubles.trust import (
    AUTHORITY,
    DAY,
    HOSTS,
    NOW,
    OTHER_AUTHORITY,
    LoopbackTestCase,
    now,
    rack,
    self_signed,
    stranger,
)
from tests.doubles.trust import (
    SERVER as SERVER_IDENTITY,
)


@implementer(IOpenSSLClientConnectionCreator)
class _Raw:
    """A client with a context of its own."""

    def __init__(self, context: SSL.Context) -> None:
        self.context = context
        self.connection: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        self.connection = SSL.Connection(self.context, None)
        return self.connection


class MutualTests(LoopbackTestCase):
    """Who gets in at a port that asks for a certificate."""

    async def serve(self, *, identity: Identity = SERVER_IDENTITY, asks: bool = True) -> int:
        self.served: list[Conversation] = []

        def build() -> Conversation:
            self.served.append(Conversation({Ping: pong}, reactor, SERVER))
            return self.served[-1]

        self.server_tls = ServerTLS(identity, asks_certificate=asks)
        return await self.listen(Factory.forProtocol(build), self.server_tls)

    async def ping(self, port: int, creator: Any) -> None:
        client = self.client()
        await self.connect(client, port, creator)
        await client.call(Ping, 5.0)
        self.last_client = client

    async def refusal_of(self, port: int, creator: Any) -> RackferryError:
        error: RackferryError = await self.failure_of(self.ping(port, creator), RackferryError)
        return error

    async def test_right_certificate(self) -> None:
        """A rack of this region gets in by address and by name, and is known by its certificate."""
        port = await self.serve()
        identity = rack()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await self.ping(port, self.tls(identity))
            await self.ping(port, self.tls(identity, "localhost"))
        self.assertEqual(peer_certificate(self.served[0].transport), identity.certificate)
        self.assertEqual(peer_certificate(self.last_client.transport), SERVER_IDENTITY.certificate)

    async def test_wrong_certificates(self) -> None:
        """Nobody else gets in: each wrong certificate is refused before any command."""
        port = await self.serve()
        for name, identity in (
            ("other authority", stranger(rack("r", OTHER_AUTHORITY))),
            ("self-signed", self_signed("r")),
            ("expired", rack("r", issued=NOW - 400 * DAY)),
            ("not yet valid", rack("r", issued=NOW + DAY)),
            ("server certificate", SERVER_IDENTITY),
            ("the authority", Identity(OTHER_AUTHORITY.key, *[OTHER_AUTHORITY.certificate] * 2)),
        ):
            if name == "the authority":
                identity = stranger(identity)  # noqa: PLW2901 - believes the region all the same
            error = await self.refusal_of(port, self.tls(identity))
            self.assertIsInstance(error, (Refused, TransferError), name)
            if name == "expired":
                self.assertEqual(error.code, "certificate-expired")
        self.assertTrue(all(each.is_lost for each in self.served))

    async def test_no_certificate(self) -> None:
        """Without a certificate the first answer is the refusal, and it says so."""
        port = await self.serve()
        error = await self.refusal_of(port, UnverifiedTLS())
        self.assertEqual(error.code, "certificate-missing")

    async def test_older_tls(self) -> None:
        """TLS 1.2 is refused at every port."""
        for asks in (True, False):
            port = await self.serve(asks=asks)
            context = SSL.Context(SSL.TLS_METHOD)
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
            context.set_verify(SSL.VERIFY_NONE)
            self.assertIsInstance(await self.refusal_of(port, _Raw(context)), TransferError)

    async def test_no_resumption(self) -> None:
        """A session cannot be resumed: every connection shows its certificate anew."""
        port = await self.serve(asks=False)
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_verify(SSL.VERIFY_NONE)
        raw = _Raw(context)
        await self.ping(port, raw)
        assert raw.connection is not None
        session = raw.connection.get_session()

        class Again(_Raw):
            def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
                connection = super().clientConnectionForTLS(tlsProtocol)
                if session is not None:
                    connection.set_session(session)
                return connection

        again = implementer(IOpenSSLClientConnectionCreator)(Again)(context)
        await self.ping(port, again)
        assert again.connection is not None
        resumed = SSL._lib.SSL_session_reused(again.connection._ssl)
        self.assertEqual(resumed, 0)

    async def test_region_of_another_authority(self) -> None:
        """A rack talks to no region but its own."""
        port = await self.serve(identity=OTHER_AUTHORITY.issue_server(HOSTS, NOW))
        error = await self.refusal_of(port, self.tls(rack()))
        self.assertEqual(error.code, "region-not-trusted")
        self.assertTrue(error.remedy)

    async def test_region_of_another_name(self) -> None:
        """A certificate for another host or address of the same authority is not enough."""
        for names, host in ((["other.example"], "localhost"), (["192.0.2.1"], "127.0.0.1")):
            port = await self.serve(identity=AUTHORITY.issue_server(names, NOW))
            error = await self.refusal_of(port, self.tls(rack(), host))
            self.assertEqual(error.code, "region-not-trusted")
            self.assertEqual(error.object, host)

    async def test_rack_as_region(self) -> None:
        """A rack cannot pose as a region."""
        port = await self.serve(identity=rack())
        error = await self.refusal_of(port, self.tls(rack()))
        self.assertEqual(error.code, "region-not-trusted")

    async def test_clock_skew(self) -> None:
        """A region's certificate that has expired, or is not valid yet, is named as a clock's fault."""
        for issued, word in ((NOW - 60 * DAY, "after"), (NOW + DAY, "before")):
            port = await self.serve(identity=AUTHORITY.issue_server(HOSTS, issued))
            error = await self.refusal_of(port, self.tls(rack()))
            self.assertEqual(error.code, "clock-skew")
            self.assertIn(f"not valid {word}", error.message)

    async def test_renewed(self) -> None:
        """A renewed server certificate is shown from the next connection on."""
        port = await self.serve()
        renewed = AUTHORITY.issue_server(HOSTS, NOW)
        await self.ping(port, self.tls(rack()))
        self.server_tls.use(renewed)
        await self.ping(port, self.tls(rack()))
        self.assertEqual(peer_certificate(self.last_client.transport), renewed.certificate)

    def test_policy_for_urls(self) -> None:
        """The same object is the policy of HTTPS requests, whatever the URL's host looks like."""
        tls = RackTLS(rack(), now)
        for host in (b"region.example", b"127.0.0.1", b"[::1]"):
            creator = tls.creatorForNetloc(host, 5252)
            self.assertTrue(IOpenSSLClientConnectionCreator.providedBy(creator))
