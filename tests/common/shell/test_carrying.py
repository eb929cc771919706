"""Carrying images on a disk, with a region that comes and goes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import NoDaemon, TimedOut, WrongUsage
from common.shell import carrying
from common.shell.line import GRACE_S, LOST
from common.vocabulary import Question
from tests.doubles.bundles import NAME, write_bundle
from tests.doubles.directories import fresh_directory

GONE = NoDaemon("it went away", code=LOST)
NOBODY = NoDaemon("nobody is there")


class ImportBundleTests(SynchronousTestCase):
    """A region that reads something of the bundle, and then says what it is told to."""

    def setUp(self) -> None:
        self.root = fresh_directory(self) / "bundle"
        self.root.mkdir()
        write_bundle(self.root, {"a": b"content"}, "http://source.example/")
        self.clock = Clock()
        self.told: list[Any] = []
        self.asked: list[tuple[Question, float | None]] = []

    def take(self, *says: Exception | str, **given: int) -> Any:
        answers = iter(says)

        @contextmanager
        def connected(
            _: str, __: Any, give: Callable[..., Any], *, timeout_s: float | None
        ) -> Iterator[Any]:
            class Region:
                @staticmethod
                def answer_to(question: Question) -> Any:
                    self.asked.append((question, timeout_s))
                    self.assertEqual(give(f"mirror/{NAME}/a", 0, 9), (b"content", 7))
                    said = next(answers)
                    if isinstance(said, Exception):
                        raise said
                    return said

            yield Region

        self.patch(carrying, "connected", connected)
        return carrying.import_bundle(
            "/s",
            Question("boot-resources", "import-bundle", (str(self.root),), given),
            self.told.append,
            wait=self.clock.advance,
            now=self.clock.seconds,
        )

    def test_a_region_that_is_restarted(self) -> None:
        """The bundle is given again to the one that is back, and somebody who waits is told."""
        self.assertEqual(self.take(GONE, NOBODY, NOBODY, "done"), "done")
        self.assertEqual(len(self.asked), 4)
        self.assertIn("went away", self.told[0]["phase"])
        self.assertEqual({limit_s for _, limit_s in self.asked}, {None})

    def test_its_own_time(self) -> None:
        """The region ends it when it is over; after a restart it is told what is left."""
        away = [NOBODY] * 20
        self.assertEqual(self.take(GONE, *away, "done", timeout=100), "done")
        left = [question.parameters["timeout"] for question, _ in self.asked]
        self.assertEqual((left[0], left[-1]), (100, 89))
        self.assertEqual(self.asked[-1][1], 89 + GRACE_S)
        self.assertRaises(TimedOut, self.take, TimedOut("not done"), timeout=1)

    def test_nobody_there_at_all(self) -> None:
        """A region that was never there is not waited for; neither is a bundle that is none."""
        self.assertRaises(NoDaemon, self.take, NOBODY)
        self.assertEqual(len(self.asked), 1)
        self.root = self.root / "nothing"
        self.assertRaises(WrongUsage, self.take)
