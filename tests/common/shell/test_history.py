"""What is kept of what was typed."""

from pathlib import Path

from prompt_toolkit.history import History, InMemoryHistory
from twisted.trial.unittest import SynchronousTestCase

from common.shell.history import has_secret, history_at
from common.vocabulary import VERBS, Kind
from tests.doubles.directories import fresh_directory


def loaded(history: History) -> list[str]:
    return list(history.load_history_strings())


class HistoryTests(SynchronousTestCase):
    """A file of the user's own."""

    def test_over_runs(self) -> None:
        """The next run has the lines of this one, the youngest first; nobody else may read it."""
        home = fresh_directory(self)
        history_at(str(home)).store_string("status")
        history_at(str(home)).store_string("events read")
        self.assertEqual(loaded(history_at(str(home))), ["events read", "status"])
        file = home / "rackferry" / "history"
        self.assertEqual((file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777),
                         (0o600, 0o700))  # fmt: skip
        file.chmod(0o644)
        history_at(str(home))
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)

    def test_secrets_are_not_kept(self) -> None:
        """A line with a secret never reaches the file, and can be had again in this run."""
        home = fresh_directory(self)
        history = history_at(str(home))
        history.append_string("boot-source update 1 password=hunter2")
        self.assertEqual(history.get_strings(), ["boot-source update 1 password=hunter2"])
        self.assertNotIn("hunter2", (home / "rackferry" / "history").read_text())

    def test_what_is_secret(self) -> None:
        """Passwords, tokens and keys, typing errors among them; not the files that hold them."""
        for line in (
            "boot-source update 1 password=x",
            "boot-source update 1 passwort=x",
            "boot-source update 1 password='a b'",
            "boot-source update 1 bearer_token=x",
            "boot-sources create url=u keyring_data=mQE=",
            "boot-sources create url=https://me:pw@host/",
            "boot-source update 1 proxy=me:pw@host:1",
            "join region.example rg1.abc",
        ):
            self.assertTrue(has_secret(line), line)
        for line in (
            "boot-source update 1 password@=/root/pw",
            "boot-source update 1 password=",
            "boot-sources create url=https://host/ keyring_data@=k.gpg",
            "rack-controllers create-token name=rack-1",
            "check-config /etc/x@y",
        ):
            self.assertFalse(has_secret(line), line)

    def test_every_secret_of_the_table_is_one(self) -> None:
        """No parameter that the table calls secret, or that is key material, is kept."""
        for verb in VERBS:
            for each in verb.parameters:
                if each.is_secret or (each.kind is Kind.BYTES and "key" in each.name):
                    self.assertTrue(has_secret(f"{verb.phrase} {each.name}=x"), each.name)

    def test_it_stays_small(self) -> None:
        """A file that has become long loses its oldest lines, and no half of one stays."""
        home = fresh_directory(self)
        history = history_at(str(home))
        file = home / "rackferry" / "history"
        history.store_string("first")
        with file.open("a") as more:
            more.write("\n# 2026-11-21 00:00:00\n+rack-controller read rack-1\n" * 12_000)
        lines = loaded(history_at(str(home)))
        self.assertEqual(set(lines), {"rack-controller read rack-1"})
        self.assertLess(file.stat().st_size, 300_000)

    def test_where_no_file_can_be(self) -> None:
        """Without a place for it the history lives as long as the run."""
        base = fresh_directory(self)
        (base / "file").touch()
        self.assertIsInstance(history_at(str(base / "file")), InMemoryHistory)

    def test_a_disk_that_became_full(self) -> None:
        """A line that cannot be kept is carried out nevertheless."""
        home = fresh_directory(self)
        history = history_at(str(home))
        Path(home / "rackferry" / "history").unlink()
        Path(home / "rackferry").rmdir()
        history.append_string("status")
        self.assertEqual(history.get_strings(), ["status"])
