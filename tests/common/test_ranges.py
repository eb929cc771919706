"""Range and Content-Range."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import RangeError
from common.ranges import Slice, is_exact_content_range, requested_slice


class RequestedSliceTests(SynchronousTestCase):
    """``requested_slice``."""

    def test_the_forms_of_one_range(self) -> None:
        """First-last, open end, suffix and overlong ends mean what RFC 9110 says."""
        cases = {
            "bytes=0-0": Slice(0, 1, 100),
            "bytes=10-19": Slice(10, 20, 100),
            "bytes=10-": Slice(10, 100, 100),
            "bytes=-5": Slice(95, 100, 100),
            "bytes=-500": Slice(0, 100, 100),
            "bytes=90-500": Slice(90, 100, 100),
            " bytes=0-99 ": Slice(0, 100, 100),
        }
        for header, wanted in cases.items():
            self.assertEqual(requested_slice(header, 100), (206, wanted), header)

    def test_none_and_several_mean_the_whole(self) -> None:
        """No range and several ranges are answered with 200 and everything."""
        for header in (None, "bytes=0-1,5-6", "bytes=0-1, 5-6", "bytes=1-,-1"):
            self.assertEqual(requested_slice(header, 7), (200, Slice(0, 7, 7)), header)

    def test_malformed_and_unsatisfiable(self) -> None:
        """Everything else is refused, with a code that says which."""
        cases = {
            "bytes=-": "range-malformed",
            "bytes=": "range-malformed",
            "bytes=a-b": "range-malformed",
            "bytes=5-4": "range-malformed",
            "bytes=--5": "range-malformed",
            "bytes=1-2-3": "range-malformed",
            "items=0-5": "range-malformed",
            "bytes = 0-5": "range-malformed",
            "bytes=\u0661-\u0662": "range-malformed",
            "bytes=" + "9" * 40 + "-": "range-malformed",
            "": "range-malformed",
            "bytes=7-": "range-unsatisfiable",
            "bytes=100-200": "range-unsatisfiable",
            "bytes=-0": "range-unsatisfiable",
        }
        for header, code in cases.items():
            error = self.assertRaises(RangeError, requested_slice, header, 7)
            self.assertEqual(error.code, code, header)

    def test_nothing_has_no_ranges(self) -> None:
        """Any range of an empty blob is unsatisfiable."""
        for header in ("bytes=0-", "bytes=-1", "bytes=0-0"):
            self.assertRaises(RangeError, requested_slice, header, 0)

    @given(st.text(alphabet="bytes=0123456789-, ", max_size=25), st.integers(0, 2000))
    def test_a_slice_lies_within_the_bytes(self, header: str, size_bytes: int) -> None:
        """No header leads outside the bytes, to an empty 206, or to any other exception."""
        try:
            status, wanted = requested_slice(header, size_bytes)
        except RangeError:
            return
        self.assertTrue(0 <= wanted.first <= wanted.stop <= size_bytes)
        self.assertTrue(wanted.length if status == 206 else wanted.length == wanted.size_bytes)


class ContentRangeTests(SynchronousTestCase):
    """``is_exact_content_range``."""

    @given(st.integers(0, 2**40), st.integers(1, 2**40))
    def test_accepts_what_our_server_writes(self, first: int, length: int) -> None:
        """The header of a slice to the end is exactly what a client waits for."""
        wanted = Slice(first, first + length, first + length)
        self.assertTrue(is_exact_content_range(wanted.content_range, first, wanted.size_bytes))

    def test_refuses_everything_else(self) -> None:
        """Another start, end, size, unit or form is not what was asked for."""
        wrong = (
            None,
            "",
            "bytes 5-9/*",
            "bytes */10",
            "bytes 4-9/10",
            "bytes 5-8/10",
            "bytes 5-9/11",
            "items 5-9/10",
            "bytes 5-9/10, bytes 5-9/10",
            "bytes 5-9/10\n",
            "bytes \u0665-9/10",
        )
        for header in wrong:
            self.assertFalse(is_exact_content_range(header, 5, 10), header)
