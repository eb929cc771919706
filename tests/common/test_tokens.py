"""Tokens."""

import contextlib
import os
import string

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from common.tokens import Token, format_token, new_token, parse_token, secret_sha256

_TOKEN = format_token(Token(b"p" * 32, b"s" * 24))


class TokenTests(SynchronousTestCase):
    """One-time permissions."""

    @settings(max_examples=50)
    @given(st.binary(min_size=32, max_size=32), st.binary(min_size=24, max_size=24))
    def test_text_and_back(self, pin: bytes, secret: bytes) -> None:
        """Every token survives being written and read."""
        text = format_token(Token(pin, secret))
        self.assertEqual(parse_token(f" {text}\n"), Token(pin, secret))
        self.assertEqual(len(text), 79)

    def test_malformed(self) -> None:
        """What is no token is refused as such, without being repeated."""
        for text in (
            "",
            "rg1.",
            _TOKEN[:-1],
            _TOKEN + "A",
            _TOKEN[4:],
            "rg2." + _TOKEN[4:],
            _TOKEN.replace("c", "+"),
            _TOKEN + "=",
            "rg1." + "é" * 75,
        ):
            error = self.assertRaises(WrongUsage, parse_token, text)
            self.assertEqual(error.code, "token-malformed")
            self.assertNotIn(_TOKEN[10:40], error.line())

    @settings(max_examples=100)
    @given(st.text(string.printable, max_size=100))
    def test_any_text(self, text: str) -> None:
        """No text whatever makes the reader fail in another way."""
        with contextlib.suppress(WrongUsage):
            self.assertEqual(format_token(parse_token(text)), text.strip())

    def test_secret_is_not_shown(self) -> None:
        """A token in a log does not give its secret away."""
        token = new_token(b"p" * 32, os.urandom)
        self.assertNotIn(repr(token.secret)[2:-1], repr(token))

    def test_kept_as_digest(self) -> None:
        """What the region keeps is a SHA-256 of the secret."""
        self.assertEqual(len(secret_sha256(b"x")), 64)
        self.assertNotEqual(secret_sha256(b"x"), secret_sha256(b"y"))
