"""Status lines of GnuPG."""

from twisted.trial.unittest import SynchronousTestCase

from common.errors import SignatureError
from regiond.sources.verdict import Key, check_frame, judge

FINGERPRINT = "A" * 40
KEY = Key(FINGERPRINT, "me", expired=False, revoked=False, signers={FINGERPRINT: ("22", 255)})
PLAINTEXT = "[GNUPG:] PLAINTEXT 74 0"
GOOD = f"[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG X me\n[GNUPG:] VALIDSIG {FINGERPRINT} d 1 0 4 0 22 10 01 {FINGERPRINT}"
UNKNOWN = "[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG X 22 10 01 1 9 F\n[GNUPG:] NO_PUBKEY X"


def verdict(*lines: str, key: Key = KEY) -> str:
    """The fingerprint, or the code of the refusal."""
    try:
        return judge("\n".join(lines), [key], "x", 1000.0)
    except SignatureError as error:
        return error.code


class JudgeTests(SynchronousTestCase):
    """``judge``: what real GnuPG says only in cases that are hard to make"""

    def test_good(self) -> None:
        """One good signature is enough, beside an unknown one, whatever else gpg prints."""
        self.assertEqual(verdict(PLAINTEXT, GOOD), FINGERPRINT)
        noise = "gpg: WARNING: x\n[GNUPG:] \n[GNUPG:] FAILURE gpg-exit 33554433"
        self.assertEqual(verdict(PLAINTEXT, UNKNOWN, GOOD, noise), FINGERPRINT)

    def test_spoilt(self) -> None:
        """A good signature does not help a document that something else is wrong with."""
        for line in (
            "[GNUPG:] NEWSIG\n[GNUPG:] BADSIG X me",
            "[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG X 22 10 01 1 1 F",
            "[GNUPG:] NODATA 2",
            "[GNUPG:] UNEXPECTED 0",
            "[GNUPG:] ERROR proc_pkt.plaintext 89_BAD_DATA",
            PLAINTEXT,
        ):
            with self.subTest(line):
                self.assertEqual(verdict(PLAINTEXT, GOOD, line), "signature-bad")

    def test_plaintext(self) -> None:
        """The text must come from one clear-signed part, not from a binary message."""
        for plaintext in ("", "[GNUPG:] PLAINTEXT 62 0"):
            self.assertEqual(verdict(plaintext, GOOD), "signature-bad")

    def test_valid_is_not_enough(self) -> None:
        """VALIDSIG without GOODSIG, or by a key that is not pinned, does not count."""
        valid = GOOD.replace("GOODSIG", "OTHERSIG")
        self.assertEqual(verdict(PLAINTEXT, valid), "signature-unknown-key")
        other = GOOD.replace(FINGERPRINT, "B" * 40)
        self.assertEqual(verdict(PLAINTEXT, other), "signature-unknown-key")

    def test_key_kinds(self) -> None:
        """DSA and unknown kinds of keys are refused, RSA from 2048 bits and curves are not."""
        for algorithm, bits, expected in (
            ("17", 3072, "signature-weak-key"),
            ("99", 4096, "signature-weak-key"),
            ("1", 2047, "signature-weak-key"),
            ("1", 2048, FINGERPRINT),
            ("19", 256, FINGERPRINT),
        ):
            key = Key(FINGERPRINT, "me", False, False, {FINGERPRINT: (algorithm, bits)})
            self.assertEqual(verdict(PLAINTEXT, GOOD, key=key), expected)

    def test_clock(self) -> None:
        """An unknown key whose signature is from the future is a question of clocks."""
        future = UNKNOWN.replace(" 1 9 ", " 5000 9 ")
        self.assertEqual(verdict(PLAINTEXT, future), "signature-clock")
        self.assertEqual(verdict(PLAINTEXT, UNKNOWN), "signature-unknown-key")

    def test_nothing(self) -> None:
        """No status line at all is no good signature."""
        self.assertEqual(verdict(), "signature-bad")


class RemedyTests(SynchronousTestCase):
    """What is advised fits what is wrong."""

    def advice(self, document: bytes) -> str:
        return self.assertRaises(SignatureError, check_frame, document, "x").remedy

    def test_a_page_for_people(self) -> None:
        """Something else than the source answered: nobody's key is to be looked at."""
        self.assertIn("login page", self.advice(b"\n<!doctype html>"))
        self.assertIn("publishes", self.advice(b'{"format": "index:1.0"}'))

    def test_a_cut_text(self) -> None:
        """A text that ends early is tried again."""
        self.assertIn("tried again", self.advice(b"-----BEGIN PGP SIGNED MESSAGE-----\n\n{"))

    def test_a_changed_text(self) -> None:
        """What was changed on the way is not to be trusted, and the way is to be looked at."""
        bad = "[GNUPG:] NEWSIG\n[GNUPG:] BADSIG X me"
        error = self.assertRaises(SignatureError, judge, bad, [KEY], "x", 1000.0)
        self.assertIn("trust nothing", error.remedy)
        self.assertIn("proxy", error.remedy)
