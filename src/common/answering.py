"""What surrounds every answer of a daemon, whoever asks: the audit.

The admin socket asks through it, and so does whatever else lets people change something.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from common.audit import change_event
from common.errors import RackferryError
from common.events import Event
from common.vocabulary import BY_NAME, Question

T = TypeVar("T")

Keep = Callable[[Event], Awaitable[None]]

_log = Logger()


def _changes(question: Question) -> bool:
    """Whether a question is one for the audit."""
    verb = BY_NAME[question.noun, question.verb]
    is_look = verb.reads_alone and not question.parameters and not question.flags
    return verb.changes and not is_look and "check" not in question.flags


class Answers(Generic[T]):
    """Answers questions, and keeps who changed what.

    Args:
        answer: answers a question that was checked against the vocabulary; the second
            argument takes progress, and is whatever the door gives its answers.
        keep: keeps an event.
    """

    def __init__(self, answer: Callable[[Question, T], Awaitable[Any]], keep: Keep) -> None:
        self._answer = answer
        self._keep_event = keep

    async def answer(self, question: Question, tell: T) -> Any:
        """The answer. A change is in the audit before it is answered."""
        if not _changes(question):
            return await self._answer(question, tell)
        if "wait" in question.flags:
            await self._keep(question, "begun")
        try:
            answer = await self._answer(question, tell)
        except CancelledError:
            await self._keep(question, "nobody waits for its end any more")
            raise
        except Exception as error:
            why = error.line() if isinstance(error, RackferryError) else "internal error"
            await self._keep(question, f"failed: {why}")
            raise
        await self._keep(question, "done")
        return answer

    async def _keep(self, question: Question, outcome: str) -> None:
        """A full database must not hinder those who come to make room in it."""
        event = change_event(question, outcome)
        try:
            await self._keep_event(event)
        except RackferryError as error:
            _log.error("not in the audit: {what} ({why})", what=event.cause, why=error.line())
