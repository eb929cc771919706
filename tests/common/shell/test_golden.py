"""Every table and JSON document of the shell, as it is: a change of one is seen in a review.

``golden/PLACE/VERB.json`` is a fixed answer of that place, and ``VERB.txt`` the same for
people on 80 columns. ``GOLDEN=write pytest tests/common/shell/test_golden.py`` makes the
texts anew. That real answers have these keys, the tests of the daemons' answers hold.
"""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from common.shell.render import Screen, as_json, for_people
from common.vocabulary import VERBS, Answer, Place, Verb

GOLDEN = Path(__file__).parent / "golden"
IS_WRITING = os.environ.get("GOLDEN") == "write"
SCREEN = Screen(is_terminal=True, width=80, zone=UTC)
STYLE = re.compile(r"\x1b\[[\d;]*m")


def documents() -> Iterator[tuple[Place, Verb, Path]]:
    """Every verb at every place that answers it, and where its answer is kept."""
    for verb in VERBS:
        for place in sorted(verb.places):
            yield place, verb, GOLDEN / place.value / f"{verb.name}.json"


def text_of(verb: Verb, answer: Any) -> str:
    """The answer for people, without the styles."""
    if verb.alone:
        return f"{answer[verb.alone]}\n"
    return STYLE.sub("", for_people(verb, answer, SCREEN))


class GoldenTests(SynchronousTestCase):
    def test_every_word_has_its_document_and_its_table(self) -> None:
        """What people and scripts see is what it was."""
        for place, verb, path in documents():
            where = f"{verb.phrase} of a {place.value}"
            self.assertTrue(
                path.exists(), f"{where}: write a typical answer to {path}, then GOLDEN=write"
            )
            document = path.read_text()
            answer = json.loads(document)
            text, table = text_of(verb, answer), path.with_suffix(".txt")
            if IS_WRITING:
                path.write_text(as_json(answer))
                table.write_text(text)
            self.assertEqual(document, as_json(answer), where)
            self.assertEqual(text, table.read_text(), where)

    def test_nothing_else_is_kept(self) -> None:
        """A word that is gone takes its document with it."""
        expected = {path for _, _, path in documents()}
        expected |= {path.with_suffix(".txt") for path in expected}
        self.assertEqual({path for path in GOLDEN.rglob("*") if path.is_file()}, expected)

    def test_answers_have_their_form_and_tables_fit(self) -> None:
        """A list is an array of rows with every column; no line is wider than the screen."""
        for _, verb, path in documents():
            answer = json.loads(path.read_text())
            if verb.answer is Answer.BOOLEAN:
                self.assertIsInstance(answer, bool, verb.phrase)
                continue
            self.assertIsInstance(answer, list if verb.answer is Answer.ROWS else dict)
            for row in answer if verb.answer is Answer.ROWS else [answer]:
                self.assertEqual(set(verb.columns) - row.keys(), set(), verb.phrase)
            if not verb.alone:
                for line in text_of(verb, answer).splitlines():
                    if len(line) > SCREEN.width:  # only what would else be broken
                        self.assertGreater(len(line.split()[-1]), 60, f"{verb.phrase}: {line}")
