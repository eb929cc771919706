"""A TCP proxy that breaks things on demand: cut, stall, delay, corrupt, slow.

In a test::

    proxy = FaultProxy(reactor, "127.0.0.1", port)
    await proxy.start()
    proxy.set("down", cut_after=1_000_000)

Between real daemons::

    python -m tests.doubles.fault_proxy --to 127.0.0.1:5252 [--at 127.0.0.1] [--listen 0] [--seed 7]

prints ``listening PORT``, then obeys lines on standard input: ``down cut_after=1000
rate=50000``, ``up delay_s=0.2``, ``new down stall_after=9`` (connections to come only),
``clear``, ``cut`` (every connection, now), ``counts`` (answered by one line of JSON). It
ends with its input.
"""

import argparse
import fcntl
import json
import random
import sys
import termios
from typing import Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

_STEP_S = 0.02


@attrs.frozen
class Faults:
    """What happens to one direction; positions count the bytes of one connection from 0.

    Attributes:
        cut_after: reset both sides once so many bytes were forwarded.
        cut_within: as ``cut_after``, at a random byte up to this, anew per connection.
        stall_after: forward so many bytes, then nothing until the faults change.
        corrupt_at: flip a bit of this byte.
        delay_s: hold everything back so long.
        rate: bytes per second at most.
    """

    cut_after: int | None = None
    cut_within: int | None = None
    stall_after: int | None = None
    corrupt_at: int | None = None
    delay_s: float = 0.0
    rate: int | None = None


class FaultProxy:
    """Listens on loopback and forwards to a target, with faults.

    Attributes:
        faults: by direction: ``up`` (client to target), ``down`` (target to client).
        counts: bytes forwarded, by direction.
        connections: how many were accepted.
    """

    def __init__(self, reactor: Any, host: str, port: int, *, seed: int = 0) -> None:
        self.reactor = reactor
        self.target = (host, port)
        self.random = random.Random(seed)
        self.faults = {"up": Faults(), "down": Faults()}
        self.counts = {"up": 0, "down": 0}
        self.connections = 0
        self.open: set[_Side] = set()
        self.port = 0
        self._listening: IListeningPort | None = None

    @property
    def open_connections(self) -> int:
        """Sockets that are open: two for each connection."""
        return len(self.open)

    async def start(self, port: int = 0, *, interface: str = "127.0.0.1") -> int:
        """Listen at an address of this machine; returns the port."""
        factory = Factory.forProtocol(_Client)
        factory.proxy = self  # type: ignore[attr-defined] # the usual way to reach a factory
        factory.noisy = False
        endpoint = TCP4ServerEndpoint(self.reactor, port, interface=interface)
        self._listening = await endpoint.listen(factory)
        self.port = self._listening.getHost().port
        return self.port

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await maybeDeferred(listening.stopListening)
        gone = [side.gone for side in self.open]
        self.cut()
        for each in gone:
            await each

    def set(self, direction: str, **faults: Any) -> None:
        """Replace the faults of one direction, for open connections too."""
        self.faults[direction] = Faults(**faults)
        for side in list(self.open):
            if side.direction == direction:
                side.meet(self.faults[direction])
                side.pump()

    def set_for_new(self, direction: str, **faults: Any) -> None:
        """Replace the faults of connections to come; open ones keep theirs."""
        self.faults[direction] = Faults(**faults)

    def clear(self) -> None:
        """No more faults; what was held back flows."""
        self.set("up")
        self.set("down")

    def cut(self) -> None:
        """Reset every connection now."""
        for side in list(self.open):
            side.abort()

    def report(self) -> dict[str, int]:
        """The counters; bytes that wait on their way down now, and the streams they are of."""
        held = [side.waiting_bytes() for side in self.open if side.direction == "down"]
        sockets = {"connections": self.connections, "open_connections": self.open_connections}
        return {**self.counts, **sockets, "held": sum(held), "streams": sum(map(bool, held))}


@implementer(IPushProducer)
class _Side(Protocol):
    """One socket; forwards what it receives to its peer. The peer's socket paces it."""

    direction = ""
    proxy: FaultProxy
    peer: "_Side | None" = None

    def connectionMade(self) -> None:
        self._queue = bytearray()
        self._position = 0
        self._blocked = False
        self._lost = False
        self._timer: Any = None
        self.gone: Deferred[None] = Deferred()
        self.meet(self.proxy.faults[self.direction])
        self.proxy.open.add(self)

    def join(self, peer: "_Side") -> None:
        self.peer, peer.peer = peer, self
        self.transport.registerProducer(peer, True)
        peer.transport.registerProducer(self, True)

    def meet(self, faults: Faults) -> None:
        """Suffer these faults from now on."""
        if faults.cut_within is not None:
            drawn = self.proxy.random.randint(1, faults.cut_within)
            faults = attrs.evolve(faults, cut_after=drawn)
        self.faults = faults

    def waiting_bytes(self) -> int:
        """What arrived and was not forwarded: here, and in the kernel's buffer of our socket."""
        unread = fcntl.ioctl(self.transport.getHandle(), termios.FIONREAD, bytes(4))
        return len(self._queue) + int.from_bytes(unread, sys.byteorder)

    def dataReceived(self, data: bytes) -> None:
        self._queue += data
        self.transport.pauseProducing()
        delay_s = self.faults.delay_s
        self._later(delay_s) if delay_s else self.pump()

    def pump(self) -> None:
        """Forward what the faults allow now."""
        if self._timer is not None or self._blocked or self.peer is None:
            return
        faults = self.faults
        count = len(self._queue)
        if faults.rate is not None:
            count = min(count, max(1, int(faults.rate * _STEP_S)))
        if faults.stall_after is not None:
            count = min(count, max(0, faults.stall_after - self._position))
        if faults.cut_after is not None:
            count = min(count, max(0, faults.cut_after - self._position))
        if count:
            self._forward(bytes(self._queue[:count]), faults.corrupt_at)
        if faults.cut_after is not None and self._position >= faults.cut_after:
            self.abort()
        elif faults.rate is not None and count:
            self._later(count / faults.rate)
        elif not self._queue:
            self._drained()

    def _forward(self, piece: bytes, corrupt_at: int | None) -> None:
        del self._queue[: len(piece)]
        at = -1 if corrupt_at is None else corrupt_at - self._position
        if 0 <= at < len(piece):
            piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
        self._position += len(piece)
        self.proxy.counts[self.direction] += len(piece)
        assert self.peer is not None
        self.peer.transport.write(piece)

    def _drained(self) -> None:
        if self._lost:
            assert self.peer is not None
            self.peer.transport.unregisterProducer()  # or it is asked for more, not closed
            self.peer.transport.loseConnection()
        else:
            self.transport.resumeProducing()

    def _later(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.proxy.reactor.callLater(seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.pump()

    def pauseProducing(self) -> None:
        """The peer's socket is full."""
        self._blocked = True

    def resumeProducing(self) -> None:
        """The peer's socket took everything."""
        self._blocked = False
        self.pump()

    def stopProducing(self) -> None:
        """The peer's socket is gone."""

    def abort(self) -> None:
        """Reset this connection and its peer's."""
        for side in (self, self.peer):
            if side is not None and side.transport is not None and not side._lost:
                side.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        self.proxy.open.discard(self)
        if self.peer is not None and self.peer._lost:
            self._stop_timers()
        elif self.peer is not None and reason.check(type(connectionDone.value)) is None:
            self._stop_timers()
            self.peer.transport.abortConnection()
        else:
            self.pump()
        self.gone.callback(None)

    def _stop_timers(self) -> None:
        for side in (self, self.peer):
            if side is not None and side._timer is not None:
                side._timer.cancel()
                side._timer = None


class _Client(_Side):
    """The socket towards whoever connected to the proxy."""

    direction = "up"

    def connectionMade(self) -> None:
        self.proxy = self.factory.proxy
        self.proxy.connections += 1
        super().connectionMade()
        self.transport.pauseProducing()
        factory = Factory.forProtocol(_Target)
        factory.noisy = False
        factory.client = self  # type: ignore[attr-defined] # as above
        connecting = HostnameEndpoint(self.proxy.reactor, *self.proxy.target).connect(factory)
        connecting.addErrback(lambda _: self.abort())


class _Target(_Side):
    """The socket towards the target."""

    direction = "down"

    def connectionMade(self) -> None:
        client = self.factory.client
        self.proxy = client.proxy
        super().connectionMade()
        if client._lost:
            self.transport.abortConnection()
            return
        self.join(client)
        client.transport.resumeProducing()


class _Orders(LineReceiver):
    """Obeys the lines on standard input."""

    delimiter = b"\n"

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy

    def lineReceived(self, line: bytes) -> None:
        word, *settings = line.decode().split() or [""]
        change = self._proxy.set
        if word == "new" and settings:
            change, word = self._proxy.set_for_new, settings.pop(0)
        if word in self._proxy.faults:
            pairs = (setting.split("=", 1) for setting in settings)
            change(word, **{name: _number(text) for name, text in pairs})
        elif word == "clear":
            self._proxy.clear()
        elif word == "cut":
            self._proxy.cut()
        elif word == "counts":
            self.sendLine(json.dumps(self._proxy.report()).encode())
        elif word:
            self.sendLine(b"unknown order")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._proxy.reactor.running:
            self._proxy.reactor.stop()


def _number(text: str) -> float | int:
    return float(text) if "." in text else int(text)


def main(arguments: list[str]) -> None:
    """Run as a process of its own."""
    from twisted.internet import reactor  # noqa: PLC0415 - this process is put together here

    parser = argparse.ArgumentParser(prog="fault_proxy")
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--at", default="127.0.0.1", metavar="ADDRESS")
    parser.add_argument("--listen", type=int, default=0, metavar="PORT")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    host, _, port = options.to.rpartition(":")
    proxy = FaultProxy(reactor, host, int(port), seed=options.seed)

    async def start() -> None:
        await proxy.start(options.listen, interface=options.at)
        sys.stdout.write(f"listening {proxy.port}\n")
        sys.stdout.flush()
        StandardIO(_Orders(proxy))

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(start()))  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1:])
