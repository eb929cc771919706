"""A session of the shell whose streams can be read, with a daemon that is a function."""

import io
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from common.shell.grammar import Invocation
from common.shell.session import OnProgress, Session
from common.vocabulary import Question


class Daemon:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Question]] = []
        self.progress: list[dict[str, Any]] = []
        self.interrupts = False

    def ask(self, socket: str, question: Question, on_progress: OnProgress) -> Any:
        self.asked.append((socket, question))
        for progress in self.progress:
            on_progress(progress)
        if self.interrupts:
            raise KeyboardInterrupt
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class SessionCase(SynchronousTestCase):
    """A session whose streams can be read."""

    def setUp(self) -> None:
        """A daemon that has nothing to say yet."""
        self.daemon = Daemon({})
        self.out = io.StringIO()
        self.err = io.StringIO()
        self.environ: dict[str, str] = {}
        self.local: list[Invocation] = []
        self.session = Session(
            ask=self.daemon.ask,
            local=lambda invocation: self.local.append(invocation) or {"ok": True},
            out=self.out,
            err=self.err,
            environ=self.environ,
        )

    def run_line(self, line: str) -> int:
        return self.session.run(line.split())
