"""Answers that are a moment old."""

import threading
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.errors import NoDaemon
from common.shell.recent import KEEP_S, RecentAnswers
from common.vocabulary import Question

SOURCES = Question("boot-sources", "read")
FOREVER_S = 60.0


class RecentAnswersTests(SynchronousTestCase):
    """A daemon that is a function, and a clock that stands still."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, Question]] = []
        self.answer: Any = [{"id": 1}]

    def ask(self, path: str, question: Question) -> Any:
        self.asked.append((path, question))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def test_kept_for_seconds(self) -> None:
        """The same is asked once, and again when it is old or was forgotten."""
        recent = RecentAnswers(self.ask, self.clock.seconds, FOREVER_S)
        for _ in range(3):
            self.assertEqual(recent.rows("/s", SOURCES), [{"id": 1}])
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(KEEP_S + 1)
        recent.rows("/s", SOURCES)
        recent.forget()
        recent.rows("/s", SOURCES)
        self.assertEqual(len(self.asked), 3)

    def test_each_question_and_daemon_apart(self) -> None:
        """Another socket, noun or id is another question."""
        recent = RecentAnswers(self.ask, self.clock.seconds, FOREVER_S)
        for socket, ids in (("/s", ()), ("/t", ()), ("/s", ("1",))):
            recent.rows(socket, Question("boot-sources", "read", ids))
        self.assertEqual(len(self.asked), 3)

    def test_no_daemon_has_no_values(self) -> None:
        """An error is no answer, and is not asked for again at once; so is what is no list."""
        for self.answer in (NoDaemon("no"), {"not": "rows"}):
            recent = RecentAnswers(self.ask, self.clock.seconds, FOREVER_S)
            for _ in range(2):
                self.assertFalse(recent.rows("/s", SOURCES))
        self.assertEqual(len(self.asked), 2)

    def test_a_slow_daemon(self) -> None:
        """It costs no more than the patience, and its answer is there for the next time."""
        may_answer = threading.Event()

        def ask(path: str, question: Question) -> Any:
            may_answer.wait(FOREVER_S)
            return self.ask(path, question)

        recent = RecentAnswers(ask, self.clock.seconds, 0.01)
        self.assertEqual(recent.rows("/s", SOURCES), ())
        may_answer.set()
        patient = recent._asked["/s", "boot-sources", "read", (), ()]
        self.assertTrue(patient.is_answered.wait(FOREVER_S))
        self.assertEqual((recent.rows("/s", SOURCES), len(self.asked)), ([{"id": 1}], 1))
