"""Tests of how long replaced snapshots stay, whatever is done to the clock."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rackd.planning import HeldSnapshot, Holdings
from rackd.retention import RETENTION_S, Retention

NOW_S = 1_800_000_000.0
UP_S = 5000.0
"""What the clock that is never set says at the start."""


def holdings(**made_at: float) -> Holdings:
    """Snapshots made at these times; the last is shown."""
    snapshots = tuple(HeldSnapshot(name, at) for name, at in made_at.items())
    return Holdings(snapshots=snapshots, current=snapshots[-1].name)


class RetentionTests(SynchronousTestCase):
    """Snapshots of a rack that started now."""

    def setUp(self) -> None:
        self.retention = Retention(NOW_S, UP_S)

    def over(self, found: Holdings, later_s: float) -> set[str]:
        """What may go, seen so many seconds after the start."""
        self.retention.look(found, UP_S + later_s)
        return set(self.retention.over(UP_S + later_s))

    def test_replaced_before(self) -> None:
        """It stays until two hours after its successor came, however old it is itself."""
        found = holdings(old=NOW_S - 90_000, new=NOW_S - RETENTION_S + 10)
        self.assertEqual(self.over(found, 9), set())
        self.assertEqual(self.over(found, 10), {"old"})

    def test_replaced_since(self) -> None:
        """Two hours of time that passes count, whatever the names say of the time of day."""
        for jump_s in (-90_000, 90_000):
            self.retention = Retention(NOW_S, UP_S)
            self.over(holdings(first=NOW_S), 0)
            found = holdings(first=NOW_S, second=NOW_S + jump_s)
            self.assertEqual(self.over(found, 100), set())
            self.assertEqual(self.over(found, 100 + RETENTION_S - 1), set())
            self.assertEqual(self.over(found, 100 + RETENTION_S), {"first"})

    def test_made_in_the_future(self) -> None:
        """After a start with a clock that was set back, what seems newer goes after two hours."""
        found = holdings(old=NOW_S + 90_000, new=NOW_S)
        self.assertEqual(self.over(found, RETENTION_S - 1), set())
        self.assertEqual(self.over(found, RETENTION_S), {"old"})

    @given(
        ages_s=st.lists(st.integers(-50_000, 50_000), min_size=1, max_size=5, unique=True),
        later_s=st.floats(0, 3 * RETENTION_S),
    )
    def test_laws(self, ages_s: list[int], later_s: float) -> None:
        """What is shown never goes, and nothing replaced stays for more than two hours of work."""
        retention = Retention(NOW_S, UP_S)
        found = holdings(**{f"s{age_s}": NOW_S - age_s for age_s in ages_s})
        retention.look(found, UP_S)
        over = retention.over(UP_S + later_s)
        self.assertNotIn(found.current, over)
        if later_s >= RETENTION_S:
            self.assertEqual(len(over), len(ages_s) - 1)
