"""What MAAS spells differently."""

from twisted.trial.unittest import SynchronousTestCase

from common.shell.maas_words import answer_without_profile, is_ignored, translated


class MaasWordsTests(SynchronousTestCase):
    def test_usual_words_stay(self) -> None:
        """What the documentation prints is not touched."""
        for line in (
            "boot-sources read",
            "boot-source-selections create 1 os=ubuntu release=trusty subarches=* labels=*",
            "boot-source update 1 url=http://x/ keyring_filename=/k.gpg",
            "status",
        ):
            self.assertEqual(translated(line.split()), line.split())

    def test_old_nouns(self) -> None:
        """Names of older releases are understood."""
        for old, new in {
            "boot-source-selection create 1 os=ubuntu": "boot-source-selections create 1 os=ubuntu",
            "node-groups import-boot-images": "rack-controllers import-boot-images",
        }.items():
            self.assertEqual(translated(old.split()), new.split())

    def test_keys(self) -> None:
        """An empty keyring is none, and verification has our name."""
        line = "boot-sources create url=u keyring_filename= keyring_data= proxy="
        self.assertEqual(translated(line.split()), ["boot-sources", "create", "url=u", "proxy="])
        line = "boot-sources create url=u skip_keyring_verification=true"
        self.assertEqual(translated(line.split())[-1], "unsigned=true")

    def test_no_words(self) -> None:
        """A profile alone stays a profile alone."""
        self.assertEqual(translated([]), [])
        self.assertEqual(answer_without_profile([]), "")

    def test_options(self) -> None:
        """Options of MAAS are ignored behind ``maas``, all of them with ``login``."""
        self.assertTrue(is_ignored("-k", ["maas", "admin"]))
        self.assertTrue(is_ignored("--cacerts", ["maas", "login"]))
        self.assertFalse(is_ignored("--cacerts", ["maas", "admin"]))
        self.assertFalse(is_ignored("-k", ["boot-sources", "read"]))
