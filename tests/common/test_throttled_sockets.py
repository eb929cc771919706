"""A limit, measured over real sockets and real time."""

from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from common.errors import RackferryError
from common.throttle import PacedBody, Throttle
from tests.doubles.length import short_or_long


class _Source(Protocol):
    """Sends without end, as fast as it is taken."""

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, False)  # type: ignore[union-attr]  # a connection

    def resumeProducing(self) -> None:
        self.transport.write(b"x" * (1 << 16))  # type: ignore[union-attr]  # a connection

    def stopProducing(self) -> None:
        """The connection is over."""


class _Body(Protocol):
    """A connection as a body."""

    def __init__(self) -> None:
        self.receiver: Any = None
        self.over: Deferred[None] = Deferred()

    def deliver(self, receiver: Any) -> None:
        self.receiver = receiver

    def pause(self) -> None:
        self.transport.pauseProducing()  # type: ignore[union-attr]  # a connection

    def resume(self) -> None:
        self.transport.resumeProducing()  # type: ignore[union-attr]  # a connection

    def abort(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]  # a connection

    def dataReceived(self, data: bytes) -> None:
        if self.receiver is not None:
            self.receiver.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(None)


class _Count:
    """A receiver that counts."""

    size_bytes = 0

    def received(self, piece: bytes) -> None:
        self.size_bytes += len(piece)

    def ended(self, error: RackferryError | None) -> None:
        """Nothing ends here."""


class SocketTests(TestCase):
    """From one server, several connections behind one throttle."""

    async def rate(self, limit: int, count: int, warm_s: float, measured_s: float) -> float:
        """Bytes per second of all together, after a while."""
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(Factory.forProtocol(_Source))
        throttle = Throttle(lambda: limit, reactor)
        total = _Count()
        client = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        bodies = [await connectProtocol(client, _Body()) for _ in range(count)]
        paced = [PacedBody(body, throttle) for body in bodies]
        for each in paced:
            each.deliver(total)
        await deferLater(reactor, warm_s)
        began, before = reactor.seconds(), total.size_bytes
        await deferLater(reactor, measured_s)
        rate = (total.size_bytes - before) / (reactor.seconds() - began)
        for each in paced:
            each.abort()
        await gatherResults([body.over for body in bodies])
        await port.stopListening()
        return rate

    async def test_some_of_it(self) -> None:
        """Bytes move, and not much faster than they may."""
        rate = await self.rate(5_000_000, 2, 0.5, 1.0)
        self.assertGreater(rate, 500_000)
        self.assertLess(rate, 8_000_000)

    @pytest.mark.slow
    async def test_within_5_percent(self) -> None:
        """After the first 10 s, for 1, 2 and 4 transfers, over 20 s (10 s with ``SHORT=1``)."""
        counts, measured_s = (1, 2, 4), short_or_long(10, 20)
        measuring = [
            Deferred.fromCoroutine(self.rate(25_000_000, count, 10, measured_s)) for count in counts
        ]
        for count, rate in zip(counts, await gatherResults(measuring), strict=True):
            self.assertApproximates(rate / 25_000_000, 1, 0.05, f"{count}: {rate}")
