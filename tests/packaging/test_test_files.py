"""The test files themselves."""

from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TESTS = Path(__file__).resolve().parents[1]


class TestFileTests(SynchronousTestCase):
    def test_no_two_have_one_name(self) -> None:
        """Pytest imports them by their bare names, and refuses the second."""
        names = Counter(path.name for path in TESTS.rglob("test_*.py"))
        self.assertEqual([name for name, count in names.items() if count > 1], [])

    def test_no_two_decisions_have_one_number(self) -> None:
        """Nor a gap: whoever reads "ADR 7" finds one."""
        numbers = sorted(path.name[:4] for path in (TESTS.parent / "docs" / "adr").glob("*.md"))
        self.assertEqual(numbers, [f"{number:04}" for number in range(1, len(numbers) + 1)])
