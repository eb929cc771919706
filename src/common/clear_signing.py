"""Clear-signing documents with GnuPG."""

import gnupg

from common.errors import ConfigError


def clear_signed(
    gpg: gnupg.GPG, key: str, document: bytes, *, object: str, code: str, remedy: str
) -> bytes:
    """The document clear-signed with SHA-512.

    The key is named by --local-user: --default-key, which python-gnupg would use, falls
    back to another key without an error.

    Args:
        gpg: whose home has the secret key.
        key: its fingerprint.
        document: a text whose lines are short.
        object: of the error.
        code: of the error.
        remedy: of the error.

    Raises:
        ConfigError: GnuPG cannot sign with that key.
    """
    options = ["--local-user", key, "--digest-algo", "SHA512"]
    signed = gpg.sign(document, clearsign=True, extra_args=options)
    if signed.returncode != 0 or not signed.data:
        raise ConfigError(
            f"GnuPG cannot sign with this key: {said_by_gpg(signed.stderr)}",
            object=object,
            code=code,
            remedy=remedy,
        )
    return bytes(signed.data)


def said_by_gpg(stderr: str) -> str:
    """The last thing that GnuPG said to people."""
    lines = [line for line in stderr.splitlines() if line.startswith("gpg: ")]
    return lines[-1].removeprefix("gpg: ") if lines else "no reason given"
