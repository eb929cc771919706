"""The short proof by interruption, between real daemons; the long one is in the slow tests."""

import pytest

from tests.integration.faults import faults, stormy
from tests.integration.proving import Proof


@pytest.mark.timeout(240)
class InterruptionTests(Proof):
    def test_a_killed_region_resumes_its_import(self) -> None:
        """Killed with bytes in flight, a region ends its import alone, right, and cheaply."""
        self.kill_region(2, most=2)

    def test_a_killed_rack_resumes_its_sync(self) -> None:
        """Killed with bytes in flight, a rack ends its sync alone, right, and cheaply."""
        self.kill_rack(2, most=2)

    def test_cut_lines_cost_nothing_but_time(self) -> None:
        """With both hops cut at random bytes, everything arrives and is right."""
        self.say(f"  {stormy(self.ground, 'cut', faults(self.draw)['cut'])}")
