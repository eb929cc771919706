"""The files in which keys and certificates are kept, all 0600 in a directory of 0700.

A region's ``state_dir`` holds ``ca-key.pem`` and ``ca.pem`` (the authority; systemd may
give the key instead, as the credential ``ca-key``) and ``server.pem`` (key and server
certificate together, so that one rename replaces both). A rack's holds ``key.pem``,
``cert.pem`` and ``ca.pem``; ``cert.pem`` means "this rack has enrolled".

All functions block for a few milliseconds, and for an ``fsync`` when they write.
"""

import contextlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common.durable import SECRET, make_directory, write_durably
from common.errors import ConfigError
from common.identity import (
    ALLOWED_SKEW,
    SERVER_LIFETIME,
    Authority,
    Identity,
    Key,
    alternative_names,
    certificate_pem,
    general_name,
    key_pem,
    new_authority,
    new_key,
    spki_sha256,
)

AUTHORITY_KEY = "ca-key.pem"
AUTHORITY_CERTIFICATE = "ca.pem"
SERVER_FILE = "server.pem"
RACK_KEY = "key.pem"
RACK_CERTIFICATE = "cert.pem"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}",
            object=str(path),
            remedy="give it to the user of the daemon",
        ) from error


def _unusable(path: Path, why: str, remedy: str) -> ConfigError:
    return ConfigError(f"cannot be used: {why}", object=str(path), code="identity", remedy=remedy)


def _key_from(pem: bytes, path: Path) -> Key:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise _unusable(path, "it holds no private key", "restore it from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _unusable(path, "its key is not ECDSA P-256", "make one of that kind")
    return key


def _certificate_from(pem: bytes, path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise _unusable(path, "it holds no certificate", "restore it from a backup") from error


def load_or_create_authority(
    state_dir: Path, now: datetime, credentials_dir: Path | None = None
) -> Authority:
    """The region's authority; made at the first start.

    Args:
        state_dir: where ``ca-key.pem`` and ``ca.pem`` are kept; made 0700 if missing.
        now: with a time zone.
        credentials_dir: systemd's CREDENTIALS_DIRECTORY; its ``ca-key`` wins, if there.

    Raises:
        ConfigError: a file is unreadable or damaged, or key and certificate do not match.
        StorageError, NoSpace: the state directory cannot be written.
    """
    make_directory(state_dir, 0o700)
    key_path = state_dir / AUTHORITY_KEY
    if credentials_dir is not None and (credentials_dir / "ca-key").exists():
        key_path = credentials_dir / "ca-key"
    certificate_path = state_dir / AUTHORITY_CERTIFICATE
    key_text, certificate_text = _read(key_path), _read(certificate_path)
    if key_text is None and certificate_text is not None:
        raise _unusable(
            key_path, f"it is missing, but {certificate_path} exists", "restore it from a backup"
        )
    if key_text is None:
        key = new_key()
        # The key first: a certificate without its key would be a promise nobody can keep.
        write_durably(key_path, key_pem(key), SECRET)
    else:
        key = _key_from(key_text, key_path)
    if certificate_text is None:
        authority = new_authority(now, key)
        write_durably(certificate_path, authority.pem, SECRET)
        return authority
    certificate = _certificate_from(certificate_text, certificate_path)
    if spki_sha256(certificate.public_key()) != spki_sha256(key.public_key()):
        raise _unusable(certificate_path, f"it is not that of {key_path}", "restore both together")
    return Authority(key, certificate)


def _serves(certificate: x509.Certificate, authority: Authority, names: set[str]) -> bool:
    alternatives = alternative_names(certificate)
    wanted = {general_name(name) for name in names}
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return alternatives is not None and set(alternatives) == wanted


def server_identity(
    authority: Authority, state_dir: Path, names: Iterable[str], now: datetime
) -> Identity:
    """The region's server key and certificate, made or renewed if need be.

    Call it at start and then daily: it writes only when less than a third of the lifetime
    is left, the names have changed, or the file is damaged or of another authority.

    Raises:
        StorageError, NoSpace: the state directory cannot be written.
    """
    wanted = set(names)
    path = state_dir / SERVER_FILE
    text = _read(path)
    if text is not None:
        with contextlib.suppress(ConfigError):
            identity = Identity(
                _key_from(text, path), _certificate_from(text, path), authority.certificate
            )
            remaining = identity.certificate.not_valid_after_utc - now
            is_young = SERVER_LIFETIME / 3 < remaining <= SERVER_LIFETIME + ALLOWED_SKEW
            if is_young and _serves(identity.certificate, authority, wanted):
                return identity
    identity = authority.issue_server(sorted(wanted), now)
    # Key and certificate in one file: one rename replaces both.
    write_durably(path, key_pem(identity.key) + certificate_pem(identity.certificate), SECRET)
    return identity


def load_or_create_rack_key(state_dir: Path) -> Key:
    """The rack's key; durable before this returns, so that a retry uses the same one."""
    make_directory(state_dir, 0o700)
    path = state_dir / RACK_KEY
    text = _read(path)
    if text is not None:
        return _key_from(text, path)
    key = new_key()
    write_durably(path, key_pem(key), SECRET)
    return key


def load_rack_identity(state_dir: Path) -> Identity | None:
    """What an enrolled rack is; None before it has enrolled.

    Raises:
        ConfigError: the files are there and cannot be used.
    """
    paths = [state_dir / name for name in (RACK_KEY, RACK_CERTIFICATE, AUTHORITY_CERTIFICATE)]
    texts = [_read(path) for path in paths]
    key, certificate, root = texts
    if key is None or certificate is None or root is None:
        return None
    identity = Identity(
        _key_from(key, paths[0]),
        _certificate_from(certificate, paths[1]),
        _certificate_from(root, paths[2]),
    )
    if spki_sha256(identity.certificate.public_key()) != spki_sha256(identity.key.public_key()):
        raise _unusable(paths[1], f"it is not that of {paths[0]}", "enrol this rack again")
    return identity


def save_rack_certificate(state_dir: Path, certificate: bytes, root: bytes) -> None:
    """Keep what enrolment gave. The root goes first: the certificate means "enrolled"."""
    write_durably(state_dir / AUTHORITY_CERTIFICATE, root, SECRET)
    write_durably(state_dir / RACK_CERTIFICATE, certificate, SECRET)
