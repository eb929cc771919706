"""One AMP connection: limits, errors, deadlines."""

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.protocols import amp
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase

from common.commands import (
    AnswerProgress,
    CurrentView,
    Hello,
    Ping,
    ReadDocument,
    ReportProgress,
    ReportSync,
    ViewChanged,
)
from common.conversation import (
    CLIENT,
    MAX_IN_FLIGHT,
    SERVER,
    Conversation,
    Manners,
    Table,
    pong,
)
from common.errors import (
    TABLE,
    Busy,
    Conflict,
    InternalError,
    ProtocolError,
    RackferryError,
    TimedOut,
    TransferError,
)

_GREETED = attrs.evolve(SERVER, first=Hello)


class _Pair(SynchronousTestCase):
    """Two conversations, joined in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.reasons: list[RackferryError] = []

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def talk(
        self, table: Table, manners: Manners = SERVER, client_table: Table | None = None
    ) -> None:
        self.client, self.server, self.pump = iosim.connectedServerAndClient(
            lambda: Conversation(table, self.clock, manners, peer="c", on_lost=self.reasons.append),
            lambda: Conversation(client_table or {}, self.clock, CLIENT, peer="s"),
        )
        self.addCleanup(self.hang_up)

    def hang_up(self) -> None:
        for side in (self.client, self.server):
            if not side.is_lost:
                side.transport.abortConnection()
        self.pump.flush()

    def call(self, command: Any, **arguments: Any) -> Deferred[Any]:
        calling = Deferred.fromCoroutine(self.client.call(command, **arguments))
        self.pump.flush()
        return calling

    def raw(self, *pairs: tuple[bytes, bytes]) -> None:
        box = amp.AmpBox()
        for key, value in pairs:
            box[key] = value
        self.client.transport.write(box.serialize())
        self.pump.flush()


async def _view(held: str) -> Mapping[str, Any]:
    return {"generation": len(held), "digest": held}


class CallTests(_Pair):
    """Questions and answers."""

    def test_answer(self) -> None:
        """A call gives what the responder gave."""
        self.talk({CurrentView: _view})
        answer = self.successResultOf(self.call(CurrentView, held="abc"))
        self.assertEqual(answer, {"generation": 3, "digest": "abc"})

    def test_every_error_travels_whole(self) -> None:
        """Each family of errors arrives with all four fields, and the connection lives."""

        async def fail(held: str) -> Mapping[str, Any]:
            family = TABLE[int(held)].family
            raise family("what", object="which", code="why", remedy="how")

        self.talk({CurrentView: fail})
        for number, door in enumerate(TABLE):
            failure = self.failureResultOf(self.call(CurrentView, held=str(number)))
            self.assertIs(type(failure.value), door.family)
            self.assertEqual(
                failure.value.to_json(),
                {"message": "what", "object": "which", "code": "why", "remedy": "how"},
            )
        self.assertFalse(self.server.is_lost)

    def test_enormous_error(self) -> None:
        """An error too long for AMP is cut short, and the connection lives."""

        async def fail(held: str) -> Mapping[str, Any]:
            raise Conflict("m" * 70_000, object="o" * 70_000)

        self.talk({CurrentView: fail})
        error = self.failureResultOf(self.call(CurrentView, held=""), Conflict).value
        self.assertLess(len(error.message), 5000)

    def test_bug_stays_inside(self) -> None:
        """A bug is logged under a reference; the peer gets the reference and no text."""

        async def bug(held: str) -> Mapping[str, Any]:
            raise RuntimeError("secret inside")

        self.talk({CurrentView: bug})
        error = self.failureResultOf(self.call(CurrentView, held=""), InternalError).value
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertNotIn("secret", error.line())
        self.assertFalse(self.server.is_lost)

    def test_unserialisable_answer(self) -> None:
        """An answer that the command cannot carry is a bug like any other."""

        async def wrong(held: str) -> Mapping[str, Any]:
            return {"generation": "many"}

        self.talk({CurrentView: wrong})
        self.failureResultOf(self.call(CurrentView, held=""), InternalError)
        self.assertEqual(len(self.flushLoggedErrors(Exception)), 1)

    def test_unknown_command(self) -> None:
        """What is not in the table is refused, and the connection lives."""
        self.talk({CurrentView: _view})
        error = self.failureResultOf(self.call(Ping), ProtocolError).value
        self.assertEqual(error.code, "protocol-unknown-command")
        self.successResultOf(self.call(CurrentView, held=""))

    def test_start_tls_is_no_command(self) -> None:
        """AMP's own commands are not reachable."""
        self.talk({CurrentView: _view})
        seen: list[str] = []
        waiting = self.client.callRemoteString(b"StartTLS")
        waiting.addErrback(lambda failure: seen.append(failure.value.description))
        self.pump.flush()
        self.assertIn("protocol-unknown-command", seen[0])
        self.assertFalse(self.server.is_lost)

    def test_malformed_arguments(self) -> None:
        """Arguments that cannot be read are refused without repeating them."""
        seen: list[str] = []
        self.talk({ReadDocument: _view})
        waiting = self.client.callRemoteString(b"ReadDocument", sha256=b"\xffsecret", offset=b"x")
        waiting.addErrback(lambda failure: seen.append(failure.value.description))
        self.pump.flush()
        self.assertIn("protocol-arguments", seen[0])
        self.assertNotIn("secret", seen[0])

    def test_timeout(self) -> None:
        """A call that is not answered in time says so; a late answer harms nobody."""
        late: Deferred[Mapping[str, Any]] = Deferred()

        async def slow(held: str) -> Mapping[str, Any]:
            return await late

        self.talk({CurrentView: slow})
        calling = Deferred.fromCoroutine(self.client.call(CurrentView, 9.0, held=""))
        self.pump.flush()
        self.clock.advance(9.0)
        self.failureResultOf(calling, TimedOut)
        late.callback({"generation": 1, "digest": ""})
        self.pump.flush()
        self.assertFalse(self.client.is_lost)

    def test_lost(self) -> None:
        """When the connection ends, calls fail, answers in work are cancelled, later calls fail."""
        cancelled: list[object] = []
        never: Deferred[Mapping[str, Any]] = Deferred(cancelled.append)

        async def slow(held: str) -> Mapping[str, Any]:
            return await never

        self.talk({CurrentView: slow})
        calling = self.call(CurrentView, held="")
        self.client.transport.loseConnection()
        self.pump.flush()
        error = self.failureResultOf(calling, TransferError).value
        self.assertEqual(error.code, "connection-lost")
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(len(self.reasons), 1)
        self.failureResultOf(self.call(CurrentView, held=""), TransferError)

    def test_too_long_to_say(self) -> None:
        """A value that AMP cannot carry fails at the caller, and the connection lives."""
        self.talk({CurrentView: _view})
        error = self.failureResultOf(self.call(CurrentView, held="x" * 70_000), ProtocolError)
        self.assertEqual(error.value.code, "protocol-too-long")
        self.successResultOf(self.call(CurrentView, held=""))

    def test_notice(self) -> None:
        """A notice without an answer arrives; a bug in its listener ends nothing."""
        heard: list[bytes] = []

        async def listen(progress: bytes) -> Mapping[str, Any]:
            heard.append(progress)
            raise RuntimeError("a bug")

        self.talk({CurrentView: _view}, client_table={AnswerProgress: listen})
        self.server.notify(AnswerProgress, progress=b"1")
        self.pump.flush()
        self.assertEqual(heard, [b"1"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertFalse(self.client.is_lost)


class LimitTests(_Pair):
    """What a peer may not do to us."""

    def test_in_flight(self) -> None:
        """The 33rd command at once is answered with Busy; the others go on."""
        hold: Deferred[None] = Deferred()

        async def slow(held: str) -> Mapping[str, Any]:
            await hold
            return await _view(held)

        self.talk({CurrentView: slow})
        calls = [self.call(CurrentView, held="x") for _ in range(MAX_IN_FLIGHT + 1)]
        self.failureResultOf(calls.pop(), Busy)
        hold.callback(None)
        self.pump.flush()
        for calling in calls:
            self.successResultOf(calling)
        self.successResultOf(self.call(CurrentView, held="y"))

    def test_many_keys(self) -> None:
        """A box of more than 64 keys ends the connection."""
        self.talk({CurrentView: _view})
        self.raw(*[(b"k%d" % n, b"") for n in range(65)])
        self.assertEqual(self.reasons[0].code, "protocol-box-too-large")

    def test_large_box(self) -> None:
        """A box of more than 256 KiB ends the connection before it is complete."""
        self.talk({CurrentView: _view})
        parts = b"".join(b"\x00\x01%c" % (97 + n) + b"\xff\xff" + b"x" * 65535 for n in range(5))
        self.client.transport.write(parts)  # and no end of the box
        self.pump.flush()
        self.assertEqual(self.reasons[0].code, "protocol-box-too-large")

    def test_large_box_before_hello(self) -> None:
        """Before hello a box has 64 KiB at most."""
        self.talk({Hello: _view}, _GREETED)
        self.raw((b"a", b"x" * 40_000), (b"b", b"x" * 40_000))
        self.assertEqual(self.reasons[0].code, "protocol-box-too-large")

    def test_box_within_limits(self) -> None:
        """Limits are per box: many boxes are fine."""
        self.talk({CurrentView: _view})
        for _ in range(20):
            self.successResultOf(self.call(CurrentView, held="x" * 60_000))

    def test_long_key(self) -> None:
        """A key that is too long to be one ends the connection."""
        self.talk({CurrentView: _view})
        self.client.transport.write(b"\x7f\xff" + b"GET / HTTP/1.1")
        self.pump.flush()
        self.assertEqual(self.reasons[0].code, "protocol-box-too-large")

    def test_stray_box(self) -> None:
        """An answer to nothing, or a box that says nothing, ends the connection."""
        for pairs in ([(b"_answer", b"77")], [(b"_error", b"1")], [(b"x", b"y")]):
            self.reasons.clear()
            self.talk({CurrentView: _view})
            self.raw(*pairs)
            self.assertEqual(self.reasons[0].code, "protocol-stray-box")

    def test_peer_that_does_not_read(self) -> None:
        """While the transport is full, nothing more is read from the peer."""
        self.talk({CurrentView: _view})
        told: list[str] = []
        self.server.transport.pauseProducing = lambda: told.append("pause")
        self.server.transport.resumeProducing = lambda: told.append("resume")
        self.server.pauseProducing()
        self.server.resumeProducing()
        self.assertEqual(told, ["pause", "resume"])
        self.server.pauseProducing()
        self.server.notify(AnswerProgress, progress=b"lost")
        self.assertFalse(self.server.transport.getOutBuffer())
        self.server.resumeProducing()
        self.server.notify(AnswerProgress, progress=b"said")
        self.assertIn(b"said", self.server.transport.getOutBuffer())
        self.assertIs(self.server.transport.producer, self.server)


class GreetingTests(_Pair):
    """Hello first."""

    async def hello(
        self,
        version: str,
        protocol: int,
        now: float | None,
    ) -> Mapping[str, Any]:
        if protocol != 1:
            raise ProtocolError("another protocol", code="protocol-version")
        return {
            "version": "1",
            "protocol": 1,
            "region_name": "r",
            "rack_name": "n",
            "endpoints": b"[]",
        }

    def greet(self) -> None:
        table = {Hello: self.hello, Ping: pong, CurrentView: _view}
        self.talk(table, _GREETED)

    def test_hello_opens(self) -> None:
        """After hello the other commands work."""
        self.greet()
        self.successResultOf(self.call(Hello, version="1", protocol=1))
        self.successResultOf(self.call(Ping))

    def test_others_before_hello(self) -> None:
        """Any other command before hello is refused by name, and the connection ends."""
        for command, arguments in (
            (Ping, {}),
            (CurrentView, {"held": ""}),
            (ReportProgress, {"generation": 1, "fetched_bytes": 1, "total_bytes": 1}),
            (ReportSync, {"generation": 1, "held": "", "problem": ""}),
            (ViewChanged, {"generation": 1, "digest": ""}),
        ):
            self.greet()
            error = self.failureResultOf(self.call(command, **arguments), ProtocolError).value
            self.assertEqual(error.code, "protocol-hello-first")
            self.pump.flush()
            self.assertTrue(self.server.is_lost)

    def test_pipelined_behind_a_refusal(self) -> None:
        """Once refused, nothing that follows is even looked at."""
        asked: list[str] = []

        async def count(held: str) -> Mapping[str, Any]:
            asked.append(held)
            return await _view(held)

        self.talk({Hello: self.hello, CurrentView: count}, _GREETED)
        hello = Hello.makeArguments({"version": "1", "protocol": 1}, None)
        hello.update({b"_command": b"Hello", b"_ask": b"2"})
        view = amp.AmpBox({b"_command": b"CurrentView", b"_ask": b"1", b"held": b""})
        self.client.transport.write(view.serialize() + hello.serialize() + view.serialize())
        self.pump.flush()
        self.assertEqual(asked, [])
        self.assertTrue(self.server.is_lost)

    def test_refused_hello(self) -> None:
        """A hello that fails is answered, and the connection ends."""
        self.greet()
        error = self.failureResultOf(self.call(Hello, version="1", protocol=9), ProtocolError)
        self.assertEqual(error.value.code, "protocol-version")
        self.assertTrue(self.server.is_lost)

    def test_deadline(self) -> None:
        """Without hello the connection ends after five seconds, whatever trickles in."""
        self.greet()
        self.clock.advance(4)
        self.client.transport.write(b"\x00\x08_com")
        self.pump.flush()
        self.clock.advance(1.1)
        self.pump.flush()
        self.assertEqual(self.reasons[0].code, "peer-silent")

    def test_silence(self) -> None:
        """After hello the connection ends 75 s after the last box, not before."""
        self.greet()
        self.successResultOf(self.call(Hello, version="1", protocol=1))
        for _ in range(3):
            self.clock.advance(74)
            self.successResultOf(self.call(Ping))
        self.clock.advance(75.1)
        self.pump.flush()
        self.assertEqual(self.reasons[0].code, "peer-silent")


class PingTests(_Pair):
    """Is anybody there?"""

    def test_answered(self) -> None:
        """Pings keep a silent connection open."""
        self.talk({Ping: pong})
        self.client.ping_every(30.0)
        for _ in range(20):
            self.clock.advance(15.0)
            self.pump.flush()
        self.assertFalse(self.client.is_lost)

    def test_unanswered(self) -> None:
        """A ping without an answer ends the connection at the next one's time."""
        self.talk({Ping: pong}, CLIENT)
        self.server.dispatchCommand = lambda box: Deferred()
        self.client.ping_every(30.0)
        self.clock.advance(30.0)
        self.pump.flush()
        self.assertFalse(self.client.is_lost)
        self.clock.advance(30.0)
        self.pump.flush()
        self.assertTrue(self.client.is_lost)
