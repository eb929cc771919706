"""Tokens: one-time permission for a rack to enrol (pure).

A token is ``rg1.`` and the base64url text, without padding, of

    SHA-256 of the public key of the region's authority (32 bytes)  +  a secret (24 bytes)

79 characters in all. The first half is the *pin*: with it the rack knows the region
before it says anything. The second half is what the rack says then. The region keeps
only the SHA-256 of the secret.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable

import attrs

from common.errors import WrongUsage

PREFIX = "rg1."
PIN_BYTES = 32
SECRET_BYTES = 24
LIFETIME_S = 3600.0


@attrs.frozen
class Token:
    """``pin``: SHA-256 of the authority's public key. ``secret`` is never logged."""

    pin: bytes
    secret: bytes = attrs.field(repr=False)


def new_token(pin: bytes, random_bytes: Callable[[int], bytes]) -> Token:
    """A fresh token for the authority with that pin; ``random_bytes`` as ``os.urandom``."""
    return Token(pin, random_bytes(SECRET_BYTES))


def format_token(token: Token) -> str:
    """The text that an admin carries to the rack."""
    return PREFIX + base64.urlsafe_b64encode(token.pin + token.secret).decode("ascii").rstrip("=")


def parse_token(text: str) -> Token:
    """The inverse of ``format_token``; white space around the text is ignored.

    Raises:
        WrongUsage: code ``token-malformed``; the text itself is not repeated.
    """
    word = text.strip()
    encoded = word.removeprefix(PREFIX)
    try:
        content = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    token = Token(content[:PIN_BYTES], content[PIN_BYTES:])
    if len(content) != PIN_BYTES + SECRET_BYTES or format_token(token) != word:
        raise WrongUsage(
            f"not a token: {len(word)} characters that do not read as {PREFIX}... of 79",
            object="token",
            code="token-malformed",
            remedy="copy the whole line that rack-controllers create-token printed",
        )
    return token


def secret_sha256(secret: bytes) -> str:
    """Under which name the region keeps a secret: lower-case hexadecimal."""
    return hashlib.sha256(secret).hexdigest()
