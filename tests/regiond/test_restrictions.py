"""What of a region's images a rack is to hold."""

from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from common.images import ImageKey
from regiond.restrictions import checked, may_hold, without_meaning

JAMMY = ImageKey("ubuntu", "amd64", "ga-22.04", "jammy", "stable")
NOBLE = ImageKey("ubuntu", "arm64", "hwe-24.04", "noble", "candidate")
UEFI = ImageKey("grub-efi", "arm64", "generic", "uefi", "stable")


class RestrictionTests(SynchronousTestCase):
    def test_what_words_mean(self) -> None:
        """Parts are os, release, arch, subarch and label; what is left out means any."""
        for words, held in (
            (None, (JAMMY, NOBLE)),
            ((), ()),
            (("ubuntu",), (JAMMY, NOBLE)),
            (("*",), (JAMMY, NOBLE)),
            (("ubuntu/jammy",), (JAMMY,)),
            (("ubuntu/*/arm64",), (NOBLE,)),
            (("ubuntu/jammy/amd64/ga-22.04/stable",), (JAMMY,)),
            (("ubuntu/jammy/amd64/ga-22.04/candidate",), ()),
            (("centos", "ubuntu/n*"), (NOBLE,)),
            (("ubuntu/jam",), ()),
            (("Ubuntu",), ()),
        ):
            found = tuple(
                key for key in (JAMMY, NOBLE) if may_hold(words, key, is_bootloader=False)
            )
            self.assertEqual(found, held, words)

    def test_bootloaders_come_along(self) -> None:
        """Without them nothing boots."""
        self.assertTrue(may_hold(("ubuntu/jammy",), UEFI, is_bootloader=True))

    def test_malformed_words(self) -> None:
        """Each is named in one line, shortened if it is long."""
        for word in ("", "/", "ubuntu/", "/jammy", "a/b/c/d/e/f", "a b", "ubuntu//amd64", "x\n",
                     "ü", "a" * 500 + " "):  # fmt: skip
            with self.assertRaises(WrongUsage) as caught:
                checked(["ubuntu", word])
            self.assertEqual(caught.exception.code, "rack-selection")
            self.assertLess(len(caught.exception.line()), 300)
        with self.assertRaises(WrongUsage):
            checked([f"os-{number}" for number in range(101)])

    def test_a_word_counts_once(self) -> None:
        """Said twice is said once, in the order of the first."""
        self.assertEqual(checked(["b", "a", "b"]), ("b", "a"))

    def test_words_without_meaning(self) -> None:
        """The nearest image at the same depth is offered; words that mean one are not named."""
        said = without_meaning(("ubuntu/jamy", "ubuntu", "qqqq"), (JAMMY, NOBLE))
        self.assertEqual(
            said,
            "ubuntu/jamy means no image now; did you mean 'ubuntu/jammy'?; qqqq means no image now",
        )
