"""What the audit says of a change."""

import base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.audit import change_event
from common.vocabulary import VERBS, Kind, Question

SECRET = "s3cr3t-Pa55"


class ChangeTests(SynchronousTestCase):
    def test_who_what_and_what_became_of_it(self) -> None:
        """The object is what was changed, the cause the whole story on one line."""
        question = Question(
            "boot-source-selection",
            "update",
            ("1", "2"),
            {"release": "noble", "arches": ["amd64", "arm64"]},
            asker="alice (uid 1000, pid 7)",
        )
        event = change_event(question, "done")
        self.assertEqual(event.object, "boot-source-selection 1 2")
        self.assertEqual(
            event.cause,
            "alice (uid 1000, pid 7): boot-source-selection update 1 2"
            " release=noble arches=amd64,arm64: done",
        )

    def test_secrets_are_left_out(self) -> None:
        """Passwords, tokens, files and what a URL hides are told by their size at most."""
        data = base64.b64encode(SECRET.encode()).decode()
        urls = (
            f"https://user:{SECRET}@host/x",
            f"https://user:a/{SECRET}@host",
            f"user:{SECRET}@host:3128",
            f"https://host/x?token={SECRET}",
        )
        for url in urls:
            given_ = {"url": url, "proxy": url, "password": SECRET, "bearer_token": SECRET,
                      "keyring_data": data}  # fmt: skip
            event = change_event(
                Question("boot-sources", "create", (), given_), f"failed: {url}: no such host"
            )
            self.assertNotIn(SECRET, event.cause)
            self.assertNotIn(data, event.cause)
        self.assertIn("password=(11 characters)", event.cause)
        self.assertIn("keyring_data=(11 bytes)", event.cause)

    def test_whatever_may_be_secret_is_marked(self) -> None:
        """No parameter that is named like a secret is shown."""
        for verb in VERBS:
            for each in verb.parameters:
                if any(word in each.name for word in ("password", "token", "secret")):
                    self.assertTrue(each.is_secret, f"{verb.noun} {verb.verb} {each.name}")

    @given(st.text(), st.lists(st.text(), max_size=3), st.text())
    def test_always_one_short_line(self, value: str, ids: list[str], asker: str) -> None:
        """Whatever was typed fits a database, a log and a terminal."""
        question = Question("boot-source", "update", tuple(ids), {"url": value * 50}, asker=asker)
        event = change_event(question, "done")
        for text in (event.object, event.cause):
            self.assertTrue(text.isprintable())
            self.assertLessEqual(len(text), 2000)

    def test_files_cross_as_bytes_or_not_at_all(self) -> None:
        """A file whose content is asked with is told as a size: nobody wants it in a list."""
        for verb in VERBS:
            for each in verb.parameters:
                if verb.changes and each.kind is Kind.BYTES:
                    question = Question(verb.noun, verb.verb, (), {each.name: "eHl6"})
                    self.assertIn(f"{each.name}=(3 bytes)", change_event(question, "done").cause)
