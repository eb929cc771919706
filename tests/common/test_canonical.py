import attrs
from twisted.trial.unittest import SynchronousTestCase

from common.canonical import canonical_json, parse
from common.errors import ProtocolError


@attrs.frozen
class Sample:
    count: int
    words: tuple[str, ...] = ()
    rate: float | None = None


class CanonicalTests(SynchronousTestCase):
    def test_is_sorted_compact_ascii(self) -> None:
        """There is one way to write a value: sorted keys, no blanks, ASCII."""
        self.assertEqual(
            canonical_json(Sample(1, ("é",))), b'{"count":1,"rate":null,"words":["\\u00e9"]}'
        )

    def test_reads_what_it_wrote(self) -> None:
        """Reading gives back what was written."""
        sample = Sample(3, ("a", "b"), 0.5)
        self.assertEqual(parse(Sample, canonical_json(sample), "sample"), sample)

    def test_nothing_is_coerced(self) -> None:
        """A value of another type is an error that names the place, never converted."""
        for bad in (b'{"count":"1"}', b'{"count":true}', b'{"count":1.0}', b'{"count":null}'):
            error = self.assertRaises(ProtocolError, parse, Sample, bad, "sample")
            self.assertIn("$.count", error.message)

    def test_missing_fields_are_named(self) -> None:
        """A missing field is named."""
        error = self.assertRaises(ProtocolError, parse, Sample, b"{}", "sample")
        self.assertIn("count", error.message)
