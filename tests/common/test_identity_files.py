"""Keys and certificates on disk."""

import stat
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from common.errors import ConfigError
from common.identity import certificate_pem, key_pem, new_key, serial_of
from common.identity_files import (
    load_or_create_authority,
    load_or_create_rack_key,
    load_rack_identity,
    save_rack_certificate,
    server_identity,
)
from tests.doubles.directories import fresh_directory
from tests.doubles.trust import AUTHORITY, DAY, NOW, OTHER_AUTHORITY


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class _Directory(SynchronousTestCase):
    def setUp(self) -> None:
        self.dir = fresh_directory(self) / "state"


class AuthorityFileTests(_Directory):
    """The region's authority over restarts."""

    def test_made_once(self) -> None:
        """The first start makes an authority, every later one finds it."""
        first = load_or_create_authority(self.dir, NOW)
        second = load_or_create_authority(self.dir, NOW + 100 * DAY)
        self.assertEqual(first.certificate, second.certificate)
        self.assertEqual(first.pin, second.pin)
        self.assertEqual(_mode(self.dir), 0o700)
        self.assertEqual(_mode(self.dir / "ca-key.pem"), 0o600)

    def test_killed_between_key_and_certificate(self) -> None:
        """A key without a certificate gets one; the key stays."""
        first = load_or_create_authority(self.dir, NOW)
        (self.dir / "ca.pem").unlink()
        self.assertEqual(load_or_create_authority(self.dir, NOW).pin, first.pin)

    def test_lost_key(self) -> None:
        """A certificate without its key is an error, never a silent new authority."""
        load_or_create_authority(self.dir, NOW)
        (self.dir / "ca-key.pem").unlink()
        error = self.assertRaises(ConfigError, load_or_create_authority, self.dir, NOW)
        self.assertIn("ca-key.pem", error.object)

    def test_damaged(self) -> None:
        """A damaged or foreign file is an error that names it."""
        load_or_create_authority(self.dir, NOW)
        for name, content in (
            ("ca-key.pem", b"rubbish"),
            ("ca-key.pem", key_pem(new_key())),
            ("ca.pem", b"rubbish"),
        ):
            path = self.dir / name
            before = path.read_bytes()
            path.write_bytes(content)
            error = self.assertRaises(ConfigError, load_or_create_authority, self.dir, NOW)
            self.assertIn("ca", error.object)
            path.write_bytes(before)

    def test_credential(self) -> None:
        """A key given by systemd wins, and is not copied."""
        credentials = fresh_directory(self)
        key = new_key()
        (credentials / "ca-key").write_bytes(key_pem(key))
        authority = load_or_create_authority(self.dir, NOW, credentials)
        self.assertEqual(key_pem(authority.key), key_pem(key))
        self.assertFalse((self.dir / "ca-key.pem").exists())


class ServerFileTests(_Directory):
    """The region's server certificate over time."""

    def setUp(self) -> None:
        super().setUp()
        self.dir.mkdir()
        self.first = self.at(0)

    def at(self, days: float, *names: str) -> str:
        wanted = names or ("region.example",)
        identity = server_identity(AUTHORITY, self.dir, wanted, NOW + days * DAY)
        self.assertEqual(identity.root, AUTHORITY.certificate)
        return serial_of(identity.certificate)

    def test_kept_while_young(self) -> None:
        """A certificate is kept while more than a third of its life is left."""
        self.assertEqual(self.at(19.9), self.first)
        self.assertEqual(_mode(self.dir / "server.pem"), 0o600)

    def test_renewed(self) -> None:
        """It is made anew when less than a third is left, and the new one is kept."""
        renewed = self.at(20.1)
        self.assertNotEqual(renewed, self.first)
        self.assertEqual(self.at(20.2), renewed)

    def test_clock_had_been_ahead(self) -> None:
        """A certificate from the future, made under a wrong clock, is made anew."""
        self.assertNotEqual(self.at(-40), self.first)

    def test_other_names(self) -> None:
        """It is made anew when the names change, not when only their order does."""
        both = self.at(0, "region.example", "192.0.2.1")
        self.assertNotEqual(both, self.first)
        self.assertEqual(self.at(0, "192.0.2.1", "region.example"), both)

    def test_damaged(self) -> None:
        """A damaged file is replaced: nothing depends on this certificate."""
        (self.dir / "server.pem").write_bytes(b"rubbish")
        self.assertNotEqual(self.at(0), self.first)

    def test_other_authority(self) -> None:
        """A certificate of an earlier authority is replaced."""
        other = server_identity(OTHER_AUTHORITY, self.dir, ["region.example"], NOW)
        self.assertNotEqual(serial_of(other.certificate), self.first)
        other.certificate.verify_directly_issued_by(OTHER_AUTHORITY.certificate)


class RackFileTests(_Directory):
    """What a rack keeps."""

    def test_key_first(self) -> None:
        """A rack's key is durable before it is used, and the same ever after."""
        first = load_or_create_rack_key(self.dir)
        self.assertEqual(key_pem(load_or_create_rack_key(self.dir)), key_pem(first))
        self.assertEqual(_mode(self.dir / "key.pem"), 0o600)
        self.assertIsNone(load_rack_identity(self.dir))

    def test_enrolled(self) -> None:
        """What enrolment gave is what the rack is after a restart."""
        key = load_or_create_rack_key(self.dir)
        certificate = AUTHORITY.issue_rack("rack-1", key.public_key(), NOW)
        save_rack_certificate(self.dir, certificate_pem(certificate), AUTHORITY.pem)
        identity = load_rack_identity(self.dir)
        assert identity is not None
        self.assertEqual(
            attrs.astuple(identity, filter=lambda field, _: field.name != "key"),
            (certificate, AUTHORITY.certificate),
        )

    def test_foreign_certificate(self) -> None:
        """A certificate of another key is an error with a remedy."""
        load_or_create_rack_key(self.dir)
        certificate = AUTHORITY.issue_rack("rack-1", new_key().public_key(), NOW)
        save_rack_certificate(self.dir, certificate_pem(certificate), AUTHORITY.pem)
        error = self.assertRaises(ConfigError, load_rack_identity, self.dir)
        self.assertIn("enrol", error.remedy)
