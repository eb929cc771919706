"""JSON from strangers."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import SourceError
from regiond.sources.strict_json import MAX_DEPTH, MAX_DOCUMENT_BYTES, parse_json


def nested(depth: int) -> bytes:
    """An object whose arrays are nested so that all is ``depth`` deep."""
    return b'{"a": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


FAULTS = {
    "empty": (b"", "document-truncated"),
    "cut in a string": (b'{"a": "b', "document-truncated"),
    "cut after a key": (b'{"a":', "document-truncated"),
    "cut in an object": (b'{"a": {"b": 1}', "document-truncated"),
    "HTML": (b"<html>", "document-malformed"),
    "two values": (b"{} {}", "document-malformed"),
    "not UTF-8": (b'{"a": "\xff"}', "document-malformed"),
    "an array": (b"[]", "document-malformed"),
    "NaN": (b'{"a": NaN}', "document-malformed"),
    "Infinity": (b'{"a": -Infinity}', "document-malformed"),
    "a number without end": (b'{"a": ' + b"1" * 5000 + b"}", "document-malformed"),
    "a key twice": (b'{"a": 1, "b": {"c": 1, "c": 1}}', "document-duplicate-key"),
    "too deep": (nested(MAX_DEPTH + 1), "document-nesting"),
    "far too deep": (nested(100_000), "document-nesting"),
    "too large": (b" " * (MAX_DOCUMENT_BYTES + 1), "document-too-large"),
}


class ParseJsonTests(SynchronousTestCase):
    """``parse_json``"""

    def test_faults(self) -> None:
        """Each kind of bad text is refused with a code of its own and the document's name."""
        for case, (payload, code) in FAULTS.items():
            with self.subTest(case):
                error = self.assertRaises(SourceError, parse_json, payload, "streams/v1/x.json")
                self.assertEqual((error.code, error.object), (code, "streams/v1/x.json"))

    def test_deepest(self) -> None:
        """What is nested exactly as deep as allowed is read."""
        self.assertIn("a", parse_json(nested(MAX_DEPTH), "x"))

    @settings(max_examples=50)
    @given(
        st.dictionaries(
            st.text(),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=10,
            ),
        )
    )
    def test_faithful(self, document: dict[str, object]) -> None:
        """What is written as JSON is read as the same values."""
        self.assertEqual(parse_json(json.dumps(document).encode(), "x"), document)
