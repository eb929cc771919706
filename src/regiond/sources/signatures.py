"""GnuPG, asked about signed documents, in a home of its own.

The only text that is ever parsed is the one that GnuPG gives back. Each call makes a
temporary home (mode 0700) with nothing but the source's keyring and the standard
configuration off, so that keys and settings of the daemon's user change nothing.

All functions block, for some 20 ms: call them in a thread.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import attrs

from common.durable import SECRET, write_durably
from common.errors import SignatureError
from regiond.sources.strict_json import MAX_DOCUMENT_BYTES
from regiond.sources.verdict import Key, check_frame, judge
from regiond.timed_gpg import TIME_LIMIT_S, TimedGpg

_KEYBOX_MAGIC = b"KBXf"  # at offset 8 of a GnuPG keybox, which --import cannot read
_BINARY = b"\x80"  # every OpenPGP packet begins with a byte from here on; armour is ASCII
_SECRET_ARMOUR = b"-----BEGIN PGP PRIVATE KEY BLOCK-----"
_SECRET_PACKETS = {5, 7}  # a secret key, a secret subkey
_EXPORT = "give a file made by gpg --export, armoured or not"
_OPTIONS = [
    "--no-options",
    "--no-autostart",
    "--no-auto-key-retrieve",
    "--no-auto-check-trustdb",
    "--trust-model=always",
    f"--max-output={MAX_DOCUMENT_BYTES + 1}",
]


@attrs.frozen
class Verified:
    """The signed text of a document, and the primary key that signed it."""

    payload: bytes
    fingerprint: str


def verify(document: bytes, keyring: bytes, *, name: str, now: float) -> Verified:
    """The signed text of a clear-signed document.

    Args:
        document: as it was fetched.
        keyring: public keys, binary or armoured, or a GnuPG keybox.
        name: the document's URL, for messages.
        now: seconds since the epoch, to tell a wrong clock from an unknown key.

    Raises:
        SignatureError: as ``verdict`` says; ``signature-too-large``,
            ``signature-keyring-unusable``, ``signature-timeout``.
        ConfigError: there is no ``gpg``.
    """
    verified = verify_each({name: document}, keyring, now=now)[name]
    if isinstance(verified, SignatureError):
        raise verified
    return verified


def verify_each(
    documents: Mapping[str, bytes], keyring: bytes, *, now: float
) -> dict[str, Verified | SignatureError]:
    """Several documents by one keyring, each with its own outcome.

    Raises:
        SignatureError: ``signature-keyring-unusable``.
        ConfigError: there is no ``gpg``.
    """
    with _opened(keyring, next(iter(documents), "keyring")) as (gpg, keys):
        return {
            name: _outcome(document, gpg, keys, name, now) for name, document in documents.items()
        }


def inspect_keyring(keyring: bytes) -> tuple[Key, ...]:
    """The primary keys of a keyring.

    Raises:
        SignatureError: ``signature-keyring-unusable``, no key in it can be read;
            ``signature-keyring-secret``.
        ConfigError: there is no ``gpg``.
    """
    with _opened(keyring, "keyring") as (_, keys):
        return tuple(keys)


def _outcome(
    document: bytes, gpg: TimedGpg, keys: Sequence[Key], name: str, now: float
) -> Verified | SignatureError:
    try:
        return _verify(document, gpg, keys, name, now)
    except SignatureError as error:
        return error


def _verify(document: bytes, gpg: TimedGpg, keys: Sequence[Key], name: str, now: float) -> Verified:
    _demand_size(len(document), name)
    check_frame(document, name)
    result = gpg.decrypt(document)
    if gpg.ran_out_of_time:
        raise SignatureError(
            f"GnuPG took longer than {TIME_LIMIT_S:.0f} s",
            object=name,
            code="signature-timeout",
            remedy="look at the load of this machine",
        )
    payload = bytes(result.data)
    fingerprint = judge(result.stderr, keys, name, now)
    _demand_size(len(payload), name)
    return Verified(payload, fingerprint)


def _demand_size(size_bytes: int, name: str) -> None:
    if size_bytes > MAX_DOCUMENT_BYTES:
        raise SignatureError(
            f"the document is larger than {MAX_DOCUMENT_BYTES >> 20} MiB",
            object=name,
            code="signature-too-large",
            remedy="ask whoever publishes the source; the last good state is kept",
        )


@contextmanager
def _opened(keyring: bytes, name: str) -> Iterator[tuple[TimedGpg, Sequence[Key]]]:
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="rackferry-gnupg-"))
        gpg = stack.enter_context(closing(TimedGpg(Path(home), _OPTIONS)))
        _demand_public(keyring, name)
        if keyring[8:12] == _KEYBOX_MAGIC:
            write_durably(Path(home, "pubring.kbx"), keyring, SECRET)
        elif keyring[:1] >= _BINARY:
            # What gpg --export wrote is a keyring as it stands; importing costs 10 ms more.
            write_durably(Path(home, "pubring.gpg"), keyring, SECRET)
        else:
            gpg.import_keys(keyring)
        keys = [_key(listed) for listed in gpg.list_keys()]
        if not keys:
            raise SignatureError(
                "the keyring holds no key that GnuPG can use",
                object=name,
                code="signature-keyring-unusable",
                remedy=f"{_EXPORT}; if its keys are from the future, set this machine's clock",
            )
        yield gpg, keys


def _demand_public(keyring: bytes, name: str) -> None:
    """Refuse what is no keyring for everybody to see, before it is written anywhere."""
    if not keyring.strip():
        raise SignatureError(
            "the keyring is empty",
            object=name,
            code="signature-keyring-unusable",
            remedy=_EXPORT,
        )
    if _SECRET_ARMOUR in keyring or _first_packet(keyring) in _SECRET_PACKETS:
        raise SignatureError(
            "the keyring holds secret keys, which belong to the publisher alone",
            object=name,
            code="signature-keyring-secret",
            remedy="give the public ones, made by gpg --export; if the secret ones were sent "
            "around, revoke them",
        )


def _first_packet(keyring: bytes) -> int:
    """The tag of the first OpenPGP packet (RFC 4880, section 4.2); 0 if there is none."""
    first = keyring[0]
    if first < _BINARY[0]:
        return 0
    return first & 0x3F if first & 0x40 else (first >> 2) & 0x0F


def _key(listed: Mapping[str, Any]) -> Key:
    subkeys = listed.get("subkey_info", {}).values()
    return Key(
        fingerprint=listed["fingerprint"],
        name=(listed["uids"] or [""])[0],
        expired=listed["trust"] == "e",
        expires_at=int(listed["expires"]) if listed["expires"] else None,
        revoked=listed["trust"] == "r",
        signers={
            key["fingerprint"]: (key["algo"], int(key["length"])) for key in (listed, *subkeys)
        },
    )
