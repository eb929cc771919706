"""The daemon's end of the admin socket: a shell asks (``common.shell.line``), a daemon answers.

A question is one word of ``common.vocabulary``; the answer is JSON. Answers of more than
48 KiB are read in pieces: the daemon keeps them for the connection that asked, until they
have been read, and no more than a few.

An answer may go on for as long as the shell stays (``events read follow``): then it is an
async generator. Each item waits until the shell has dealt with the one before, so that a
shell that does not read costs nothing; the generator is closed when the shell has left, and
the shell is told to leave when the daemon stops.

While it is being answered, a daemon may read the files that a question is about from the
shell (``Shell.read``): they are those of the user who asks, and the daemon cannot see them.

Who may ask, the file system decides (mode and group of the socket); who did, the kernel
says, and the log keeps.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any

import attrs
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from common.canonical import canonical_json, parse
from common.commands import (
    PIECE_BYTES,
    AnswerItem,
    AnswerProgress,
    Ask,
    ReadAnswer,
    ReadBundle,
)
from common.conversation import Conversation, Manners, Table
from common.errors import NotFound, ProtocolError
from common.patience import in_time
from common.peers import Peers
from common.questions import check_question
from common.verbs import TIMEOUT
from common.vocabulary import Place, Question, Verb

MAX_ANSWERS = 8
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_PROGRESS_BYTES = 32 * 1024

Progress = Callable[[Any], None]

_log = Logger()


class Shell:
    """The shell that asked, as an answer may need it.

    Attributes:
        missing: what the answer still waits for, as it was told last; "" if it was not.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.missing = ""

    def __call__(self, progress: Any) -> None:
        """Tell how far the answer is; worth nothing to a shell that has left, or does not read."""
        self.missing = str(progress.get("waiting_for", "")) if isinstance(progress, dict) else ""
        text = canonical_json(progress)
        if len(text) <= MAX_PROGRESS_BYTES:
            self._conversation.notify(AnswerProgress, progress=text)

    async def read(self, path: str, offset: int, length: int) -> tuple[bytes, int]:
        """A piece of one of the files that the question is about, and the file's size.

        Raises:
            RackferryError: the shell does not give it, or has left.
        """
        answer = await self._conversation.call(ReadBundle, path=path, offset=offset, length=length)
        return answer["piece"], answer["size_bytes"]


Answerer = Callable[[Question, Shell], Coroutine[Any, Any, Any]]


class AdminSocket(ServerFactory):
    """The daemon's end.

    Args:
        place: which daemon this is; questions for another are refused.
        answer: answers a checked question with something that JSON can say, or an async
            generator of such things; it may tell how far it is meanwhile.
        clock: for deadlines.
        besides: makes the table of what else one shell may say.
        peers: says who asks.
    """

    noisy = False

    def __init__(
        self,
        place: Place,
        answer: Answerer,
        clock: IReactorTime,
        besides: Callable[[], Table] = dict,
        peers: Peers | None = None,
    ) -> None:
        self._place = place
        self._answer = answer
        self._clock = clock
        self._besides = besides
        self._peers = peers or Peers()
        self._following: set[Conversation] = set()

    def buildProtocol(self, addr: IAddress | None) -> Conversation:  # noqa: ARG002 - Twisted's
        """One shell (called by Twisted)."""
        answering = Answering(
            self._place,
            self._answer,
            self._clock,
            self._following,
            besides=self._besides(),
            peers=self._peers,
        )
        return answering.conversation

    def stopFactory(self) -> None:
        """No more shells, and no more for those that follow (called by Twisted)."""
        for conversation in tuple(self._following):
            conversation.close()


class Answering:
    """The daemon's end of one connection. ``following`` has those whose answer goes on."""

    def __init__(
        self,
        place: Place,
        answer: Answerer,
        clock: IReactorTime,
        following: set[Conversation],
        *,
        besides: Table,
        peers: Peers,
    ) -> None:
        self._place = place
        self._answer = answer
        self._clock = clock
        self._peers = peers
        self._following = following
        self._answers: OrderedDict[int, bytes] = OrderedDict()
        self._last_ticket = 0
        table: Table = {**besides, Ask: self.ask, ReadAnswer: self.read_answer}
        self.conversation = Conversation(table, clock, Manners(throttles=True), peer="shell")
        self._shell = Shell(self.conversation)

    async def ask(self, question: bytes) -> Mapping[str, Any]:
        """Answer a question; the first piece of the answer, and a ticket for the rest."""
        asked = parse(Question, question, "question")
        asked = attrs.evolve(asked, asker=await self._peers.name_of(self.conversation.transport))
        verb = check_question(asked, self._place)
        _log.info(
            "asked by {who}: {noun} {verb}", who=asked.asker, noun=asked.noun, verb=asked.verb
        )
        said = await self._in_time(asked, verb)
        if isinstance(said, AsyncGenerator):
            await self._go_on(said)
            said = None
        answer = canonical_json(said)
        if len(answer) > MAX_ANSWER_BYTES:
            raise ProtocolError(f"the answer has {len(answer)} bytes", code="answer-too-large")
        if len(answer) > PIECE_BYTES:
            self._last_ticket += 1
            self._answers[self._last_ticket] = answer
            self._forget_oldest()
        ticket = self._last_ticket
        return {"piece": answer[:PIECE_BYTES], "size_bytes": len(answer), "ticket": ticket}

    async def _in_time(self, asked: Question, verb: Verb) -> Any:
        """The answer, if it comes within the time that the question gives it."""
        self._shell.missing = ""
        timeout_s = asked.parameters.get(TIMEOUT.name)
        if verb.is_carried:
            remedy = "the same line goes on where it stopped"
        elif "wait" in asked.flags:
            remedy = "it goes on; ask again to wait for its end"
        else:
            remedy = "give it longer"
        return await in_time(
            self._answer(asked, self._shell),
            int(timeout_s) if isinstance(timeout_s, int) else None,
            self._clock,
            what=verb.phrase,
            missing=lambda: self._shell.missing,
            remedy=remedy,
        )

    async def _go_on(self, items: AsyncGenerator[Any, None]) -> None:
        self._following.add(self.conversation)
        try:
            async with aclosing(items):
                async for item in items:
                    await self._send(canonical_json(item))
        finally:
            self._following.discard(self.conversation)

    async def _send(self, text: bytes) -> None:
        """One item; without a deadline, since a shell may be stopped by its user for long."""
        for first in range(0, len(text), PIECE_BYTES):
            piece, is_last = text[first : first + PIECE_BYTES], first + PIECE_BYTES >= len(text)
            await self.conversation.call(AnswerItem, None, piece=piece, is_last=is_last)

    def _forget_oldest(self) -> None:
        while (
            len(self._answers) > MAX_ANSWERS
            or sum(map(len, self._answers.values())) > MAX_ANSWER_BYTES
        ):
            self._answers.popitem(last=False)

    async def read_answer(self, ticket: int, offset: int) -> Mapping[str, Any]:
        """A further piece; the answer is forgotten when its last byte has been given."""
        answer = self._answers.get(ticket)
        if answer is None or not 0 <= offset < len(answer):
            raise NotFound(
                "no such piece of an answer", object=f"ticket {ticket}", code="answer-gone"
            )
        piece = answer[offset : offset + PIECE_BYTES]
        if offset + len(piece) == len(answer):
            del self._answers[ticket]
        return {"piece": piece}
