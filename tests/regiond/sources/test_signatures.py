"""Real GnuPG on real documents."""

import functools
import os
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from common.errors import ConfigError, SignatureError
from regiond import timed_gpg
from regiond.sources import signatures
from regiond.sources.signatures import inspect_keyring, verify, verify_each
from regiond.sources.verdict import FOOTER, HEADER
from tests.doubles.gpg_keys import fingerprint, gnupg_home, gpg, public_keys, signed

TEXT = b'{"format": "index:1.0",\n "index": {}}\n'
GOOD = ("rsa", "ed25519")
ALL = (*GOOD, "expired", "revoked", "weak")
NOW = time.mktime((2026, 11, 21, 12, 0, 0, 0, 0, 0))


@functools.cache
def accepted() -> dict[str, bytes]:
    """Documents that a good key signed."""
    return {
        "RSA 3072": signed(TEXT, "rsa"),
        "Ed25519": signed(TEXT, "ed25519"),
        "SHA-256": signed(TEXT, "rsa", digest="SHA256"),
        "SHA-384": signed(TEXT, "rsa", digest="SHA384"),
        "two keys": signed(TEXT, "rsa", "ed25519"),
        "a good and an expired key": signed(TEXT, "ed25519", "expired"),
        "a good and a weak key": signed(TEXT, "weak", "ed25519"),
        "a good and an unknown key": signed(TEXT, "outsider", "ed25519"),
        "an unknown and a good key": signed(TEXT, "ed25519", "outsider"),
    }


def rsa() -> bytes:
    """A good document."""
    return signed(TEXT, "rsa")


@functools.cache
def refused() -> dict[str, tuple[bytes, str]]:
    """Documents that must be refused, and how."""
    good = rsa()
    armour = good[good.index(b"-----BEGIN PGP SIGNATURE") :]
    return {
        "unsigned": (TEXT, "signature-missing"),
        "empty": (b"", "signature-missing"),
        "HTML": (b"<html>not here</html>", "signature-missing"),
        "another form of OpenPGP": (signed(TEXT, "rsa", form="sign"), "signature-missing"),
        "detached": (signed(TEXT, "rsa", form="detach-sign"), "signature-missing"),
        "header alone": (HEADER + b"\n\n" + TEXT, "signature-truncated"),
        "cut in the text": (good[:80], "signature-truncated"),
        "cut in the signature": (good[:-60], "signature-truncated"),
        "no signature at all": (
            HEADER + b"\n\n" + TEXT + armour[:29] + b"\n" + FOOTER,
            "signature-bad",
        ),
        "tampered": (good.replace(b"index:1.0", b"index:2.0"), "signature-bad"),
        "tampered signature": (good.replace(armour[40:44], b"AAAA"), "signature-bad"),
        "no Hash line": (good.replace(b"Hash: SHA512\n", b""), "signature-bad"),
        "unknown key": (signed(TEXT, "ed25519"), "signature-unknown-key"),
        "expired key": (signed(TEXT, "expired"), "signature-key-expired"),
        "revoked key": (signed(TEXT, "revoked"), "signature-key-revoked"),
        "expired signature": (signed(TEXT, "rsa", expired=True), "signature-expired"),
        "SHA-1": (signed(TEXT, "rsa", digest="SHA1"), "signature-weak-digest"),
        "MD5": (signed(TEXT, "rsa", digest="MD5"), "signature-weak-digest"),
        "RSA 1024": (signed(TEXT, "weak"), "signature-weak-key"),
        "from the future": (signed(TEXT, "future"), "signature-clock"),
        "expired and revoked": (signed(TEXT, "expired", "revoked"), "signature-key-expired"),
        "text before": (b"x\n" + good, "signature-surrounding-text"),
        "blank line before": (b"\n" + good, "signature-surrounding-text"),
        "text after": (good + b"x\n", "signature-surrounding-text"),
        "text between text and signature": (good.replace(armour, b"x\n" + armour), "signature-bad"),
        "text between two signatures": (good + b"x\n" + armour, "signature-surrounding-text"),
        "two documents": (good + good, "signature-surrounding-text"),
        "two documents, other keys": (
            signed(b"{}\n", "ed25519") + good,
            "signature-surrounding-text",
        ),
        "a document in a document": (
            signed(good, "ed25519").replace(b"- ", b""),
            "signature-surrounding-text",
        ),
    }


class VerifyTests(SynchronousTestCase):
    """``verify``"""

    def test_accepted(self) -> None:
        """What a good key signed is accepted, and its text handed back byte for byte."""
        keyring = public_keys(*ALL)
        for case, document in accepted().items():
            with self.subTest(case):
                verified = verify(document, keyring, name="x", now=NOW)
                self.assertEqual(verified.payload, TEXT)
                self.assertIn(verified.fingerprint, [fingerprint(key) for key in GOOD])

    def test_refused(self) -> None:
        """Everything else is refused, with a code of its own, the document's name and a remedy."""
        keyring = public_keys("rsa", "expired", "revoked", "weak")
        for case, (document, code) in refused().items():
            with self.subTest(case):
                error = self.assertRaises(
                    SignatureError, verify, document, keyring, name="http://x/i.sjson", now=NOW
                )
                self.assertEqual((error.code, error.object), (code, "http://x/i.sjson"))
                self.assertTrue(error.remedy)

    def test_clock(self) -> None:
        """A document from the future is a question of clocks, also if its key is at hand."""
        document = signed(TEXT, "future")
        for armoured in (False, True):
            keyring = public_keys("rsa", "future", armoured=armoured)
            error = self.assertRaises(SignatureError, verify, document, keyring, name="x", now=NOW)
            self.assertEqual(error.code, "signature-clock")

    def test_line_ends(self) -> None:
        """A document with CRLF is accepted; the text is what GnuPG says it is."""
        document = signed(TEXT, "rsa").replace(b"\n", b"\r\n")
        verified = verify(document, public_keys("rsa"), name="x", now=NOW)
        self.assertEqual(verified.payload.replace(b"\r\n", b"\n"), TEXT)

    def test_escaped_dashes(self) -> None:
        """Armour lines inside the signed text are text."""
        text = HEADER + b"\n" + FOOTER + b"\n"
        verified = verify(signed(text, "rsa"), public_keys("rsa"), name="x", now=NOW)
        self.assertEqual(verified.payload, text)

    def test_key_forms(self) -> None:
        """A keyring may be binary, armoured, or a GnuPG keybox."""
        document = signed(TEXT, "ed25519")
        forms = [
            public_keys(*GOOD),
            public_keys(*GOOD, armoured=True),
            (gnupg_home() / "pubring.kbx").read_bytes(),
        ]
        for keyring in forms:
            self.assertEqual(verify(document, keyring, name="x", now=NOW).payload, TEXT)

    def test_unusable_keyring(self) -> None:
        """A keyring that holds no key says so, whatever the document."""
        for keyring in (b"", b"junk", signed(TEXT, "rsa")):
            error = self.assertRaises(SignatureError, verify, rsa(), keyring, name="x", now=NOW)
            self.assertEqual(error.code, "signature-keyring-unusable")

    def test_users_keyring(self) -> None:
        """Keys of the daemon's user count for nothing."""
        with mock.patch.dict(os.environ, GNUPGHOME=str(gnupg_home()), HOME=str(gnupg_home())):
            error = self.assertRaises(
                SignatureError, verify, rsa(), public_keys("ed25519"), name="x", now=NOW
            )
        self.assertEqual(error.code, "signature-unknown-key")

    def test_too_large(self) -> None:
        """A document above the limit is refused before GnuPG sees it, also if its text is."""
        self.patch(signatures, "MAX_DOCUMENT_BYTES", 100)
        error = self.assertRaises(
            SignatureError, verify, rsa(), public_keys("rsa"), name="x", now=NOW
        )
        self.assertEqual(error.code, "signature-too-large")

    def test_time_limit(self) -> None:
        """A GnuPG that takes too long is killed, and named."""
        slow = Path(tempfile.mkdtemp(prefix="slow-"))
        self.addCleanup(shutil.rmtree, slow)
        script = slow / "gpg"
        script.write_text(
            '#!/bin/sh\ncase "$*" in *--decrypt*) exec sleep 60;; esac\n'
            f'PATH={os.environ["PATH"]} exec gpg "$@"\n'
        )
        script.chmod(0o755)
        self.patch(timed_gpg, "TIME_LIMIT_S", 1.0)
        with mock.patch.dict(os.environ, PATH=f"{slow}:{os.environ['PATH']}"):
            error = self.assertRaises(
                SignatureError, verify, rsa(), public_keys("rsa"), name="x", now=NOW
            )
        self.assertEqual(error.code, "signature-timeout")

    def test_no_gpg(self) -> None:
        """Without gpg the message names the program and how to get it."""
        public_keys("rsa")
        with mock.patch.dict(os.environ, PATH="/nonexistent"):
            error = self.assertRaises(ConfigError, verify, rsa(), b"", name="x", now=NOW)
        self.assertEqual(error.object, "gpg")

    def test_leaves_nothing(self) -> None:
        """Homes are private while they exist, and gone afterwards, agent and all."""
        seen: list[int] = []
        made = tempfile.TemporaryDirectory

        def noted(**arguments: str) -> "tempfile.TemporaryDirectory[str]":
            directory = made(**arguments)
            seen.append(stat.S_IMODE(Path(directory.name).stat().st_mode))
            self.homes = [*getattr(self, "homes", []), Path(directory.name)]
            return directory

        self.patch(tempfile, "TemporaryDirectory", noted)
        verify(rsa(), public_keys("rsa"), name="x", now=NOW)
        self.assertEqual(seen, [0o700])
        self.assertFalse(any(home.exists() for home in self.homes))


class VerifyEachTests(SynchronousTestCase):
    """``verify_each``"""

    def test_own_outcomes(self) -> None:
        """One bad document does not spoil the others."""
        outcomes = verify_each({"good": rsa(), "bad": TEXT}, public_keys("rsa"), now=NOW)
        self.assertEqual(getattr(outcomes["good"], "payload", None), TEXT)
        self.assertIsInstance(outcomes["bad"], SignatureError)


class InspectKeyringTests(SynchronousTestCase):
    """``inspect_keyring``"""

    def test_states(self) -> None:
        """Fingerprints, expired and revoked keys are told apart."""
        keys = {key.name: key for key in inspect_keyring(public_keys(*ALL))}
        self.assertEqual({name for name, key in keys.items() if key.expired}, {"expired"})
        self.assertEqual({name for name, key in keys.items() if key.revoked}, {"revoked"})
        self.assertEqual(keys["rsa"].fingerprint, fingerprint("rsa"))
        self.assertEqual(keys["rsa"].signers[fingerprint("rsa")], ("1", 3072))

    def test_subkeys(self) -> None:
        """A document signed by a subkey counts for its primary key."""
        home = ["--homedir", self._home()]
        gpg(*home, "--quick-gen-key", "parent", "ed25519", "cert", "never")
        listing = gpg(*home, "--with-colons", "--list-keys").decode()
        parent = next(row.split(":")[9] for row in listing.splitlines() if row.startswith("fpr"))
        gpg(*home, "--quick-add-key", parent, "ed25519", "sign", "never")
        document = gpg(*home, "--clear-sign", stdin=TEXT)
        keyring = gpg(*home, "--export")
        verified = verify(document, keyring, name="x", now=time.time())
        self.assertEqual((verified.fingerprint, verified.payload), (parent, TEXT))
        [key] = inspect_keyring(keyring)
        self.assertEqual(len(key.signers), 2)

    def _home(self) -> str:
        home = tempfile.mkdtemp(prefix="gk-")
        self.addCleanup(gpg_agent_ends, home)
        return home


def gpg_agent_ends(home: str) -> None:
    """Stop what gpg started for a home, and remove it."""
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)
