"""Enrolment from end to end: a rack's side against a real port."""

import stat
from collections.abc import Callable
from datetime import timedelta

import attrs
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol

from common.errors import IntegrityError, RackferryError, Refused, StorageError, WrongUsage
from common.identity import Authority, Identity, Key, certificate_pem, key_pem, new_key
from common.identity_files import load_rack_identity
from common.joining import checked_identity, join, trusted_root
from common.tls import ServerTLS
from common.tokens import format_token
from regiond.racks.enrolment import Enrolment
from tests.doubles.directories import fresh_directory
from tests.doubles.trust import (
    AUTHORITY,
    DAY,
    HOSTS,
    NOW,
    OTHER_AUTHORITY,
    SECRET,
    SERVER,
    FakeFleet,
    LoopbackTestCase,
    now,
    token,
)

_TOKEN = format_token(token())


class ChainTests(LoopbackTestCase):
    """What a rack believes before it speaks."""

    def refusal(self, *arguments: object) -> Refused:
        return self.assertRaises(Refused, trusted_root, *arguments)

    def test_right(self) -> None:
        """The pinned authority, and a leaf of it for the dialled host."""
        chain = [SERVER.certificate, AUTHORITY.certificate]
        for host in HOSTS:
            root = trusted_root(chain, AUTHORITY.pin, host, NOW)
            self.assertEqual(root, AUTHORITY.certificate)

    def test_wrong(self) -> None:
        """A wrong pin, a foreign leaf, another host, a bare authority, no chain."""
        foreign = OTHER_AUTHORITY.issue_server(HOSTS, NOW).certificate
        root, pin = AUTHORITY.certificate, AUTHORITY.pin
        for chain, host in (
            ([SERVER.certificate], "127.0.0.1"),
            ([foreign, OTHER_AUTHORITY.certificate], "127.0.0.1"),
            ([foreign, root], "127.0.0.1"),
            ([root, root], "127.0.0.1"),
            ([root], "localhost"),
            ([], "localhost"),
            ([SERVER.certificate, root], "192.0.2.1"),
            ([SERVER.certificate, root], "region.example"),
        ):
            error = self.refusal(chain, pin, host, NOW)
            self.assertEqual((error.code, error.object), ("region-not-trusted", host))

    def test_rack_as_region(self) -> None:
        """A rack's certificate does not make a region."""
        leaf = AUTHORITY.issue_rack("localhost", new_key().public_key(), NOW)
        error = self.refusal([leaf, AUTHORITY.certificate], AUTHORITY.pin, "localhost", NOW)
        self.assertEqual(error.code, "region-not-trusted")

    def test_clock(self) -> None:
        """A wrong clock is called so."""
        chain = [SERVER.certificate, AUTHORITY.certificate]
        for when in (NOW - DAY, NOW + timedelta(days=5000)):
            error = self.refusal(chain, AUTHORITY.pin, "localhost", when)
            self.assertEqual(error.code, "clock-skew")


class AnswerTests(LoopbackTestCase):
    """What a rack accepts as its certificate."""

    def test_wrong_answers(self) -> None:
        """A certificate for another key, of another authority, for another rack, or rubbish."""
        key, other_key = new_key(), new_key()
        right = {
            "certificate_pem": _pem(AUTHORITY, "rack-1", key),
            "ca_pem": AUTHORITY.pem,
        }
        identity = checked_identity(right, key, AUTHORITY.pin, "rack-1", NOW)
        self.assertEqual(identity.name, "rack-1")
        for answer in (
            right | {"certificate_pem": _pem(AUTHORITY, "rack-1", other_key)},
            right | {"certificate_pem": _pem(OTHER_AUTHORITY, "rack-1", key)},
            right | {"certificate_pem": _pem(AUTHORITY, "rack-2", key)},
            right | {"certificate_pem": AUTHORITY.pem},
            right | {"certificate_pem": b"rubbish"},
            right | {"ca_pem": OTHER_AUTHORITY.pem},
            {
                "certificate_pem": _pem(OTHER_AUTHORITY, "rack-1", key),
                "ca_pem": OTHER_AUTHORITY.pem,
            },
        ):
            error = self.assertRaises(
                IntegrityError, checked_identity, answer, key, AUTHORITY.pin, "rack-1", NOW
            )
            self.assertEqual(error.code, "enrol-answer")


def _pem(authority: Authority, name: str, key: Key) -> bytes:
    return certificate_pem(authority.issue_rack(name, key.public_key(), NOW))


class _Listening(Protocol):
    """Notes what a client says after its handshake."""

    heard = b""

    def dataReceived(self, data: bytes) -> None:
        type(self).heard += data


class JoinTests(LoopbackTestCase):
    """The whole of it."""

    def setUp(self) -> None:
        self.fleet = FakeFleet()
        self.dir = fresh_directory(self) / "state"

    async def serve(self, identity: Identity = SERVER) -> int:
        factory = Enrolment(self.fleet, reactor)
        return await self.listen(factory, ServerTLS(identity, asks_certificate=False))

    async def join(self, port: int, name: str = "rack-1", **keywords: object) -> Identity:
        words = {"token": _TOKEN, "host": "127.0.0.1", "state_dir": self.dir} | keywords
        return await join(reactor, port=port, name=name, **words)

    async def refusal(self, port: int, **keywords: object) -> RackferryError:
        error: RackferryError = await self.failure_of(self.join(port, **keywords), RackferryError)
        self.assertIsNone(load_rack_identity(self.dir))
        return error

    async def test_joins(self) -> None:
        """A machine with a token becomes the rack it names; its files are its own."""
        self.fleet.permit("rack-1")
        port = await self.serve()
        token_file = fresh_directory(self) / "token"
        token_file.write_text(_TOKEN)
        identity = await self.join(port, token_file=token_file)
        kept = load_rack_identity(self.dir)
        assert kept is not None
        self.assertEqual(kept.certificate, identity.certificate)
        self.assertEqual((identity.name, identity.root), ("rack-1", AUTHORITY.certificate))
        self.assertIn(identity.serial, self.fleet.racks)
        self.assertFalse(token_file.exists())
        for name in ("key.pem", "cert.pem", "ca.pem"):
            self.assertEqual(stat.S_IMODE((self.dir / name).stat().st_mode), 0o600)

    async def test_files_are_written_where_that_may_block(self) -> None:
        """The key before anything is sent, and the certificate: neither holds up who waits."""
        self.fleet.permit("rack-1")
        port, ran = await self.serve(), []

        async def on_disk(work: Callable[[], object]) -> object:
            ran.append((self.dir / "key.pem").exists())
            if len(ran) == 2:
                raise StorageError("the disk is gone")
            return work()

        await self.failure_of(self.join(port, on_disk=on_disk), StorageError)
        self.assertEqual(ran, [False, True])
        self.assertFalse((self.dir / "cert.pem").exists())

    async def test_by_name(self) -> None:
        """The region may be dialled by a name; the token may decide the rack's name."""
        self.fleet.permit("as-the-token-says")
        identity = await self.join(await self.serve(), "", host="localhost")
        self.assertEqual(identity.name, "as-the-token-says")

    async def test_refusals(self) -> None:
        """What the region refuses comes through with its code, and leaves no certificate."""
        port = await self.serve()
        self.assertEqual((await self.refusal(port)).code, "token-unknown")
        self.fleet.permit("rack-1").is_expired = True
        self.assertEqual((await self.refusal(port)).code, "token-expired")
        self.fleet.permit("rack-2")
        self.assertEqual((await self.refusal(port)).code, "token-wrong-name")
        self.fleet.permit("rack-1").used_by = "somebody else"
        self.assertEqual((await self.refusal(port)).code, "token-used")

    async def test_malformed_token(self) -> None:
        """A token that is none is refused before anything is done."""
        error = await self.refusal(1, token="rg1.rubbish")
        self.assertIsInstance(error, WrongUsage)
        self.assertFalse(self.dir.exists())

    async def test_nothing_said_to_a_stranger(self) -> None:
        """A region with another authority, even one that shows ours too, hears nothing."""
        foreign = OTHER_AUTHORITY.issue_server(HOSTS, NOW)
        for identity in (foreign, attrs.evolve(foreign, root=AUTHORITY.certificate)):
            heard = type("Heard", (_Listening,), {"heard": b""})
            tls = ServerTLS(identity, asks_certificate=False)
            port = await self.listen(Factory.forProtocol(heard), tls)
            error = await self.refusal(port)
            self.assertEqual(error.code, "region-not-trusted")
            self.assertEqual(heard.heard, b"")

    async def test_clock_skew(self) -> None:
        """A rack whose clock is wrong says so, and says nothing to the region."""
        self.fleet.permit("rack-1")
        port = await self.serve()
        error = await self.refusal(port, now=lambda: now() - timedelta(days=365))
        self.assertEqual(error.code, "clock-skew")
        self.assertEqual(self.fleet.calls, [])

    async def test_unreachable(self) -> None:
        """A port where nobody listens, or that speaks no TLS, is named."""
        silent = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")

        class Rude(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                self.transport.loseConnection()

        listening = await silent.listen(Factory.forProtocol(Rude))
        port = listening.getHost().port
        error = await self.refusal(port)
        self.assertEqual((error.code, error.object), ("region-unreachable", f"127.0.0.1:{port}"))
        await listening.stopListening()
        error = await self.refusal(port)
        self.assertEqual((error.code, error.object), ("region-unreachable", f"127.0.0.1:{port}"))
        self.assertIn("refused", error.message.lower())

    async def test_lost_answer(self) -> None:
        """An answer that was lost is asked for again with the same key, and is the same."""
        self.fleet.permit("rack-1")
        enrol, answers = self.fleet.enrol, []

        async def lose_the_first(*arguments: object) -> object:
            answers.append(await enrol(*arguments))
            if len(answers) == 1:
                # The transaction is committed; the connection dies before the answer.
                for side in list(self.open):
                    side.transport.abortConnection()
            return answers[-1]

        self.fleet.enrol = lose_the_first
        factory = Enrolment(self.fleet, reactor)
        build, self.open = factory.buildProtocol, []

        def remember(address: object) -> object:
            self.open.append(build(address))
            return self.open[-1]

        factory.buildProtocol = remember
        port = await self.listen(factory, ServerTLS(SERVER, asks_certificate=False))
        identity = await self.join(port)
        self.assertEqual(len(answers), 2)
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(len(self.fleet.racks), 1)
        self.assertIn(identity.serial, self.fleet.racks)

    async def test_retry_after_a_crash(self) -> None:
        """A rack killed before it had its certificate gets the same one with the same key."""
        self.fleet.permit("rack-1")
        port = await self.serve()
        first = await self.join(port)
        (self.dir / "cert.pem").unlink()
        again = await self.join(port)
        self.assertEqual(again.certificate, first.certificate)
        self.assertEqual(key_pem(again.key), key_pem(first.key))

    async def test_used_by_another_machine(self) -> None:
        """The same token with another key is refused."""
        self.fleet.permit("rack-1")
        port = await self.serve()
        await self.join(port)
        error = await self.failure_of(
            self.join(port, state_dir=fresh_directory(self)), RackferryError
        )
        self.assertEqual(error.code, "token-used")

    async def test_existing_secret_is_not_logged(self) -> None:
        """No error shows the secret."""
        error = await self.refusal(await self.serve())
        self.assertNotIn(SECRET.decode(), error.line())
        self.assertNotIn(_TOKEN, error.line())
