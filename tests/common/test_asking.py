"""The daemon's end of the admin socket (the shell's: ``shell/test_line``)."""

import os
from collections.abc import AsyncGenerator
from pwd import getpwuid
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, UNIXServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase, TestCase

from common.asking import MAX_ANSWERS, AdminSocket, Shell
from common.canonical import canonical_json
from common.commands import PIECE_BYTES, AnswerItem, Ask, ReadAnswer
from common.conversation import Conversation
from common.errors import (
    Conflict,
    InternalError,
    NoDaemon,
    NotFound,
    ProtocolError,
    RackferryError,
    TimedOut,
    TransferError,
    WrongUsage,
)
from common.shell.line import connected
from common.vocabulary import Place, Question
from tests.doubles.conversations import CONTROL_COMMANDS, arguments_of
from tests.doubles.directories import fresh_directory
from tests.doubles.shell_line import ask
from tests.doubles.trust import eventually

_MYSELF = f"{getpwuid(os.getuid()).pw_name} (uid {os.getuid()}, pid {os.getpid()})"
_STATUS = Question("status")
_IMPORT = Question("boot-resources", "import", flags=("wait",))
_FOLLOW = Question("events", "read", flags=("follow",))


class _Daemon:
    """Answers what it is told to answer."""

    def __init__(self) -> None:
        self.answer: Any = {"ok": True}
        self.failure: Exception | None = None
        self.hold: Deferred[None] | None = None
        self.steps: list[Any] = []
        self.asked: list[Question] = []

    async def __call__(self, question: Question, progress: Shell) -> Any:
        self.asked.append(question)
        for step in self.steps:
            progress(step)
        if self.hold is not None:
            await self.hold
        if self.failure is not None:
            raise self.failure
        return self.answer


class SocketTests(TestCase):
    """Over a real Unix socket."""

    async def serve(self) -> None:
        self.path = str(fresh_directory(self) / "admin.sock")
        self.daemon = _Daemon()
        self.conversations: list[Conversation] = []
        factory = AdminSocket(Place.REGION, self.daemon, reactor)
        build = factory.buildProtocol

        def remember(address: Any) -> Conversation:
            self.conversations.append(build(address))
            return self.conversations[-1]

        factory.buildProtocol = remember
        self.factory = factory
        port = self.port = await UNIXServerEndpoint(reactor, self.path).listen(factory)
        self.addCleanup(
            lambda: Deferred.fromCoroutine(
                eventually(reactor, lambda: all(each.is_lost for each in self.conversations))
            )
        )
        self.addCleanup(port.stopListening)

    async def failure_of(self, question: Question, **keywords: Any) -> RackferryError:
        try:
            answer = await ask(self.path, question, **keywords)
        except RackferryError as error:
            return error
        self.fail(f"answered: {answer!r}")
        raise AssertionError

    async def test_answer(self) -> None:
        """A question crosses whole, and so does its answer."""
        await self.serve()
        question = Question(
            "boot-sources", "create", (), {"url": "http://x/", "priority": 3, "unsigned": True}
        )
        self.daemon.answer = {"id": 1, "name": "é", "list": [1, None, True]}
        self.assertEqual(await ask(self.path, question), self.daemon.answer)
        self.assertEqual(self.daemon.asked, [attrs.evolve(question, asker=_MYSELF)])

    async def test_files_of_the_asker(self) -> None:
        """While it answers, a daemon reads files from the shell; a refusal of the shell's is its."""
        await self.serve()

        async def read(_: Question, shell: Shell) -> Any:
            piece, size_bytes = await shell.read("a", 5, 2)
            try:
                await shell.read("b", 0, 1)
            except NotFound as error:
                return [piece.decode(), size_bytes, error.object]

        def give(path: str, offset: int, length: int) -> tuple[bytes, int]:
            if path == "b":
                raise NotFound("is missing", object=path)
            return b"0123456789"[offset : offset + length], 10

        self.factory._answer = read

        def talk() -> Any:
            with connected(self.path, give=give) as line:
                return line.answer_to(_STATUS)

        self.assertEqual(await deferToThread(talk), ["56", 10, "b"])

    async def test_nobody_speaks_for_another(self) -> None:
        """Who asks is what the kernel says, not what the shell claims."""
        await self.serve()
        await ask(self.path, Question("status", asker="uid 0 gid 0 pid 1"))
        self.assertEqual(self.daemon.asked, [Question("status", asker=_MYSELF)])

    async def test_large_answer(self) -> None:
        """An answer of any size arrives, in pieces."""
        await self.serve()
        for size in (PIECE_BYTES - 2, PIECE_BYTES - 1, 3 * PIECE_BYTES, 1_000_000):
            self.daemon.answer = "x" * size
            self.assertEqual(await ask(self.path, _STATUS), self.daemon.answer)

    async def test_progress(self) -> None:
        """What the daemon tells meanwhile arrives before the answer, in order."""
        await self.serve()
        self.daemon.steps = [{"phase": "fetch"}, {"phase": "publish"}]
        seen: list[Any] = []
        await ask(self.path, _IMPORT, seen.append)
        self.assertEqual(seen, self.daemon.steps)

    async def test_errors(self) -> None:
        """A refusal arrives with all it says; a bug as a reference."""
        await self.serve()
        self.daemon.failure = Conflict("runs already", object="import", code="x", remedy="wait")
        error = await self.failure_of(_STATUS)
        self.assertEqual(error.to_json(), self.daemon.failure.to_json())
        self.daemon.failure = ValueError("inside")
        error = await self.failure_of(_STATUS)
        self.assertIsInstance(error, InternalError)
        self.assertNotIn("inside", error.line())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_unsayable_answer(self) -> None:
        """An answer that JSON cannot say is a bug, not a broken connection."""
        await self.serve()
        self.daemon.answer = {"x": object()}
        self.assertIsInstance(await self.failure_of(_STATUS), InternalError)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    async def test_checked_again(self) -> None:
        """The daemon checks what it is asked; the answerer sees right questions only."""
        await self.serve()
        error = await self.failure_of(Question("boot-sorces", "read"))
        self.assertIsInstance(error, WrongUsage)
        self.assertIn("boot-sources", error.remedy)
        self.assertEqual(self.daemon.asked, [])

    async def test_nobody_there(self) -> None:
        """Without a daemon the socket is named, with a remedy."""
        await self.serve()
        self.path += ".other"
        error = await self.failure_of(_STATUS)
        self.assertIsInstance(error, NoDaemon)
        self.assertEqual(error.object, self.path)
        self.assertIn("systemctl", error.remedy)

    async def test_daemon_goes_away(self) -> None:
        """A daemon that ends in the middle of an answer is no daemon."""
        await self.serve()
        self.daemon.hold = Deferred()
        asking = Deferred.fromCoroutine(self.failure_of(_IMPORT))
        await eventually(reactor, lambda: self.daemon.asked)
        self.conversations[0].transport.abortConnection()
        self.assertIsInstance(await asking, NoDaemon)

    async def test_too_slow(self) -> None:
        """An answer that does not come in time is a time-out."""
        await self.serve()
        self.daemon.hold = Deferred()
        self.assertIsInstance(await self.failure_of(_STATUS, timeout_s=0.05), TimedOut)

    async def test_waiting_no_longer_than_asked(self) -> None:
        """The daemon ends the waiting, says what is missing, and lets the work go on."""
        await self.serve()
        self.clock = self.factory._clock = Clock()
        self.daemon.hold = Deferred()
        self.daemon.steps = [{"phase": "x", "waiting_for": "rack-7 is unknown"}]
        asking = self.failure_of(attrs.evolve(_IMPORT, parameters={"timeout": 600}))
        failing = Deferred.fromCoroutine(asking)
        await eventually(reactor, lambda: self.daemon.asked)
        self.clock.advance(600)
        error = await failing
        self.assertIsInstance(error, TimedOut)
        self.assertEqual(
            error.line(),
            "boot-resources import: not done within 10 min: rack-7 is unknown"
            " (it goes on; ask again to wait for its end)",
        )

    async def test_what_goes_on_where_it_stopped(self) -> None:
        """What the shell has part in ends with the waiting; it is said how it goes on."""
        await self.serve()
        self.clock = self.factory._clock = Clock()
        self.daemon.hold = Deferred()
        asked = Question("boot-resources", "import-bundle", ("/x",), {"timeout": 60})
        failing = Deferred.fromCoroutine(self.failure_of(asked))
        await eventually(reactor, lambda: self.daemon.asked)
        self.clock.advance(60)
        self.assertEqual((await failing).remedy, "the same line goes on where it stopped")

    async def test_waiting_has_no_deadline(self) -> None:
        """A question that waits for an import waits as long as it takes."""
        await self.serve()
        self.daemon.hold = Deferred()
        asking = ask(self.path, _IMPORT, timeout_s=0.0)
        await eventually(reactor, lambda: self.daemon.asked)
        self.daemon.hold.callback(None)
        self.assertEqual(await asking, {"ok": True})

    async def test_shell_leaves(self) -> None:
        """When the shell is interrupted, what answers it is cancelled."""
        await self.serve()
        cancelled: list[object] = []
        self.daemon.hold = Deferred(cancelled.append)
        shell, asking = await self.shell(_IMPORT)
        await eventually(reactor, lambda: self.daemon.asked)
        await shell.finish()
        await self.assertFailure(asking, TransferError)
        await eventually(reactor, lambda: cancelled)

    async def shell(self, question: Question) -> tuple[Conversation, Deferred[Any]]:
        """A shell that has asked, takes every item, and can be made to leave."""

        async def item(piece: bytes, is_last: bool) -> dict[str, Any]:
            return {}

        conversation = Conversation({AnswerItem: item}, reactor)
        endpoint = UNIXClientEndpoint(reactor, self.path)
        await endpoint.connect(Factory.forProtocol(lambda: conversation))
        calling = conversation.call(Ask, None, question=canonical_json(question))
        return conversation, Deferred.fromCoroutine(calling)

    async def follow(self, *items: Any) -> list[Any]:
        """Have these items for an answer that goes on until ``daemon.hold`` fires."""
        ended: list[Any] = []
        hold: Deferred[None] = Deferred()

        async def go_on() -> AsyncGenerator[Any, None]:
            try:
                for item in items:
                    yield item
                    ended.append(item)
                await hold
            finally:
                ended.append("end")

        await self.serve()
        self.daemon.answer = go_on()

        async def answer(question: Question, _: Shell) -> Any:
            self.daemon.asked.append(question)
            self.daemon.hold = hold
            return self.daemon.answer

        self.factory._answer = answer
        return ended

    async def test_an_answer_that_goes_on(self) -> None:
        """Items arrive whole and in order, whatever their size, before the answer ends."""
        items = [{"n": 1}, "x" * (2 * PIECE_BYTES), [], {"n": 2}]
        seen: list[Any] = []
        ended = await self.follow(*items)
        asking = ask(self.path, _FOLLOW, seen.append, timeout_s=0.0)
        await eventually(reactor, lambda: len(ended) == len(items))
        self.assertEqual(seen, items)
        self.daemon.hold.callback(None)  # type: ignore[union-attr]  # is set
        self.assertIsNone(await asking)

    async def test_who_leaves_is_followed_by_nobody(self) -> None:
        """When the shell goes, the answer is ended where it waits, and nothing stays."""
        ended = await self.follow(1)
        shell, asking = await self.shell(_FOLLOW)
        await eventually(reactor, lambda: ended == [1])
        await shell.finish()
        await self.assertFailure(asking, TransferError)
        await eventually(reactor, lambda: ended == [1, "end"])
        self.assertEqual(self.factory._following, set())

    async def test_a_daemon_that_stops_says_so_to_those_who_follow(self) -> None:
        """They end with the error of no daemon; one that waits for an answer still gets it."""
        ended = await self.follow(1)
        asking = ask(self.path, _FOLLOW)
        await eventually(reactor, lambda: ended == [1])
        await self.port.stopListening()
        error = await self.assertFailure(asking, NoDaemon)
        self.assertIn("it has stopped", error.line())
        await eventually(reactor, lambda: ended == [1, "end"])

    async def test_a_reader_that_is_gone_ends_the_question(self) -> None:
        """What the asker raises for an item comes back to the asker, and ends it all."""

        def closed(_: Any) -> None:
            raise BrokenPipeError

        ended = await self.follow(1, 2)
        asking = ask(self.path, _FOLLOW, closed)
        await self.assertFailure(asking, BrokenPipeError)
        await eventually(reactor, lambda: "end" in ended)
        self.assertNotIn(2, ended)

    async def test_who_asked(self) -> None:
        """The log says who asked what, and not the values."""
        await self.serve()
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        await ask(self.path, Question("boot-sources", "create", (), {"url": "secret"}))
        (event,) = [each for each in events if each.get("noun") == "boot-sources"]
        self.assertEqual(event["who"], _MYSELF)
        self.assertNotIn("secret", repr(event))

    async def test_commands_of_racks(self) -> None:
        """The admin socket knows no command of the other conversations."""
        await self.serve()
        conversation = Conversation({}, reactor)
        endpoint = UNIXClientEndpoint(reactor, self.path)
        await endpoint.connect(Factory.forProtocol(lambda: conversation))
        for command in CONTROL_COMMANDS:
            try:
                await conversation.call(command, **arguments_of(command))
                self.fail(f"{command} was answered")
            except ProtocolError as error:
                self.assertEqual(error.code, "protocol-unknown-command")
        await conversation.finish()


class AnswersTests(SynchronousTestCase):
    """Answers that are kept."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.daemon = _Daemon()
        self.daemon.answer = "x" * 2 * PIECE_BYTES
        factory = AdminSocket(Place.RACK, self.daemon, self.clock)
        self.client, _, self.pump = iosim.connectedServerAndClient(
            lambda: factory.buildProtocol(None), lambda: Conversation({}, self.clock)
        )

    def call(self, command: Any, **arguments: Any) -> Deferred[Any]:
        calling = Deferred.fromCoroutine(self.client.call(command, **arguments))
        self.pump.flush()
        return calling

    def ask(self) -> int:
        answer = self.successResultOf(self.call(Ask, question=canonical_json(_STATUS)))
        return int(answer["ticket"])

    def test_only_a_few(self) -> None:
        """Unread answers are kept, but the oldest make room."""
        tickets = [self.ask() for _ in range(MAX_ANSWERS + 1)]
        self.failureResultOf(self.call(ReadAnswer, ticket=tickets[0], offset=0), NotFound)
        self.successResultOf(self.call(ReadAnswer, ticket=tickets[1], offset=0))

    def test_read_once(self) -> None:
        """An answer is forgotten with its last piece, and a piece beyond it does not exist."""
        ticket = self.ask()
        for offset in (-1, 2 * PIECE_BYTES + 2):
            self.failureResultOf(self.call(ReadAnswer, ticket=ticket, offset=offset), NotFound)
        last = self.successResultOf(self.call(ReadAnswer, ticket=ticket, offset=PIECE_BYTES + 2))
        self.assertEqual(len(last["piece"]), PIECE_BYTES)
        self.failureResultOf(self.call(ReadAnswer, ticket=ticket, offset=0), NotFound)

    def test_one_item_at_a_time(self) -> None:
        """A shell that does not read for a day is sent one item, and then gets the rest."""
        given: list[int] = []
        read: list[Deferred[None]] = []
        seen: list[bytes] = []

        async def numbers() -> AsyncGenerator[int, None]:
            for number in range(100):
                given.append(number)
                yield number

        async def slowly(piece: bytes, is_last: bool) -> dict[str, Any]:
            seen.append(piece)
            read.append(Deferred())
            await read[-1]
            return {}

        self.daemon.answer = numbers()
        self.client.table[AnswerItem.commandName] = (AnswerItem, slowly)
        calling = Deferred.fromCoroutine(
            self.client.call(Ask, None, question=canonical_json(_FOLLOW))
        )
        self.pump.flush()
        self.clock.advance(86400.0)
        self.pump.flush()
        self.assertEqual((given, seen), ([0], [b"0"]))
        while not calling.called:
            read[-1].callback(None)
            self.pump.flush()
        self.assertEqual(self.successResultOf(calling)["piece"], b"null")
        self.assertEqual(seen, [b"%d" % number for number in range(100)])

    def test_malformed_question(self) -> None:
        """A question that is none is refused."""
        for text in (b"", b"[]", b'{"noun": 1}', b"[" * 60_000):
            self.failureResultOf(self.call(Ask, question=text), ProtocolError)
