"""docs/maas-compatibility.md claims nothing that no test shows."""

import ast
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "maas-compatibility.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)::(test_\w+)`")
ROW = re.compile(r"^\| ([A-Z])(\d+) \| (.+) \| ([a-z ]+) \| (.+) \| (.+) \|$", re.MULTILINE)


def found_in(path: Path) -> set[tuple[str, str]]:
    """Class and name of every test that stands in a file."""
    return {
        (each.name, within.name)
        for each in ast.parse(path.read_text()).body
        if isinstance(each, ast.ClassDef)
        for within in each.body
        if isinstance(within, ast.FunctionDef | ast.AsyncFunctionDef)
    }


class CompatibilityDocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = DOCUMENT.read_text()
        self.rows = ROW.findall(self.text)

    def test_every_row_is_understood(self) -> None:
        """Each line of a table is a row with a verdict, and each area counts from 1."""
        lines = re.findall(r"^\| [A-Z]\d", self.text, re.MULTILINE)
        self.assertEqual(len(self.rows), len(lines))
        self.assertEqual({row[3] for row in self.rows}, {"same", "better", "left out"})
        numbers: dict[str, int] = {}
        for area, number, *_ in self.rows:
            numbers[area] = numbers.get(area, 0) + 1
            self.assertEqual(int(number), numbers[area], area)

    def test_what_is_the_same_or_better_names_a_test(self) -> None:
        """No claim without a test; what is left out says why instead."""
        for area, number, _, verdict, how, shown in self.rows:
            if verdict == "left out":
                self.assertGreater(len(how), 20, area + number)
            else:
                self.assertRegex(shown, TEST, area + number)

    def test_every_named_test_exists(self) -> None:
        """A test that was renamed is renamed here, too."""
        named = TEST.findall(self.text)
        self.assertEqual(len(named), self.text.count("::test_"))
        there = {path: found_in(ROOT / path) for path in {path for path, _, _ in named}}
        missing = [each for each in named if each[1:] not in there[each[0]]]
        self.assertEqual(missing, [])
