"""docs/events.md and docs/bad-input.md say what the code does: no code or test is missing there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
EVENTS, BAD_INPUT = ROOT / "docs" / "events.md", ROOT / "docs" / "bad-input.md"

# Functions that make a code of their own prefix and an argument: its place, and the prefix.
MAKERS = {
    ("common/redirects.py", "_refusal"): (2, ""),
    ("common/transfer.py", "_error"): (0, "transfer-"),
    ("regiond/sources/retrieval.py", "_fault"): (1, "source-"),
    ("regiond/sources/verdict.py", "_refused"): (0, "signature-"),
    ("regiond/store/racks.py", "_refused"): (1, "token-"),
    ("regiond/store/failures.py", "_Words"): (1, ""),
}
# Tables whose values begin with a code.
TABLES = {
    ("common/tls.py", "_ALERTS"): "",
    ("regiond/sources/verdict.py", "_WORTHLESS"): "signature-",
}
# Where a code is handed on, or built of what the tables above list.
HANDED_ON = {
    "code",
    "error.code",
    "words.code",
    "raised.code",
    "new.code",
    "event.code",
    "row.code",
    "self.problem.code",
    "str(fields['code'])",
    "f'transfer-{code}'",
    "f'source-{code}'",
    "f'document-{code}'",
    "f'signature-{code}'",
    "f'token-{code}'",
    "fields['code'] or PROBLEM_CODE",
    "fields['code'] or SYNC_FAILED",
}


def values(node: ast.expr) -> Iterator[str]:
    """The codes that an expression may have; what varies is written in capitals."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from values(node.body)
        yield from values(node.orelse)
    elif isinstance(node, ast.JoinedStr) and ast.unparse(node) not in HANDED_ON:
        yield "".join(
            ast.unparse(part.value).rpartition(".")[2].upper()
            if isinstance(part, ast.FormattedValue)
            else str(getattr(part, "value", ""))
            for part in node.values
        )
    elif ast.unparse(node) not in HANDED_ON:
        raise AssertionError(f"a code that this test cannot read: {ast.unparse(node)}")


def codes_of(path: Path) -> Iterator[str]:
    """Every code in one file."""
    file = str(path.relative_to(SRC))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield from called(file, node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            prefix = TABLES.get((file, name))
            if prefix is not None and isinstance(node.value, ast.Dict):
                for value in node.value.values:
                    assert isinstance(value, ast.Tuple)
                    yield from (prefix + code for code in values(value.elts[0]))
            elif (
                name in {"code", "family_code"}
                and isinstance(node.value, ast.Constant | ast.IfExp)
                and isinstance(getattr(node.value, "value", ""), str)
            ) or name in {"PROBLEM_CODE", "SYNC_FAILED"}:
                yield from values(node.value)


def called(file: str, call: ast.Call) -> Iterator[str]:
    """The codes in one call."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    for keyword in call.keywords:
        if keyword.arg == "code":
            yield from values(keyword.value)
    if name == "Event" and call.args:
        yield from values(call.args[0])
    place, prefix = MAKERS.get((file, name), (1, "document-") if name == "fault" else (-1, ""))
    if 0 <= place < len(call.args) and ast.unparse(call.args[place]) not in HANDED_ON:
        yield from (prefix + code for code in values(call.args[place]))


def known_codes() -> set[str]:
    """Every code of the source."""
    return {code for path in SRC.rglob("*.py") for code in codes_of(path) if code}


class EventsDocumentTests(SynchronousTestCase):
    def test_every_code_stands_in_the_document_and_no_other(self) -> None:
        """What an admin may meet can be looked up, with its meaning and its remedy."""
        rows = re.findall(
            r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", EVENTS.read_text(), re.MULTILINE
        )
        listed = [code for code, _, _ in rows]
        self.assertEqual(sorted(set(listed)), sorted(listed), "a code stands there twice")
        self.assertEqual(known_codes() - set(listed), set(), "missing in docs/events.md")
        self.assertEqual(set(listed) - known_codes(), set(), "gone from the source")


class BadInputDocumentTests(SynchronousTestCase):
    def test_every_proof_exists(self) -> None:
        """Each row names tests, and each named test is there."""
        rows = [
            line for line in BAD_INPUT.read_text().splitlines() if re.match(r"\| (?!input )", line)
        ]
        self.assertGreater(len(rows), 40)
        for row in rows:
            proofs = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
            self.assertTrue(proofs, row)
            for file, name in proofs:
                self.assertIn(f"def {name}(", (ROOT / file).read_text(), row)

    def test_every_code_named_there_exists(self) -> None:
        """What the document promises to be seen is what the source can say."""
        listed = re.findall(r"^\|[^|]+\| `([a-z][\w-]+)`", BAD_INPUT.read_text(), re.MULTILINE)
        named = {re.sub(r"-\d{3}$", "-STATUS", code) for code in listed}
        self.assertEqual(named - known_codes(), set())
