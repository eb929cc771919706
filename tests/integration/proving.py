"""What the short and the long proof by interruption share: a ground, a seed, printed figures."""

import os
import random
from collections.abc import Callable
from typing import ClassVar

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.ground import Ground
from tests.integration.killing import Run, Tally, killed_import, killed_sync

MOST_MISSES = 20


class Proof(SynchronousTestCase):
    """A ground for all tests of a class. ``SEED`` in the environment repeats its draws."""

    ground: ClassVar[Ground]
    seed: ClassVar[int]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
        cls.ground = Ground(cls.seed)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.ground.close()
        super().tearDownClass()

    @pytest.fixture(autouse=True)
    def _printing(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def setUp(self) -> None:
        self.draw = random.Random(f"{self.seed} {self.id()}")
        for hop in (self.ground.upstream, self.ground.downstream):
            hop.full_speed()
        self.say(f"\n{self._testMethodName}, SEED={self.seed}")

    def say(self, line: str) -> None:
        """Print a line although the test passes."""
        with self._capfd.disabled():
            print(line, flush=True)  # noqa: T201  (the figures are to be seen)

    def proven(self, run: Run) -> Run:
        """Print a run; it must have lost and fetched again no more than is promised."""
        self.say(f"  {run.line()}")
        self.assertEqual(run.breaches(), [], f"SEED={self.seed}: {run.line()}")
        return run

    def tally(self, one_run: Callable[[str, int], Run], name: str, wanted: int, most: int) -> None:
        """Runs, with at most ``most`` kills each, until ``wanted`` kills hit bytes in flight."""
        tally = Tally()
        while tally.kills < wanted:
            count = self.draw.randint(1, min(most, wanted - tally.kills))
            tally.runs.append(self.proven(one_run(f"{name} {len(tally.runs) + 1}", count)))
            missed = sum(run.misses for run in tally.runs)
            self.assertLess(missed, MOST_MISSES, f"SEED={self.seed}: nothing is ever in flight")
        self.say(f"  {tally.line()}")

    def kill_region(self, wanted: int, most: int) -> None:
        """Imports whose region is killed ``wanted`` times in all."""
        self.tally(
            lambda name, count: killed_import(self.ground, self.draw, name, count),
            "import",
            wanted,
            most,
        )

    def kill_rack(self, wanted: int, most: int) -> None:
        """Syncs whose rack is killed ``wanted`` times in all."""
        self.ground.fresh_region()
        self.ground.site.region.start()
        self.ground.await_import()
        self.tally(
            lambda name, count: killed_sync(self.ground, self.draw, name, count),
            "sync",
            wanted,
            most,
        )
