"""docs/shell.md says what can be typed: no word, parameter or flag is missing there."""

import re
import shlex
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from common.shell.grammar import parse
from common.shell.wrong_words import key_text, with_ids
from common.vocabulary import FLAGS, VERBS, Place, Verb

READING = frozenset(
    {
        "read",
        "list",
        "get",
        "plan",
        "is-importing",
        "check",
        "check-network",
        "export",
        "list-boot-images",
        "status",
        "events",
    }
)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "shell.md"
LETTERS = {Place.REGION: "R", Place.RACK: "K", Place.LOCAL: "S"}


def _head(verb: Verb) -> str:
    """The first three columns of its row."""
    who = " ".join(letter for place, letter in LETTERS.items() if place in verb.places)
    keys = [key_text(each) if each.required else f"[{key_text(each)}]" for each in verb.parameters]
    keys += [key_text(verb.open_keys)] if verb.open_keys else []
    more = " ".join([*keys, *(f"[{flag}]" for flag in verb.flags)])
    return f"| `{with_ids(verb)}` | {who} | {f'`{more}`' if more else ''}"


class ShellDocumentTests(SynchronousTestCase):
    def test_every_word_stands_in_the_document_and_no_other(self) -> None:
        """Each verb has a row: who answers, its ids, its parameters and flags, and no more."""
        heads = re.findall(r"^(\| `[^`]+` \| [RKS ]+ \| .*?) \| [^|]+ \|$",
                           DOCUMENT.read_text(), re.MULTILINE)  # fmt: skip
        expected = [_head(verb) for verb in VERBS]
        self.assertEqual([head for head in expected if head not in heads], [], "are missing")
        self.assertEqual([head for head in heads if head not in expected], [], "are too many")

    def test_every_example_can_be_pasted(self) -> None:
        """The example of each verb is a line of the real grammar, and asks for that verb."""
        for verb in VERBS:
            words = shlex.split(verb.example_line)
            self.assertIs(parse(words, lambda _: b"x").verb, verb, verb.example_line)

    def test_every_flag_is_explained(self) -> None:
        """No flag of a verb is without its meaning, and none is explained that there is not."""
        self.assertEqual({flag for verb in VERBS for flag in verb.flags}, set(FLAGS))

    def test_the_columns_of_a_table_are_keys_that_are_documented(self) -> None:
        """What people see is what scripts can ask for."""
        text = DOCUMENT.read_text()
        for verb in VERBS:
            for column in verb.columns:
                self.assertRegex(text, rf"\b{column}\b", f"{verb.noun} {verb.verb}")

    def test_each_word_changes_something_or_reads(self) -> None:
        """A word that no daemon knows as reading is one that the audit keeps."""
        for verb in VERBS:
            if Place.LOCAL in verb.places:
                continue
            reads = verb.verb in READING or (not verb.verb and verb.noun in READING)
            self.assertNotEqual(verb.changes, reads, f"{verb.noun} {verb.verb}")
