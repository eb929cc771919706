"""The proof by interruption: real daemons, SIGKILL and bad lines, at random moments.

``SHORT=1`` is the version for CI. ``SEED=n`` repeats the draws of a run.
"""

import time

import pytest

from tests.doubles.length import IS_SHORT, short_or_long
from tests.integration.faults import faults, killed_both, stalled_for_good, stormy
from tests.integration.proving import Proof
from tests.integration.sources import MIB

KILLS = short_or_long(3, 20)
BOTH_KILLS = short_or_long(1, 4)
STORMS = short_or_long(("cut", "corrupt"), ("cut", "stall", "delay", "slow", "corrupt"))


@pytest.mark.slow
@pytest.mark.timeout(900)
class LongInterruptionTests(Proof):
    def test_region_killed_during_imports(self) -> None:
        """20 kills of regiond with bytes in flight: each import ends alone, right and cheaply."""
        self.kill_region(KILLS, most=4)

    def test_rack_killed_during_syncs(self) -> None:
        """20 kills of rackd with bytes in flight: each sync ends alone, right and cheaply."""
        self.kill_rack(KILLS, most=4)

    def test_both_killed(self) -> None:
        """Region and rack killed together: the whole way ends alone, right and cheaply."""
        done = tried = 0
        while done < BOTH_KILLS:
            tried += 1
            runs = killed_both(self.ground, self.draw, f"both {tried}")
            done += bool(runs)
            for run in runs:
                self.proven(run)
            self.assertLess(tried, 3 * BOTH_KILLS, f"SEED={self.seed}: never both in flight")

    def test_bad_lines(self) -> None:
        """Cut, stalled, delayed, slow and corrupted lines on both hops: all arrives, right."""
        for name, fault in faults(self.draw).items():
            if name in STORMS:
                self.say(f"  {stormy(self.ground, name, fault)}")

    def test_a_silent_line_does_not_hold_up_a_stop(self) -> None:
        """A rack whose region fell silent ends within seconds of SIGTERM, idle or syncing."""
        ground = self.ground
        ground.fresh_rack()
        ground.fresh_region()
        ground.site.region.start()
        ground.await_import()
        for order in ("clear", f"down stall_after={MIB}"):
            ground.fresh_rack()
            ground.downstream.order(order)
            ground.site.rack.start()
            if order == "clear":
                ground.await_sync()
            else:
                ground.until(lambda: ground.downstream.counts()["held"], "the line to stall")
            ground.downstream.order("down stall_after=1")
            began_s = time.monotonic()
            self.assertEqual(ground.site.rack.stop(), -15)
            self.say(f"  stopped on a silent line in {time.monotonic() - began_s:.1f} s")
            self.assertLess(time.monotonic() - began_s, 20.0)

    def test_lines_that_stall_for_good(self) -> None:
        """Connections that go silent for ever are left by the daemons themselves."""
        if IS_SHORT:
            self.skipTest("waits for the region's patience, which is 60 s; not with SHORT=1")
        self.say(f"  {stalled_for_good(self.ground)}")
