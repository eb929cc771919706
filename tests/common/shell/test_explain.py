"""The help texts."""

from twisted.trial.unittest import SynchronousTestCase

from common.shell.explain import explain
from common.shell.grammar import NOUNS
from common.vocabulary import FLAGS, VERBS


def unwrapped(text: str) -> str:
    """The same on one line, without columns."""
    return " ".join(text.split())


class ExplainTests(SynchronousTestCase):
    """Generated from the table."""

    def test_overview_has_every_verb(self) -> None:
        """The overview lists every noun and verb with what it is for."""
        text = unwrapped(explain(()))
        for verb in VERBS:
            self.assertIn(f"{verb.noun} {verb.verb}".strip(), text)
            self.assertIn(verb.help, text)

    def test_each_noun(self) -> None:
        """Help on a noun explains every key and flag of its verbs."""
        for noun in NOUNS:
            text = unwrapped(explain((noun,)))
            for verb in VERBS:
                if verb.noun == noun:
                    for parameter in verb.parameters:
                        self.assertIn(f"{parameter.name}", text)
                        self.assertIn(parameter.help, text)
                    for flag in verb.flags:
                        self.assertIn(f"{flag} {FLAGS[flag]}", text)

    def test_one_verb(self) -> None:
        """Help on a verb is about that verb alone, and marks what is required."""
        text = explain(("boot-sources", "create"))
        self.assertIn("url=TEXT", text)
        self.assertIn("(required)", text)
        self.assertIn("keyring_data@=FILE", text)
        self.assertNotIn("boot-sources read", text)

    def test_it_fits_a_terminal(self) -> None:
        """No line of any help is longer than a terminal of 80 columns shows, examples neither."""
        for topic in ((), *((noun,) for noun in NOUNS)):
            for line in explain(topic).splitlines():
                self.assertLess(len(line), 80, line)

    def test_an_example_is_whole(self) -> None:
        """An example on several lines is the one of the table for a shell that joins them."""
        for verb in VERBS:
            text = explain((verb.noun, verb.verb) if verb.verb else (verb.noun,))
            shown = text[text.index("example: rackferry ") :].removeprefix("example: rackferry ")
            words = shown.replace("\\\n", " ").split("\n")[0].split()
            self.assertEqual(words, verb.example_line.split())
