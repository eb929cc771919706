"""What surrounds an answer."""

from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from common.answering import Answers
from common.errors import Conflict, NoSpace
from common.events import Event
from common.vocabulary import VERBS, Place, Question

STOP = Question("boot-resources", "stop-import", asker="alice (uid 1000, pid 7)")
IMPORT = Question("boot-resources", "import", flags=("wait",), asker="alice (uid 1000, pid 7)")


class AuditTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.kept: list[Event] = []
        self.full = False
        self.hold: Deferred[Any] = Deferred()
        self.answers: Answers[object] = Answers(self.reply, self.keep)

    async def reply(self, _: Question, __: object) -> Any:
        return await self.hold

    async def keep(self, event: Event) -> None:
        if self.full:
            raise NoSpace("the database is full")
        self.kept.append(event)

    def ask(self, question: Question) -> "Deferred[Any]":
        return Deferred.fromCoroutine(self.answers.answer(question, None))

    def outcomes(self) -> list[str]:
        return [event.cause.partition(": ")[2].partition(": ")[2] for event in self.kept]

    def test_changes_are_kept_and_reads_are_not(self) -> None:
        """Over the whole vocabulary: exactly what changes something is in the audit."""
        self.hold.callback({})
        for verb in VERBS:
            if Place.LOCAL in verb.places:
                continue
            self.kept.clear()
            ids = ("1",) * len(verb.ids)
            self.successResultOf(self.ask(Question(verb.noun, verb.verb, ids)))
            is_kept = verb.changes and not verb.reads_alone
            self.assertEqual(len(self.kept), int(is_kept), f"{verb.noun} {verb.verb}")

    def test_a_look_at_the_canaries_is_no_change(self) -> None:
        """The same word changes them if anything follows it."""
        self.hold.callback({})
        look = Question("rack-controllers", "canary", asker="alice")
        for question, count in (
            (look, 0),
            (attrs.evolve(look, flags=("promote",)), 1),
            (attrs.evolve(look, parameters={"names": []}), 2),
        ):
            self.successResultOf(self.ask(question))
            self.assertEqual(len(self.kept), count)

    def test_the_audit_comes_before_the_answer(self) -> None:
        """Who is told that it was done can find it there."""
        asking = self.ask(STOP)
        self.assertEqual(self.kept, [])
        self.hold.callback({"stopped": True})
        self.assertEqual(self.successResultOf(asking), {"stopped": True})
        self.assertEqual(
            [(event.code, event.object) for event in self.kept],
            [("admin-change", "boot-resources")],
        )
        self.assertEqual(self.outcomes(), ["done"])

    def test_a_failure_says_why(self) -> None:
        """A refusal in its words; of a bug no more than that it was one."""
        for error, outcome in (
            (Conflict("is used", object="x"), "failed: x: is used"),
            (ValueError("inside"), "failed: internal error"),
        ):
            self.kept.clear()
            self.hold = Deferred()
            asking = self.ask(STOP)
            self.hold.errback(error)
            self.failureResultOf(asking, type(error))
            self.assertEqual(self.outcomes(), [outcome])

    def test_what_takes_long_is_kept_when_it_begins(self) -> None:
        """While somebody waits, others can see who began it; then how it ended."""
        asking = self.ask(IMPORT)
        self.assertEqual(self.outcomes(), ["begun"])
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual(self.outcomes()[1:], ["nobody waits for its end any more"])

    def test_a_full_database_hinders_nobody(self) -> None:
        """What makes room in it is done although it cannot be kept; the log has it."""
        self.full = True
        self.hold.callback({"stopped": True})
        self.assertEqual(self.successResultOf(self.ask(STOP)), {"stopped": True})
