"""docs/shell.md says what can be typed: no word, parameter or flag is missing there."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from common.vocabulary import VERBS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "shell.md"


class ShellDocumentTests(SynchronousTestCase):
    def test_every_word_stands_in_the_document_and_no_other(self) -> None:
        """Each verb has a row with its ids, all its parameters and flags, and nothing more."""
        row = r"^\| `([^`]+)` \| [RKS ]+ \| (?:`([^`]*)`)? ?\| (.+) \|$"
        rows = {words: (more, keys) for words, more, keys in
                re.findall(row, DOCUMENT.read_text(), re.MULTILINE)}  # fmt: skip
        expected = {}
        for verb in VERBS:
            ids = [*map(str.upper, verb.ids), *(f"[{each.upper()}]" for each in verb.optional_ids)]
            words = " ".join(filter(None, (verb.noun, verb.verb, *ids)))
            more = {parameter.name for parameter in verb.parameters} | set(verb.flags)
            expected[words] = more | ({verb.open_keys.name} if verb.open_keys else set())
        self.assertEqual(
            {words: set(re.findall(r"[\w-]+", more)) for words, (more, _) in rows.items()}, expected
        )

    def test_the_columns_of_a_table_are_keys_that_are_documented(self) -> None:
        """What people see is what scripts can ask for."""
        text = DOCUMENT.read_text()
        for verb in VERBS:
            for column in verb.columns:
                self.assertRegex(text, rf"\b{column}\b", f"{verb.noun} {verb.verb}")
