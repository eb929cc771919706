"""Waiting over a restart."""

from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import Conflict, NoDaemon, RackferryError
from common.shell.line import LOST, Tell
from common.shell.rejoining import PATIENCE_S, ask_and_rejoin
from common.vocabulary import Question

WAITING = Question("boot-resources", "import", flags=("wait",))
GONE = NoDaemon("it went away", code=LOST)
NOBODY = NoDaemon("nobody is there")


class RejoiningTests(SynchronousTestCase):
    """A daemon that comes and goes as it is told to."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        self.questions: list[Question] = []

    def ask(self, question: Question, *says: RackferryError | str) -> Any:
        """Ask a daemon that says this, and the last of it again and again."""
        self.asked = 0

        def once(path: str, now_asked: Question, tell: Tell) -> Any:
            self.questions.append(now_asked)
            said = says[min(self.asked, len(says) - 1)]
            self.asked += 1
            if isinstance(said, RackferryError):
                raise said
            return said

        return ask_and_rejoin(
            once,
            "/s",
            question,
            self.told.append,
            wait=self.clock.advance,
            now=self.clock.seconds,
            is_waiting="wait" in question.flags,
        )

    def test_it_comes_back(self) -> None:
        """Whoever waits is told, waits on, and gets the answer of the daemon that is back."""
        self.assertEqual(self.ask(WAITING, GONE, NOBODY, NOBODY, "done"), "done")
        self.assertEqual(len(self.told), 3)
        self.assertIn("went away", self.told[0]["phase"])

    def test_again_and_again(self) -> None:
        """Each restart has its own patience."""
        away = [NOBODY] * int(PATIENCE_S)
        self.assertEqual(self.ask(WAITING, GONE, *away, GONE, *away, GONE, *away, "done"), "done")

    def test_it_stays_away(self) -> None:
        """After a minute nobody waits any longer."""
        error = self.assertRaises(NoDaemon, self.ask, WAITING, GONE, NOBODY)
        self.assertIs(error, NOBODY)
        self.assertGreater(self.clock.seconds(), PATIENCE_S)

    def test_nobody_there_at_all(self) -> None:
        """A daemon that was never there is not waited for, nor by a question without wait."""
        self.assertRaises(NoDaemon, self.ask, WAITING, NOBODY)
        self.assertRaises(NoDaemon, self.ask, Question("status"), GONE, "done")
        self.assertEqual((self.asked, self.told), (1, []))

    def test_what_the_new_daemon_says(self) -> None:
        """An error of the daemon that is back is the answer."""
        self.assertRaises(Conflict, self.ask, WAITING, GONE, Conflict("no"))

    def test_its_own_time(self) -> None:
        """With ``timeout=`` the daemon may be away for as long, and is told what is left of it."""
        question = attrs.evolve(WAITING, parameters={"timeout": 100})
        away = [NOBODY] * 150
        self.assertEqual(self.ask(question, GONE, *away, "done"), "done")
        left = [asked.parameters["timeout"] for asked in self.questions]
        self.assertEqual((left[0], left[-1]), (100, 24))
        self.assertRaises(NoDaemon, self.ask, question, GONE, NOBODY)
        self.assertAlmostEqual(self.clock.seconds(), 176.0, delta=1.0)
