"""The admin socket, both ends: a shell asks, a daemon answers.

A question is one word of ``common.vocabulary``; the answer is JSON. Answers of more than
48 KiB are read in pieces: the daemon keeps them for the connection that asked, until they
have been read, and no more than a few.

An answer may go on for as long as the shell stays (``events read follow``): then it is an
async generator. Each item waits until the shell has dealt with the one before, so that a
shell that does not read costs nothing; the generator is closed when the shell has left, and
the shell is told to leave when the daemon stops.

Who may ask, the file system decides (mode and group of the socket); who did, the kernel
says, and the log keeps.
"""

import errno
import json
import os
import socket
import struct
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import attrs
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, ServerFactory
from twisted.logger import Logger

from common.canonical import canonical_json, parse
from common.commands import PIECE_BYTES, AnswerItem, AnswerProgress, Ask, ReadAnswer
from common.conversation import CLIENT, Conversation, Manners, Table
from common.errors import (
    NoDaemon,
    NotFound,
    ProtocolError,
    RackferryError,
    Refused,
    TransferError,
)
from common.questions import check_question
from common.vocabulary import Place, Question

MAX_ANSWERS = 8
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_PROGRESS_BYTES = 32 * 1024
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 300.0

Progress = Callable[[Any], None]
Answerer = Callable[[Question, Progress], Awaitable[Any]]

_log = Logger()


class AdminSocket(ServerFactory):
    """The daemon's end.

    Args:
        place: which daemon this is; questions for another are refused.
        answer: answers a checked question with something that JSON can say, or an async
            generator of such things; it may tell how far it is meanwhile.
        clock: for deadlines.
    """

    noisy = False

    def __init__(self, place: Place, answer: Answerer, clock: IReactorTime) -> None:
        self._place = place
        self._answer = answer
        self._clock = clock
        self._following: set[Conversation] = set()

    def buildProtocol(self, addr: IAddress | None) -> Conversation:  # noqa: ARG002 - Twisted's
        """One shell (called by Twisted)."""
        return Answering(self._place, self._answer, self._clock, self._following).conversation

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
    ) -> None:
        self._place = place
        self._answer = answer
        self._following = following
        self._answers: OrderedDict[int, bytes] = OrderedDict()
        self._last_ticket = 0
        table: Table = {Ask: self.ask, ReadAnswer: self.read_answer}
        self.conversation = Conversation(table, clock, Manners(throttles=True), peer="shell")

    async def ask(self, question: bytes) -> Mapping[str, Any]:
        """Answer a question; the first piece of the answer, and a ticket for the rest."""
        asked = parse(Question, question, "question")
        asked = attrs.evolve(asked, asker=_asker(self.conversation.transport))
        check_question(asked, self._place)
        _log.info(
            "asked by {who}: {noun} {verb}", who=asked.asker, noun=asked.noun, verb=asked.verb
        )
        said = await self._answer(asked, self._tell)
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

    def _tell(self, progress: Any) -> None:
        """Progress is worth nothing to a shell that has left, or does not read."""
        text = canonical_json(progress)
        if len(text) <= MAX_PROGRESS_BYTES:
            self.conversation.notify(AnswerProgress, progress=text)


def _asker(transport: Any) -> str:
    """Who is at the other end of a Unix socket, as the kernel says; "" if it cannot."""
    handle = getattr(transport, "socket", None)
    if handle is None or handle.family != socket.AF_UNIX:
        return ""
    size_bytes = struct.calcsize("3i")
    found = handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size_bytes)
    pid, uid, gid = struct.unpack("3i", found)
    return f"uid {uid} gid {gid} pid {pid}"


async def ask(
    reactor: Any,
    socket_path: str,
    question: Question,
    on_progress: Progress = lambda _: None,
    *,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> Any:
    """Ask a daemon; returns the answer as JSON values.

    Args:
        reactor: for the connection and deadlines.
        socket_path: the daemon's admin socket.
        question: what to ask. With the flag ``wait``, or ``follow``, there is no deadline.
        on_progress: called with what the daemon says meanwhile, and with each item of an
            answer that goes on. What it raises ends the question.
        timeout_s: how long one answer may take otherwise.

    Raises:
        NoDaemon: nobody answers there, or the daemon went away before it had answered.
        Refused: code ``socket-permission``; the socket is not for this user.
        TimedOut: no answer in time.
        RackferryError: what the daemon says.
    """
    telling = _Telling(on_progress)
    table: Table = {AnswerProgress: telling.progress, AnswerItem: telling.item}
    conversation = Conversation(table, reactor, CLIENT, peer=socket_path)
    telling.on_failure = conversation.close
    endpoint = UNIXClientEndpoint(reactor, socket_path, timeout=CONNECT_TIMEOUT_S)
    try:
        await endpoint.connect(Factory.forProtocol(lambda: conversation))
    except (ConnectError, OSError) as error:
        raise _unasked(socket_path, error) from error
    is_patient = {"wait", "follow"} & set(question.flags)
    try:
        answer = await _whole_answer(conversation, question, None if is_patient else timeout_s)
    except TransferError as error:
        telling.raise_failure()
        if error.code != "connection-lost":
            raise
        followed = "follow" in question.flags
        why = "it has stopped" if followed else "it went away before it had answered"
        raise _no_daemon(socket_path, why) from error
    finally:
        await conversation.finish()
    return json.loads(answer)


class _Telling:
    """The shell's end of what comes before the answer."""

    def __init__(self, tell: Progress) -> None:
        self._tell = tell
        self._pieces = bytearray()
        self._failure: Exception | None = None
        self.on_failure: Callable[[], None] = lambda: None

    async def progress(self, progress: bytes) -> Mapping[str, Any]:
        self._pass_on(progress)
        return {}

    async def item(self, piece: bytes, is_last: bool) -> Mapping[str, Any]:
        self._pieces += piece
        if is_last:
            text = bytes(self._pieces)
            self._pieces.clear()
            self._pass_on(text)
        return {}

    def raise_failure(self) -> None:
        """Raise what ended the question from this side."""
        if self._failure is not None:
            raise self._failure

    def _pass_on(self, text: bytes) -> None:
        try:
            self._tell(json.loads(text))
        except Exception as error:  # noqa: BLE001 - a closed pipe, for example: the asker's
            self._failure = error
            self.on_failure()


async def _whole_answer(
    conversation: Conversation, question: Question, timeout_s: float | None
) -> bytes:
    first = await conversation.call(Ask, timeout_s, question=canonical_json(question))
    answer = bytearray(first["piece"])
    while len(answer) < first["size_bytes"]:
        rest = await conversation.call(ReadAnswer, ticket=first["ticket"], offset=len(answer))
        if not rest["piece"]:
            raise ProtocolError("the answer ended early", object=conversation.peer)
        answer += rest["piece"]
    return bytes(answer)


def _unasked(socket_path: str, error: ConnectError | OSError) -> RackferryError:
    number = error.osError if isinstance(error, ConnectError) else error.errno
    if number in {errno.EACCES, errno.EPERM}:
        return Refused(
            "this user may not ask the daemon",
            object=socket_path,
            code="socket-permission",
            remedy="use sudo, or become a member of the socket's group",
        )
    return _no_daemon(socket_path, os.strerror(number) if number else str(error))


def _no_daemon(socket_path: str, why: str) -> RackferryError:
    unit = "rackd" if "rackd" in socket_path else "regiond"
    return NoDaemon(
        f"no daemon answers: {why}",
        object=socket_path,
        remedy=f"start it (systemctl start {unit}), or give its socket with --socket PATH",
    )
