"""What a daemon measures, as text."""

import shutil
import subprocess

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from common.metrics import Kind, Metric, Tally, exposition

HELD = Metric("rackferry_held_bytes", Kind.GAUGE, "held", ("rack",))
SENT = Metric("rackferry_sent_bytes_total", Kind.COUNTER, "sent")
LOST = Metric("rackferry_lost_total", Kind.COUNTER, "lost", ("code",))
TABLE = (HELD, SENT, LOST)


def lines(text: bytes) -> list[str]:
    """Those that say something of ours."""
    return [each for each in text.decode().splitlines() if each.startswith("rackferry_")]


def lint(text: bytes) -> str:
    """What promtool complains of.

    Raises:
        SkipTest: there is no promtool here.
    """
    promtool = shutil.which("promtool")
    if promtool is None:
        raise SkipTest("promtool is not installed; try: apt-get install prometheus")
    run = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    return run.stderr.decode() + (f"exit code {run.returncode}" if run.returncode else "")


class ExpositionTests(SynchronousTestCase):
    def test_values_stand_under_their_names(self) -> None:
        """With their labels; what is not known now is not shown."""
        values = {HELD.name: {("a",): 3, ("b",): None}}
        self.assertIn('rackferry_held_bytes{rack="a"} 3.0', lines(exposition(TABLE, values)))
        self.assertNotIn('rack="b"', exposition(TABLE, values).decode())

    def test_nothing_happened_yet(self) -> None:
        """A counter without labels is there from the start, so that its rate can be known."""
        self.assertEqual(lines(exposition(TABLE)), ["rackferry_sent_bytes_total 0.0"])

    def test_counts_add_up(self) -> None:
        """By label."""
        tally = Tally()
        for code in ("x", "y", "x"):
            tally.add(LOST.name, 1, code)
        tally.add(SENT.name, 2.5)
        self.assertEqual(
            lines(exposition(TABLE, tally.samples)),
            [
                "rackferry_sent_bytes_total 2.5",
                'rackferry_lost_total{code="x"} 2.0',
                'rackferry_lost_total{code="y"} 1.0',
            ],
        )

    def test_names_of_admins_are_escaped(self) -> None:
        """Whatever a rack is called, the rest of the page can be read."""
        text = exposition(TABLE, {HELD.name: {('a"\n',): 1}})
        self.assertIn(r'rackferry_held_bytes{rack="a\"\n"} 1.0', lines(text))
        self.assertEqual(lint(text), "")

    def test_a_value_that_is_no_metric_is_a_bug(self) -> None:
        """It would be in no document."""
        self.assertRaises(ValueError, exposition, TABLE, {"rackferry_other": {(): 1}})
