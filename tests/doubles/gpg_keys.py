"""Throwaway GnuPG keys, made once per session in a home of their own, and what they sign.

Keys are made with a faked clock, so that expired and future ones are what they are at any
time the tests run:

========  ==================================================================
rsa       RSA 3072, good
ed25519   good
outsider  good; for keyrings to leave out
expired   ed25519, 2020 to 2021
future    ed25519, made in 2090
revoked   ed25519, its revocation is part of what ``public_keys`` exports
weak      RSA 1024
========  ==================================================================
"""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_BORN = "20190101T000000"
_KINDS = {
    "rsa": ("rsa3072", _BORN, "never"),
    "ed25519": ("ed25519", _BORN, "never"),
    "outsider": ("ed25519", _BORN, "never"),
    "expired": ("ed25519", "20200101T000000", "1y"),
    "future": ("ed25519", "20900101T000000", "never"),
    "revoked": ("ed25519", _BORN, "never"),
    "weak": ("rsa1024", _BORN, "never"),
}
_SIGNED_AT = {"expired": "20200601T000000", "future": "20900601T000000"}


@functools.cache
def gnupg_home() -> Path:
    """The home with the secret keys; short, for the agent's socket."""
    home = Path(tempfile.mkdtemp(prefix="gk-"))
    atexit.register(_forget, home)
    return home


def _forget(home: Path) -> None:
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)


def gpg(*arguments: str, stdin: bytes = b"") -> bytes:
    """What ``gpg`` writes, with the secret keys' home."""
    command = ["gpg", "--batch", "--yes", "--quiet", "--no-tty", "--homedir", str(gnupg_home())]
    result = subprocess.run(
        [*command, "--passphrase", "", "--pinentry-mode", "loopback", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )
    if result.returncode != 0:
        raise AssertionError(f"gpg {arguments}: {result.stderr.decode()}")
    return result.stdout


@functools.cache
def fingerprint(name: str) -> str:
    """The fingerprint of a key, which is made when it is first asked for."""
    kind, born, lifetime = _KINDS[name]
    gpg("--faked-system-time", born, "--quick-gen-key", name, kind, "sign", lifetime)
    listing = gpg("--with-colons", "--list-keys", f"={name}").decode()
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))


@functools.cache
def signed(
    text: bytes,
    *names: str,
    digest: str = "SHA512",
    expired: bool = False,
    form: str = "clear-sign",
) -> bytes:
    """A text, clear-signed by these keys.

    Args:
        text: what is signed.
        names: of the keys.
        digest: algorithm of the signatures.
        expired: whether the signature (not the key) has expired.
        form: another way to sign: "sign", "detach-sign".
    """
    signers = [part for name in names for part in ("--local-user", f"={name}")]
    special = [_SIGNED_AT[name] for name in names if name in _SIGNED_AT]
    at = special[0] if special else "20250601T000000"
    lifetime = ["--default-sig-expire", "seconds=60"] if expired else []
    for name in names:
        fingerprint(name)
    options = ["--digest-algo", digest, "--allow-weak-digest-algos"]
    return gpg(
        "--faked-system-time", at, *lifetime, *options, *signers, "--armor", f"--{form}", stdin=text
    )


@functools.cache
def public_keys(*names: str, armoured: bool = False) -> bytes:
    """A keyring with these public keys."""
    prints = [fingerprint(name) for name in names]
    form = ["--armor"] if armoured else []
    if "revoked" not in names:
        return gpg(*form, "--export", *prints)
    with tempfile.TemporaryDirectory(prefix="gk-") as home:
        elsewhere = ["--homedir", home]
        gpg(*elsewhere, "--import", stdin=gpg("--export", *prints))
        gpg(*elsewhere, "--import", stdin=_revocation(fingerprint("revoked")))
        return gpg(*elsewhere, *form, "--export")


def _revocation(print_: str) -> bytes:
    """The certificate that gpg keeps beside each new key; a colon in it prevents accidents."""
    path = gnupg_home() / "openpgp-revocs.d" / f"{print_}.rev"
    return path.read_bytes().replace(b":-----BEGIN", b"-----BEGIN")
