"""Sizes as people read them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.sizes import human_size


class SizesTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Sizes have three digits and a binary unit."""
        for size_bytes, text in {
            0: "0 B",
            1023: "1023 B",
            1024: "1 KiB",
            1536: "1.5 KiB",
            1023 * 1024: "1023 KiB",
            1_567_890_123: "1.46 GiB",
            2**50: "1024 TiB",
        }.items():
            self.assertEqual(human_size(size_bytes), text)

    @settings(max_examples=50)
    @given(st.integers(0, 2**60))
    def test_size_is_near(self, size_bytes: int) -> None:
        """A readable size is within one percent of the true one."""
        number, unit = human_size(size_bytes).split()
        factor = 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(unit)
        self.assertLessEqual(abs(float(number) * factor - size_bytes), size_bytes / 100)
