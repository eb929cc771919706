"""GnuPG, asked about signed documents, in a home of its own.

The only text that is ever parsed is the one that GnuPG gives back. Each call makes a
temporary home (mode 0700) with nothing but the source's keyring and the standard
configuration off, so that keys and settings of the daemon's user change nothing.

All functions block, for some 20 ms: call them in a thread.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import attrs
import gnupg

from common.durable import write_durably
from common.errors import ConfigError, SignatureError
from regiond.sources.strict_json import MAX_DOCUMENT_BYTES
from regiond.sources.verdict import Key, check_frame, judge

if TYPE_CHECKING:
    from subprocess import Popen

TIME_LIMIT_S = 30.0

_KEYBOX_MAGIC = b"KBXf"  # at offset 8 of a GnuPG keybox, which --import cannot read
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
        keyring: public keys, binary or armoured.
        name: the document's URL, for messages.
        now: seconds since the epoch, to tell a wrong clock from an unknown key.

    Raises:
        SignatureError: as ``verdict`` says; ``signature-too-large``,
            ``signature-keyring-unusable``, ``signature-timeout``.
        ConfigError: there is no ``gpg``.
    """
    return verify_all({name: document}, keyring, now=now)[name]


def verify_all(
    documents: Mapping[str, bytes], keyring: bytes, *, now: float
) -> dict[str, Verified]:
    """Several documents by one keyring, all or none; see ``verify``."""
    for name, document in documents.items():
        _demand_size(len(document), name)
        check_frame(document, name)
    with _opened(keyring, next(iter(documents), "keyring")) as (gpg, keys):
        return {
            name: _verify(document, gpg, keys, name, now) for name, document in documents.items()
        }


def inspect_keyring(keyring: bytes) -> tuple[Key, ...]:
    """The primary keys of a keyring.

    Raises:
        SignatureError: ``signature-keyring-unusable``, no key in it can be read.
        ConfigError: there is no ``gpg``.
    """
    with _opened(keyring, "keyring") as (_, keys):
        return tuple(keys)


def _verify(document: bytes, gpg: "_Gpg", keys: Sequence[Key], name: str, now: float) -> Verified:
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
def _opened(keyring: bytes, name: str) -> Iterator[tuple["_Gpg", Sequence[Key]]]:
    with tempfile.TemporaryDirectory(prefix="rackferry-gnupg-") as home:
        gpg = _Gpg.at(Path(home))
        if keyring[8:12] == _KEYBOX_MAGIC:
            write_durably(Path(home, "pubring.kbx"), keyring, 0o600)
        else:
            gpg.import_keys(keyring)
        keys = [_key(listed) for listed in gpg.list_keys()]
        if not keys:
            raise SignatureError(
                "the keyring holds no key that GnuPG can use",
                object=name,
                code="signature-keyring-unusable",
                remedy="give a file made by gpg --export, armoured or not; "
                "if its keys are from the future, set this machine's clock",
            )
        yield gpg, keys


def _key(listed: Mapping[str, Any]) -> Key:
    subkeys = listed.get("subkey_info", {}).values()
    return Key(
        fingerprint=listed["fingerprint"],
        name=(listed["uids"] or [""])[0],
        expired=listed["trust"] == "e",
        revoked=listed["trust"] == "r",
        signers={
            key["fingerprint"]: (key["algo"], int(key["length"])) for key in (listed, *subkeys)
        },
    )


class _Gpg(gnupg.GPG):  # type: ignore[misc] # python-gnupg has no types
    """python-gnupg with a time limit, which it lacks: a late process is killed."""

    ran_out_of_time = False

    @classmethod
    def at(cls, home: Path) -> "_Gpg":
        environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
        try:
            return cls(gnupghome=str(home), options=_OPTIONS, env=environment)
        except OSError as error:
            raise ConfigError(
                "the program gpg cannot be run, so no signature can be checked",
                object="gpg",
                code="config-gpg-missing",
                remedy="install GnuPG (package gnupg or gpg)",
            ) from error

    def _open_subprocess(self, args: list[str], passphrase: bool = False) -> "Popen[bytes]":
        process: "Popen[bytes]" = super()._open_subprocess(args, passphrase)
        timer = Timer(TIME_LIMIT_S, self._out_of_time, [process])
        timer.daemon = True
        timer.start()
        wait = process.wait

        def wait_and_cancel(timeout: float | None = None) -> int:
            timer.cancel()
            return wait(timeout)

        # python-gnupg waits for the process once it has read all its output.
        process.wait = wait_and_cancel
        return process

    def _out_of_time(self, process: "Popen[bytes]") -> None:
        self.ran_out_of_time = True
        process.kill()
