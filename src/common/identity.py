"""Who is who: the region's authority, its server certificate, a rack's certificate.

* The **authority** is a self-signed ECDSA P-256 certificate of ten years that may sign
  leaves only (path length 0).
* The **server certificate** of a region names what racks dial, lives 30 days, and is made
  anew when less than a third of that is left or the names have changed.
* A **rack's certificate** names the rack as the URI ``urn:rackd:NAME`` and lives a year.

A rack knows its region by the SHA-256 of the authority's public key (the *pin*), so that
a renewed certificate with the same key stays trusted.

Certificates begin five minutes in the past: clocks differ a little everywhere.
Nothing here touches a file; ``common.identity_files`` keeps what is made here.
"""

import contextlib
import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import Refused

AUTHORITY_LIFETIME = timedelta(days=3652)
SERVER_LIFETIME = timedelta(days=30)
RACK_LIFETIME = timedelta(days=365)
ALLOWED_SKEW = timedelta(minutes=5)
RACK_URN = "urn:rackd:"

Key = ec.EllipticCurvePrivateKey


@attrs.frozen
class Identity:
    """A key, the certificate that names it, and the authority that says so."""

    key: Key = attrs.field(repr=False)
    certificate: x509.Certificate
    root: x509.Certificate

    @property
    def name(self) -> str:
        """The rack's name ("" for a region's certificate)."""
        return rack_name(self.certificate)

    @property
    def serial(self) -> str:
        """The certificate's serial number."""
        return serial_of(self.certificate)


@attrs.frozen
class Authority:
    """What makes certificates."""

    key: Key = attrs.field(repr=False)
    certificate: x509.Certificate

    @property
    def pin(self) -> bytes:
        """The SHA-256 of the public key, 32 bytes: what tokens begin with."""
        return spki_sha256(self.certificate.public_key())

    @property
    def pem(self) -> bytes:
        """The authority's certificate, for racks."""
        return certificate_pem(self.certificate)

    def issue_rack(
        self, name: str, public_key: ec.EllipticCurvePublicKey, now: datetime
    ) -> x509.Certificate:
        """A certificate with which a rack logs in, and nothing else."""
        uri = x509.UniformResourceIdentifier(RACK_URN + name)
        builder = _builder(name, self.certificate.subject, public_key, now, RACK_LIFETIME)
        return self._sign(builder, [uri], ExtendedKeyUsageOID.CLIENT_AUTH)

    def issue_server(self, names: Iterable[str], now: datetime) -> Identity:
        """A fresh key and certificate for a region that is dialled by ``names``."""
        key = new_key()
        builder = _builder(
            "region", self.certificate.subject, key.public_key(), now, SERVER_LIFETIME
        )
        alternatives = [general_name(name) for name in names]
        certificate = self._sign(builder, alternatives, ExtendedKeyUsageOID.SERVER_AUTH)
        return Identity(key, certificate, self.certificate)

    def _sign(
        self,
        builder: x509.CertificateBuilder,
        alternatives: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
    ) -> x509.Certificate:
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(authority_key, critical=False)
            .sign(self.key, hashes.SHA256())
        )


# Facts about certificates


def check_times(certificate: x509.Certificate, now: datetime, object_name: str) -> None:
    """Whether ``now`` lies within a certificate's life.

    Raises:
        Refused: code ``clock-skew``; whichever is wrong, certificate or clock, both are named.
    """
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begin <= now <= end:
        return
    bound = f"before {begin:%Y-%m-%d %H:%M:%S}" if now < begin else f"after {end:%Y-%m-%d %H:%M:%S}"
    raise Refused(
        f"the certificate is not valid {bound} UTC; this machine's clock says {now:%Y-%m-%d %H:%M:%S}",
        object=object_name,
        code="clock-skew",
        remedy="set the clock of both machines; if both are right, renew the certificate",
    )


def check_own_times(identity: "Identity", now: datetime) -> None:
    """Whether ``now`` lies within the life of a certificate of ours.

    Raises:
        Refused: codes ``certificate-expired`` and ``clock-skew``.
    """
    end = identity.certificate.not_valid_after_utc
    if now > end:
        raise Refused(
            f"its certificate expired {end:%Y-%m-%d %H:%M:%S} UTC; this machine's clock says"
            f" {now:%Y-%m-%d %H:%M:%S}",
            object=identity.name,
            code="certificate-expired",
            remedy="compare the clocks; else enrol again: rack-controllers create-token on the"
            " region, then join here",
        )
    check_times(identity.certificate, now, identity.name)


def spki_sha256(public_key: object) -> bytes:
    """The SHA-256 of a public key in its standard form (SubjectPublicKeyInfo), 32 bytes."""
    assert hasattr(public_key, "public_bytes")  # noqa: S101 - narrows cryptography's union
    encoded: bytes = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(encoded).digest()


def serial_of(certificate: x509.Certificate) -> str:
    """A serial number as lower-case hexadecimal: how every table and log writes it."""
    return f"{certificate.serial_number:x}"


def alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    """Whom a certificate names; None if nobody, or unreadably."""
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return None


def rack_name(certificate: x509.Certificate) -> str:
    """The rack that a certificate names, or "" if it names none, or more than one."""
    alternatives = alternative_names(certificate)
    uris = alternatives.get_values_for_type(x509.UniformResourceIdentifier) if alternatives else []
    names = [uri.removeprefix(RACK_URN) for uri in uris if uri.startswith(RACK_URN)]
    return names[0] if len(names) == 1 else ""


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """A certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: Key) -> bytes:
    """A private key as text, without a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def new_key() -> Key:
    """A fresh ECDSA P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


# Making


def general_name(name: str) -> x509.GeneralName:
    """A host name or an address as certificates write it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode("ascii"))


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    common_name: str,
    issuer: x509.Name | None,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    # A common name holds 64 characters at most; who is who is told by the alternative names.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - ALLOWED_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def new_authority(now: datetime, key: Key | None = None) -> Authority:
    """An authority, with a fresh key or the one given."""
    key = key or new_key()
    builder = _builder("Rackferry region", None, key.public_key(), now, AUTHORITY_LIFETIME)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def utc_now() -> datetime:
    """The wall clock: what processes pass as ``now``."""
    return datetime.now(UTC)
