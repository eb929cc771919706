"""The help texts."""

from twisted.trial.unittest import SynchronousTestCase

from common.shell.explain import explain
from common.shell.grammar import NOUNS
from common.vocabulary import VERBS


class ExplainTests(SynchronousTestCase):
    """Generated from the table."""

    def test_overview_has_every_verb(self) -> None:
        """The overview lists every noun and verb with what it is for."""
        text = explain(())
        for verb in VERBS:
            self.assertIn(f"{verb.noun} {verb.verb}".strip(), text)
            self.assertIn(verb.help, text)

    def test_each_noun(self) -> None:
        """Help on a noun explains every key and flag of its verbs."""
        for noun in NOUNS:
            text = explain((noun,))
            for verb in VERBS:
                if verb.noun == noun:
                    for parameter in verb.parameters:
                        self.assertIn(f"{parameter.name}", text)
                        self.assertIn(parameter.help, text)
                    for flag in verb.flags:
                        self.assertIn(f"flag: {flag}", text)

    def test_one_verb(self) -> None:
        """Help on a verb is about that verb alone, and marks what is required."""
        text = explain(("boot-sources", "create"))
        self.assertIn("url=TEXT", text)
        self.assertIn("(required)", text)
        self.assertIn("keyring_data@=FILE", text)
        self.assertNotIn("boot-sources read", text)
