"""The enrolment port: decisions, and how often one may ask."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase

from common import commands
from common.commands import Enrol
from common.conversation import Conversation
from common.errors import Busy, NoSpace, ProtocolError, RackferryError, Refused, WrongUsage
from common.identity import new_key, rack_name, spki_sha256
from common.joining import signing_request
from regiond.racks.enrolment import (
    MAX_PENDING,
    Enrolment,
    checked_name,
    checked_request,
    issue,
)
from tests.doubles.conversations import CONTROL_COMMANDS, arguments_of
from tests.doubles.trust import AUTHORITY, NOW, SECRET, FakeFleet


def _request(key: object) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


class RequestTests(SynchronousTestCase):
    """Signing requests."""

    def test_only_the_key_counts(self) -> None:
        """A right request gives its key, and the certificate says what the region says."""
        key = new_key()
        public = checked_request(signing_request(key))
        issued = issue(AUTHORITY, "rack-1", public, NOW)
        certificate = x509.load_pem_x509_certificate(issued.pem)
        certificate.verify_directly_issued_by(AUTHORITY.certificate)
        self.assertEqual(rack_name(certificate), "rack-1")
        self.assertEqual(issued.spki_sha256, spki_sha256(key.public_key()).hex())
        self.assertEqual(issued.serial, f"{certificate.serial_number:x}")
        self.assertEqual(issued.not_after, certificate.not_valid_after_utc.timestamp())

    def test_refused(self) -> None:
        """Rubbish, other kinds of keys and a false signature are refused."""
        right = _request(new_key())
        for request in (
            b"",
            b"rubbish",
            right[:-1],
            right[:-5] + bytes([right[-5] ^ 1]) + right[-4:],
            b"\x30" * 20_000,
            _request(rsa.generate_private_key(65537, 2048)),
            _request(ed25519.Ed25519PrivateKey.generate()),
            _request(ec.generate_private_key(ec.SECP384R1())),
        ):
            error = self.assertRaises(Refused, checked_request, request)
            self.assertEqual(error.code, "csr-invalid")

    def test_names(self) -> None:
        """A rack's name may be part of a path, and nothing that may not is a name."""
        self.assertEqual(checked_name("rack-1.example"), "rack-1.example")
        for name in ("", "..", "a/b", "a b", "-x", "ü", "x" * 300):
            self.assertRaises(WrongUsage, checked_name, name)


class ListenerTests(SynchronousTestCase):
    """The port itself, in memory (TLS: tests/common/test_joining.py)."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fleet = FakeFleet()
        self.factory = Enrolment(self.fleet, self.clock)

    def connect(self) -> None:
        self.client, self.server, self.pump = iosim.connectedServerAndClient(
            lambda: self.factory.buildProtocol(None), lambda: Conversation({}, self.clock)
        )

    def enrol(
        self, name: str = "rack-1", secret: bytes = SECRET
    ) -> RackferryError | dict[str, object]:
        self.connect()
        calling = Deferred.fromCoroutine(
            self.client.call(
                Enrol, secret=secret, csr_der=signing_request(new_key()), name=name, version="1"
            )
        )
        self.pump.flush()
        result: list[object] = []
        calling.addCallbacks(result.append, lambda failure: result.append(failure.value))
        return result[0]  # type: ignore[return-value]  # whichever of the two it was

    def test_enrols(self) -> None:
        """A right secret gives a certificate, the authority and the region's name."""
        self.fleet.permit("rack-1")
        answer = self.enrol()
        assert isinstance(answer, dict)
        self.assertEqual(answer["ca_pem"], AUTHORITY.pem)
        self.assertEqual(answer["region_name"], "region-1")

    def test_refusals_travel(self) -> None:
        """What the fleet refuses, the rack learns by its code."""
        self.assertEqual(self.enrol().code, "token-unknown")
        self.fleet.permit("rack-1").is_expired = True
        self.assertEqual(self.enrol().code, "token-expired")
        self.fleet.permit("rack-2")
        self.assertEqual(self.enrol("rack-1").code, "token-wrong-name")
        self.enrol("rack-2")
        self.assertEqual(self.enrol("rack-2").code, "token-used")

    def test_rate(self) -> None:
        """After five failures an address has to wait; the fleet is not even asked."""
        for _ in range(5):
            self.assertIsInstance(self.enrol(), Refused)
        self.fleet.calls.clear()
        error = self.enrol()
        self.assertIsInstance(error, Busy)
        self.assertEqual(self.fleet.calls, [])

    def test_one_command(self) -> None:
        """Every other command of the wire is refused, and ends the connection."""
        others = [*CONTROL_COMMANDS, commands.Ask, commands.ReadAnswer]
        self.assertIn(commands.Hello, others)
        for command in others:
            self.connect()
            calling = Deferred.fromCoroutine(self.client.call(command, **arguments_of(command)))
            self.pump.flush()
            error = self.failureResultOf(calling, ProtocolError).value
            self.assertEqual(error.code, "protocol-hello-first")
            self.assertTrue(self.server.is_lost)
        self.assertEqual(self.fleet.calls, [])

    def test_deadline(self) -> None:
        """Who says nothing is cut off after five seconds, before and after enrolling."""
        self.connect()
        self.clock.advance(5.1)
        self.assertTrue(self.server.is_lost or self.server.is_ending)
        self.fleet.permit("rack-1")
        self.enrol()
        self.clock.advance(5.1)
        self.assertTrue(self.server.is_lost or self.server.is_ending)

    def test_full_disk_is_no_secret(self) -> None:
        """A failure of the region's own is told as what it is."""
        self.fleet.failure = NoSpace("the database is full")
        self.assertIsInstance(self.enrol(), NoSpace)

    def test_pending(self) -> None:
        """No more than 256 connections are open at once; places come free again."""
        for _ in range(MAX_PENDING):
            self.connect()
        self.assertIsNone(self.factory.buildProtocol(None))
        self.server.transport.abortConnection()
        self.pump.flush()
        self.assertIsNotNone(self.factory.buildProtocol(None))
