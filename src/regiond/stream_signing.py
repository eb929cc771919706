"""The key that signs the region's own stream, and signing with it: real GnuPG.

The key lives in the database, so that it is one for all regions and in every backup. GnuPG
gets it in a home below ``state_dir`` (0700) that exists for one call. The end of that home
ends the agent that GnuPG starts there, too. All functions block: call them in a thread.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs

from common.clear_signing import clear_signed, said_by_gpg
from common.durable import remove_tree
from common.errors import ConfigError
from regiond.timed_gpg import TIME_LIMIT_S, TimedGpg

OBJECT = "images-stream"
_REMEDY = "look at the log, and whether gpg and gpg-agent run for the daemon's user"
_HOME = "gnupg-"
_OPTIONS = ["--no-options", "--batch", "--pinentry-mode=loopback", "--no-auto-check-trustdb"]
_SOCKET_PATH_LIMIT_BYTES = 108  # sun_path in sockaddr_un on Linux
_SOCKET_NAME_BYTES = len("/gnupg-12345678/S.gpg-agent.browser") + 1
_KEY = """\
Key-Type: EDDSA
Key-Curve: ed25519
Key-Usage: sign
Name-Real: Rackferry images-stream
Expire-Date: 0
%no-protection
%commit
"""


@attrs.frozen
class SigningKey:
    """An OpenPGP key: ``public`` is a binary keyring, ``secret`` has no passphrase."""

    fingerprint: str
    secret: bytes = attrs.field(repr=False)
    public: bytes


def make_key(state_dir: Path) -> SigningKey:
    """A new key: ed25519, for signing, without an end.

    Raises:
        ConfigError: GnuPG cannot make one.
    """
    with _opened(state_dir) as gpg:
        made = gpg.gen_key(_KEY)
        fingerprint = str(made.fingerprint or "")
        secret = gpg.export_keys(fingerprint, True, armor=False, expect_passphrase=False)
        public = gpg.export_keys(fingerprint, False, armor=False)
        if not (fingerprint and secret and public):
            raise _failed(f"GnuPG cannot make a key: {said_by_gpg(made.stderr)}")
        return SigningKey(fingerprint, bytes(secret), bytes(public))


def sign_each(documents: Mapping[str, bytes], key: SigningKey, state_dir: Path) -> dict[str, bytes]:
    """The documents, by the same names, clear-signed.

    Raises:
        ConfigError: GnuPG cannot sign with this key.
    """
    with _opened(state_dir) as gpg:
        imported = gpg.import_keys(key.secret)
        if not imported.sec_imported:
            raise _failed(f"GnuPG cannot read the key: {said_by_gpg(imported.stderr)}")
        return {
            name: clear_signed(
                gpg,
                key.fingerprint,
                document,
                object=OBJECT,
                code="stream-signing",
                remedy=_REMEDY,
            )
            for name, document in documents.items()
        }


@contextmanager
def _opened(state_dir: Path) -> Iterator[TimedGpg]:
    """GnuPG in a new home; what a killed daemon left goes first.

    Raises:
        ConfigError: it took too long.
    """
    for left in state_dir.glob(f"{_HOME}*"):
        remove_tree(left)
    is_short = len(os.fsencode(state_dir)) + _SOCKET_NAME_BYTES <= _SOCKET_PATH_LIMIT_BYTES
    with ExitStack() as stack:
        # The agent's socket is in the home, and the path of a socket cannot be long.
        home = stack.enter_context(
            TemporaryDirectory(prefix=_HOME, dir=state_dir if is_short else None)
        )
        gpg = stack.enter_context(closing(TimedGpg(Path(home), _OPTIONS)))
        try:
            yield gpg
        except ConfigError:
            if gpg.ran_out_of_time:
                raise _failed(f"GnuPG took longer than {TIME_LIMIT_S:.0f} s") from None
            raise


def _failed(message: str) -> ConfigError:
    return ConfigError(message, object=OBJECT, code="stream-signing", remedy=_REMEDY)
