"""Real GnuPG makes the region's key and signs with it."""

import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from common.errors import ConfigError
from regiond import stream_signing, timed_gpg
from regiond.sources.signatures import inspect_keyring, verify
from regiond.stream_signing import SigningKey, make_key, sign_each

TEXT = b'{\n "a": "-b"\n}\n'


class SigningTests(SynchronousTestCase):
    key: SigningKey

    def setUp(self) -> None:
        self.state_dir = Path(tempfile.mkdtemp(prefix="rf-sign-"))
        self.addCleanup(shutil.rmtree, self.state_dir)
        if not hasattr(SigningTests, "key"):
            SigningTests.key = make_key(self.state_dir)

    def broken_gpg(self, script: str) -> None:
        """Another program of that name."""
        directory = self.state_dir / "bin"
        directory.mkdir()
        program = directory / "gpg"
        program.write_text(f'#!/bin/sh\n{script}\nPATH={os.environ["PATH"]} exec gpg "$@"\n')
        program.chmod(0o755)
        changed = mock.patch.dict(os.environ, PATH=f"{directory}:{os.environ['PATH']}")
        changed.start()
        self.addCleanup(changed.stop)

    def fails(self, *, because: str) -> None:
        error = self.assertRaises(ConfigError, sign_each, {"a": TEXT}, self.key, self.state_dir)
        self.assertEqual((error.code, error.object), ("stream-signing", "images-stream"))
        self.assertIn(because, error.message)

    def test_what_is_signed_verifies_by_the_public_key(self) -> None:
        """As any boot source does; each document by itself, byte for byte."""
        documents = {"a": TEXT, "b": b"{}\n"}
        signed = sign_each(documents, self.key, self.state_dir)
        for name, document in documents.items():
            found = verify(signed[name], self.key.public, name=name, now=time.time())
            self.assertEqual(found.payload, document)
            self.assertEqual(found.fingerprint, self.key.fingerprint)

    def test_the_public_key_is_a_keyring_without_secrets(self) -> None:
        """One key, which never ends and only signs."""
        (listed,) = inspect_keyring(self.key.public)
        self.assertEqual((listed.expires_at, listed.fingerprint), (None, self.key.fingerprint))
        self.assertNotIn(repr(self.key.secret), repr(self.key))

    def test_nothing_is_left(self) -> None:
        """The home is private while it exists; and also what a killed daemon left goes."""
        left = self.state_dir / "gnupg-left"
        left.mkdir()
        (left / "secret").write_bytes(b"x")
        modes: list[int] = []

        def looked(gpg: object, key: str, document: bytes, **_: str) -> bytes:
            homes = list(self.state_dir.iterdir())
            modes.extend(stat.S_IMODE(home.stat().st_mode) for home in homes)
            return document

        self.patch(stream_signing, "clear_signed", looked)
        sign_each({"a": TEXT}, self.key, self.state_dir)
        self.assertEqual((modes, list(self.state_dir.iterdir())), ([0o700], []))

    def test_a_directory_whose_path_is_too_long_for_sockets(self) -> None:
        """GnuPG's agent listens beside its keys, so it gets a shorter place."""
        deep = self.state_dir / ("d" * 60) / ("e" * 60)
        deep.mkdir(parents=True)
        signed = sign_each({"a": TEXT}, self.key, deep)
        self.assertEqual(
            verify(signed["a"], self.key.public, name="a", now=time.time()).payload, TEXT
        )

    def test_a_refusal_says_why(self) -> None:
        """In GnuPG's own words."""
        self.broken_gpg('case "$*" in *--clearsign*) echo "gpg: no luck" >&2; exit 2;; esac')
        self.fails(because="no luck")

    def test_a_key_that_is_none(self) -> None:
        """A damaged one is not signed with."""
        damaged = SigningKey(self.key.fingerprint, b"\x95", self.key.public)
        error = self.assertRaises(ConfigError, sign_each, {"a": TEXT}, damaged, self.state_dir)
        self.assertEqual(error.code, "stream-signing")

    def test_time_limit(self) -> None:
        """A GnuPG that hangs is killed, and named."""
        self.broken_gpg('case "$*" in *--clearsign*) exec sleep 600;; esac')
        self.patch(timed_gpg, "TIME_LIMIT_S", 1.0)
        self.fails(because="took longer than")

    def test_no_key_can_be_made(self) -> None:
        """Said like any refusal."""
        self.broken_gpg('case "$*" in *--gen-key*) echo "gpg: no dice" >&2; exit 2;; esac')
        error = self.assertRaises(ConfigError, make_key, self.state_dir)
        self.assertEqual(error.code, "stream-signing")
        self.assertIn("no dice", error.message)
