"""Whether the reactor turns."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Busy
from common.pulse import BEAT_S, MOST_LAG_S, REMEMBERED, Pulse


class PulseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.pulse = Pulse(self.clock)
        self.pulse.startService()
        self.addCleanup(self.pulse.stopService)

    def test_a_reactor_that_turns_is_well(self) -> None:
        """Its timers come when they are due."""
        self.clock.pump([BEAT_S] * 20)
        self.assertEqual(self.pulse.lag_s, 0.0)
        self.pulse.demand()

    def test_one_that_stood_still_says_so_for_a_while(self) -> None:
        """Or nobody could see it: while it stands still it answers nobody."""
        self.clock.pump([BEAT_S] * 3)
        self.clock.advance(BEAT_S + MOST_LAG_S + 1)
        self.assertEqual(self.pulse.lag_s, MOST_LAG_S + 1)
        error = self.assertRaises(Busy, self.pulse.demand)
        self.assertEqual(error.code, "reactor-stuck")
        self.clock.pump([BEAT_S] * REMEMBERED)
        self.pulse.demand()
