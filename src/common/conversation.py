"""One AMP connection, with the manners that AMP leaves to its users.

* A **table** ``{command: async function}`` is all that the peer may say: what is not in
  it is refused, and nothing else is reachable.
* A box has at most 64 keys and 256 KiB (64 KiB before hello); at most 32 commands of the
  peer are in work at once, more are answered with ``Busy``.
* If a ``first`` command is named, every other one before it is refused
  (``protocol-hello-first``) and the connection ends; so it does when ``first`` fails, or
  does not come in time.
* A peer that reads no answers is not read from either.
* Every ``RackferryError`` travels whole. Anything else is a bug: it is logged under a
  reference number, and the peer learns only that number. Boxes are never logged.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

import attrs
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from common.boxes import MAX_BOX_BYTES, MAX_EARLY_BOX_BYTES, BoundedBoxes, failed, remote, shown
from common.commands import SILENCE_LIMIT_S, Ping
from common.errors import (
    Busy,
    InternalError,
    ProtocolError,
    RackferryError,
    TimedOut,
    TransferError,
    unpacked,
)
from common.tls import openssl_reasons, refusal

MAX_IN_FLIGHT = 32
FIRST_DEADLINE_S = 5.0
ANSWER_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0

_log = Logger()

CommandType = type[amp.Command]
Responder = Callable[..., Awaitable[Mapping[str, Any]]]
Table = Mapping[CommandType, Responder]


@attrs.frozen
class Manners:
    """How one kind of connection behaves. Times in seconds.

    Attributes:
        first: the command that must come first; None if any may.
        first_deadline_s: when ``first`` must have come; it covers the TLS handshake, too.
        silence_limit_s: after how long without a box the peer is dropped; None for never.
        throttles: whether to stop reading from a peer that reads no answers. Only one of
            two ends may, or both could wait for each other.
    """

    first: CommandType | None = None
    first_deadline_s: float = FIRST_DEADLINE_S
    silence_limit_s: float | None = None
    throttles: bool = False


CLIENT = Manners()
SERVER = Manners(silence_limit_s=SILENCE_LIMIT_S, throttles=True)


@implementer(IPushProducer)
class Conversation(BoundedBoxes, TimeoutMixin):
    """One end of a connection.

    Args:
        table: what the peer may say.
        clock: for all deadlines.
        manners: limits of this end.
        peer: how messages and logs name the other end.
        on_lost: called once, with the reason, when the connection is over.

    Attributes:
        heard_at_s: when the last byte of the peer came, by the clock.
    """

    def __init__(
        self,
        table: Table,
        clock: IReactorTime,
        manners: Manners = CLIENT,
        *,
        peer: str = "peer",
        on_lost: Callable[[RackferryError], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.table: dict[bytes, tuple[CommandType, Responder]] = {
            command.commandName: (command, responder) for command, responder in table.items()
        }
        self.peer = peer
        self.is_greeted = manners.first is None
        self.max_box_bytes = MAX_BOX_BYTES if self.is_greeted else MAX_EARLY_BOX_BYTES
        self.is_lost = False
        self.is_choked = False
        self.heard_at_s = clock.seconds()
        self._clock = clock
        self._manners = manners
        self._on_lost = on_lost
        self._in_flight: set[Deferred[Any]] = set()
        self._waiting: list[Deferred[None]] = []
        self._is_closing = False
        self._reason: RackferryError | None = None
        self._pinger: LoopingCall | None = None

    # Life

    def connectionMade(self) -> None:
        """Start the deadlines."""
        super().connectionMade()
        if self._manners.throttles:
            self.transport.registerProducer(self, True)
        limit = self._manners.silence_limit_s
        self.setTimeout(limit if self.is_greeted else self._manners.first_deadline_s)

    def callLater(self, delay_s: float, call: Callable[[], None]) -> Any:
        """The clock of ``TimeoutMixin``."""
        return self._clock.callLater(delay_s, call)

    def timeoutConnection(self) -> None:
        """The peer was silent for too long."""
        what = "silent for too long" if self.is_greeted else "nothing valid was said in time"
        self.abort(TimedOut(f"{self.peer}: {what}", code="peer-silent"))

    def close(self) -> None:
        """Send what is buffered, then end; a peer that does not read is cut off."""
        self.is_ending = True
        if self._is_closing or self.is_lost:
            return
        self._is_closing = True
        if self._manners.throttles:
            self.transport.unregisterProducer()
        self.setTimeout(CLOSE_TIMEOUT_S)
        self.transport.loseConnection()

    async def finish(self) -> None:
        """``close``, and wait until nothing is left of the connection."""
        self.close()
        if not self.is_lost:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting

    def abort(self, reason: RackferryError) -> None:
        """End now; calls in flight fail with ``reason``."""
        self._reason = self._reason or reason
        if not self.is_lost:
            super().abort(reason)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is over: nothing of it goes on."""
        self.is_lost = True
        self.setTimeout(None)
        if self._pinger is not None and self._pinger.running:
            self._pinger.stop()
        for answering in list(self._in_flight):
            answering.cancel()
        why = self._reason or explained(reason, self.peer)
        super().connectionLost(Failure(why))
        self._on_lost(why)
        for waiting in self._waiting:
            waiting.callback(None)

    def pauseProducing(self) -> None:
        """The peer does not read: neither do we (called by the transport)."""
        self.is_choked = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The peer reads again (called by the transport)."""
        self.is_choked = False
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The transport is gone (called by it); ``connectionLost`` follows."""

    def unhandledError(self, failure: Failure) -> None:
        """AMP gave up on something; ``call`` leaves nothing unhandled, so this is a bug."""
        if not self.is_lost:
            _log.failure("unhandled in a conversation", failure)
            self.abort(ProtocolError(f"{self.peer}: the conversation broke down"))

    # What the peer says

    def dataReceived(self, data: bytes) -> None:
        """Bytes (called by the transport)."""
        self.heard_at_s = self._clock.seconds()
        super().dataReceived(data)

    def ampBoxReceived(self, box: amp.AmpBox) -> None:
        """A whole box (called by AMP)."""
        if self.is_greeted:
            self.resetTimeout()
        super().ampBoxReceived(box)

    def dispatchCommand(self, box: amp.AmpBox) -> Deferred[amp.AmpBox]:
        """Answer a command (called by AMP)."""
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            error = Busy(f"more than {MAX_IN_FLIGHT} commands at once", code="busy-connection")
            return failed(error)
        answering = Deferred.fromCoroutine(self._answer(box))
        self._in_flight.add(answering)

        def done(result: Any) -> Any:
            self._in_flight.discard(answering)
            # Nobody waits for the failure of a notice; it has been logged if it is a bug.
            return result if amp.ASK in box else amp.AmpBox()

        return answering.addBoth(done)

    def sendBox(self, box: amp.AmpBox) -> None:
        """Send a box (called by AMP); a last word is followed by the end."""
        super().sendBox(box)
        if self.is_ending and not self.is_lost:
            self.close()

    async def _answer(self, box: amp.AmpBox) -> amp.AmpBox:
        try:
            answer = await self._respond(box)
        except CancelledError:
            # The connection is gone, and nobody reads this.
            raise remote(TransferError("the connection was lost")) from None
        except RackferryError as error:
            self.is_ending = self.is_ending or not self.is_greeted
            raise remote(error) from None
        except Exception:  # noqa: BLE001 - whatever it is, the peer must not learn its text
            reference = uuid4().hex[:12]
            _log.failure(
                "bug {reference} while answering {command}",
                reference=reference,
                command=box[amp.COMMAND],
            )
            self.is_ending = self.is_ending or not self.is_greeted
            message = f"an internal error; its reference in the log is {reference}"
            raise remote(InternalError(message, remedy="report it, with that log")) from None
        return answer

    async def _respond(self, box: amp.AmpBox) -> amp.AmpBox:
        name: bytes = box[amp.COMMAND]
        first = self._manners.first
        if not self.is_greeted and first is not None and name != first.commandName:
            raise ProtocolError(
                f"{shown(name)} before {shown(first.commandName)}", code="protocol-hello-first"
            )
        if name not in self.table:
            raise ProtocolError(f"no command {shown(name)} here", code="protocol-unknown-command")
        command, responder = self.table[name]
        try:
            arguments = command.parseArguments(box, self)
        except Exception as error:  # noqa: BLE001 - any of AMP's many ways to be malformed
            raise ProtocolError(
                f"the arguments of {shown(name)} cannot be read: {type(error).__name__}",
                code="protocol-arguments",
            ) from None
        answer: amp.AmpBox = command.makeResponse(dict(await responder(**arguments)), self)
        if command is first:
            self.is_greeted = True
            self.max_box_bytes = MAX_BOX_BYTES
            self.setTimeout(self._manners.silence_limit_s)
        return answer

    # What we say

    async def call(
        self, command: CommandType, timeout_s: float | None = ANSWER_TIMEOUT_S, **arguments: Any
    ) -> dict[str, Any]:
        """Say something, and wait for the answer.

        Raises:
            RackferryError: what the peer raised; ``TransferError`` (or what ended the
                connection) if it is lost; ``TimedOut``; ``ProtocolError`` for an unknown
                command, an unreadable answer or a value over AMP's 65,535 bytes.
        """
        name = shown(command.commandName)
        try:
            waiting = self.callRemote(command, **arguments)
            if timeout_s is not None:
                waiting.addTimeout(timeout_s, self._clock)
            return dict(await waiting)
        except RackferryError as error:
            raise unpacked(error) from None
        except DeferredTimeout:
            raise TimedOut(
                f"no answer to {name} within {timeout_s:g} s", object=self.peer
            ) from None
        except ConnectionClosed as error:
            raise self._reason or explained(Failure(error), self.peer) from None
        except amp.TooLong:
            raise ProtocolError(f"{name}: a value is too long", code="protocol-too-long") from None
        except (amp.AmpError, KeyError, ValueError) as error:
            raise ProtocolError(
                f"the answer to {name} cannot be read: {type(error).__name__}", object=self.peer
            ) from None

    def notify(self, command: CommandType, **arguments: Any) -> None:
        """Say something that has no answer. A peer that is gone, or does not read, misses it."""
        if not (self.is_lost or self.is_ending or self.is_choked):
            self.callRemote(command, **arguments)

    def ping_every(self, interval_s: float) -> None:
        """Ask the peer again and again whether it is there; end the connection if not."""
        self._pinger = LoopingCall(lambda: Deferred.fromCoroutine(self.check(interval_s)))
        self._pinger.clock = self._clock
        self._pinger.start(interval_s, now=False)

    async def check(self, timeout_s: float) -> None:
        """Ask the peer whether it is there; end the connection if it does not say so in time."""
        try:
            await self.call(Ping, timeout_s=timeout_s)
        except RackferryError as error:
            if not self.is_lost:
                self.abort(error)


async def pong() -> Mapping[str, Any]:
    """The answer to ``Ping``, at both ends."""
    return {}


def explained(reason: Failure, peer: str) -> RackferryError:
    """Why a connection ended, in our words."""
    error = reason.value
    if isinstance(error, RackferryError):
        return error
    told = refusal(error, peer) if isinstance(error, SSL.Error) else None
    if told is not None:
        return told
    if isinstance(error, ConnectionDone):
        what = "closed by the other side"
    elif isinstance(error, SSL.Error):
        what = f"TLS failed: {openssl_reasons(error)}"
    else:
        what = str(error)
    return TransferError(f"connection lost: {what}", object=peer, code="connection-lost")
