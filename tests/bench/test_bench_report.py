"""The benchmark's table: what it claims must follow from what was measured."""

from twisted.trial.unittest import SynchronousTestCase

from bench.report import Memory, Row, machine, table


class RowTests(SynchronousTestCase):
    def test_the_ratio_is_median_over_median(self) -> None:
        """One slow round does not decide; twice the speed is 2x."""
        row = Row("job", "peer", ours_s=[1.0, 1.0, 9.0], peer_s=[2.0, 2.0, 0.1], goal=1.5)
        self.assertEqual((row.ratio, row.verdict), (2.0, "met"))

    def test_a_missed_goal_is_said_plainly(self) -> None:
        """Below the goal the verdict cannot be overlooked."""
        row = Row("job", "peer", ours_s=[2.0], peer_s=[2.0], goal=1.5)
        self.assertEqual(row.verdict, "GOAL MISSED")

    def test_a_missing_peer_is_visible(self) -> None:
        """Without a peer the row stays, with our figure, and says skipped."""
        cells = Row("job", "peer", ours_s=[2.0], peer_s=[], goal=1.5, size_bytes=2**21).cells()
        self.assertIn("skipped: peer missing", cells)
        self.assertIn("2.000 s (2.000-2.000), 1 MiB/s", cells)

    def test_memory_is_held_against_its_limit(self) -> None:
        """A byte above the limit misses the goal."""
        self.assertIn("met", Memory("rackd", 100, 100).cells())
        self.assertIn("GOAL MISSED", Memory("rackd", 101, 100).cells())


class TableTests(SynchronousTestCase):
    def test_all_lines_are_as_wide_as_each_other(self) -> None:
        """The table reads well in a terminal and is Markdown."""
        row = Row("a job with a long title", "peer", ours_s=[2.0], peer_s=[2.0])
        lines = table([row, Memory("rackd", 1, 2)]).splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual({len(line) for line in lines}, {len(lines[0])})

    def test_the_machine_is_named(self) -> None:
        """Figures without their machine mean nothing."""
        self.assertRegex(machine(), r"\d+ cores, .*\n.*load average.*\n.*Python 3.*\n.*curl")
