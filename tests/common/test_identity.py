"""Certificates: what they say, and what they are good for."""

from datetime import timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Refused
from common.identity import (
    check_own_times,
    check_times,
    new_key,
    rack_name,
    serial_of,
    spki_sha256,
)
from tests.doubles.trust import AUTHORITY, DAY, NOW, OTHER_AUTHORITY, SERVER, rack

_POLICY = PolicyBuilder().store(Store([AUTHORITY.certificate])).time(NOW)


class AuthorityTests(SynchronousTestCase):
    """The region's authority."""

    def test_signs_leaves_only(self) -> None:
        """The authority may sign leaves, and nothing may sign below them; it lives ten years."""
        certificate = AUTHORITY.certificate
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        self.assertEqual(constraints.value, x509.BasicConstraints(ca=True, path_length=0))
        self.assertTrue(constraints.critical)
        self.assertGreater(certificate.not_valid_after_utc, NOW + 3650 * DAY)

    def test_pin_is_of_the_key(self) -> None:
        """The pin names the key, so that another certificate of the same key keeps it."""
        self.assertEqual(AUTHORITY.pin, spki_sha256(AUTHORITY.key.public_key()))
        self.assertNotEqual(AUTHORITY.pin, OTHER_AUTHORITY.pin)
        self.assertEqual(len(AUTHORITY.pin), 32)


class RackCertificateTests(SynchronousTestCase):
    """What a rack shows."""

    def test_names_the_rack(self) -> None:
        """A rack's certificate verifies as a client, and names the rack."""
        identity = rack("rack-7")
        verified = _POLICY.build_client_verifier().verify(identity.certificate, [])
        self.assertEqual(identity.name, "rack-7")
        self.assertEqual(verified.subjects, [x509.UniformResourceIdentifier("urn:rackd:rack-7")])
        self.assertTrue(
            identity.certificate.not_valid_before_utc
            <= NOW
            < identity.certificate.not_valid_after_utc
        )

    def test_is_no_server(self) -> None:
        """A rack's certificate is not good for a server."""
        usage = rack().certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        self.assertEqual(list(usage.value), [ExtendedKeyUsageOID.CLIENT_AUTH])

    def test_serials_differ(self) -> None:
        """Two certificates never have the same serial number."""
        key = new_key().public_key()
        serials = {serial_of(AUTHORITY.issue_rack("r", key, NOW)) for _ in range(20)}
        self.assertEqual(len(serials), 20)

    def test_two_names_are_none(self) -> None:
        """A certificate that names two racks, or none, names no rack."""
        self.assertEqual(rack_name(SERVER.certificate), "")
        self.assertEqual(rack_name(AUTHORITY.certificate), "")
        uris = [x509.UniformResourceIdentifier(f"urn:rackd:{name}") for name in "ab"]
        double = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(x509.Name([]))
            .public_key(AUTHORITY.key.public_key())
            .serial_number(1)
            .not_valid_before(NOW)
            .not_valid_after(NOW + DAY)
            .add_extension(x509.SubjectAlternativeName(uris), critical=False)
            .sign(AUTHORITY.key, AUTHORITY.certificate.signature_hash_algorithm)
        )
        self.assertEqual(rack_name(double), "")

    def test_keys_are_not_shown(self) -> None:
        """An identity in a log does not give its key away."""
        self.assertNotIn("key=", repr(rack()))


class ServerCertificateTests(SynchronousTestCase):
    """What a region shows."""

    def test_names_hosts_and_addresses(self) -> None:
        """A server certificate verifies for each name and address it was made for, only."""
        identity = AUTHORITY.issue_server(["region.example", "192.0.2.1", "2001:db8::1"], NOW)
        for subject in (
            x509.DNSName("region.example"),
            x509.IPAddress(__import__("ipaddress").ip_address("192.0.2.1")),
            x509.IPAddress(__import__("ipaddress").ip_address("2001:db8::1")),
        ):
            _POLICY.build_server_verifier(subject).verify(identity.certificate, [])
        other = _POLICY.build_server_verifier(x509.DNSName("other.example"))
        self.assertRaises(VerificationError, other.verify, identity.certificate, [])


class TimeTests(SynchronousTestCase):
    """Clocks that differ."""

    def test_within(self) -> None:
        """A clock that is four minutes behind is fine."""
        check_times(SERVER.certificate, NOW - timedelta(minutes=4), "region")

    def test_our_own(self) -> None:
        """A certificate of ours that is over is named as such, one that has not begun as skew."""
        check_own_times(rack(), NOW)
        error = self.assertRaises(Refused, check_own_times, rack(), NOW + 800 * DAY)
        self.assertEqual((error.code, error.object), ("certificate-expired", "rack-1"))
        self.assertIn(f"clock says {NOW + 800 * DAY:%Y-%m-%d}", error.message)
        self.assertIn("create-token", error.remedy)
        error = self.assertRaises(Refused, check_own_times, rack(), NOW - DAY)
        self.assertEqual(error.code, "clock-skew")

    def test_skew_is_named(self) -> None:
        """A clock outside a certificate's life is named, with both times."""
        for when, word in ((NOW - DAY, "before"), (NOW + 31 * DAY, "after")):
            error = self.assertRaises(Refused, check_times, SERVER.certificate, when, "region")
            self.assertEqual((error.code, error.object), ("clock-skew", "region"))
            self.assertIn(f"not valid {word}", error.message)
            self.assertIn(f"clock says {when:%Y-%m-%d %H:%M:%S}", error.message)
