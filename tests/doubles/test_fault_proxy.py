"""The fault proxy does what it says: a test that leans on it must be able to trust it."""

import json
import sys
from typing import Any

from twisted.internet import reactor as untyped_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.doubles.fault_proxy import FaultProxy
from tests.doubles.streams import some_bytes

reactor: Any = untyped_reactor
CONTENT = some_bytes(300_000)


class Talker(Protocol):
    """Sends ``CONTENT`` at once and ends; keeps what it receives."""

    def connectionMade(self) -> None:
        self.factory.talkers.append(self)
        self.received = b""
        self.transport.write(CONTENT)
        self.transport.loseConnection()


class Listener(Protocol):
    """Keeps everything until the end."""

    def __init__(self) -> None:
        self.received = b""
        self.over: Deferred[str] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.over.callback(reason.type.__name__)


class FaultProxyTests(TestCase):
    """A server that sends, a proxy, a client that listens."""

    timeout = 30

    async def setUp(self) -> None:
        factory: Any = Factory.forProtocol(Talker)
        factory.talkers = []
        self.port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.proxy = FaultProxy(reactor, "127.0.0.1", self.port.getHost().port, seed=3)
        await self.proxy.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.proxy.stop()))

    async def listen(self, port: int | None = None) -> Listener:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port or self.proxy.port)
        return await connectProtocol(endpoint, Listener())

    async def heard(self) -> tuple[bytes, str]:
        listener = await self.listen()
        ending = await listener.over
        return listener.received, ending

    async def until(self, claim: Any) -> None:
        while not claim():
            await deferLater(reactor, 0.01)

    async def test_without_faults_it_changes_nothing(self) -> None:
        """Every byte and the proper end arrive, and are counted."""
        self.assertEqual(await self.heard(), (CONTENT, "ConnectionDone"))
        self.assertEqual(self.proxy.counts["down"], len(CONTENT))
        await self.until(lambda: self.proxy.open_connections == 0)

    async def test_cut(self) -> None:
        """Exactly so many bytes are forwarded, and the end is a reset."""
        self.proxy.set("down", cut_after=1000)
        received, ending = await self.heard()
        self.assertLessEqual(len(received), 1000)
        self.assertEqual((self.proxy.counts["down"], ending), (1000, "ConnectionLost"))

    async def test_random_cuts_repeat_with_their_seed(self) -> None:
        """The same seed cuts at the same bytes; connections differ among each other."""
        counts = []
        for _ in range(2):
            self.proxy.random.seed(5)
            self.proxy.set_for_new("down", cut_within=100_000)
            for _ in range(3):
                self.proxy.counts["down"] = 0
                await self.heard()
                counts.append(self.proxy.counts["down"])
        self.assertEqual(counts[:3], counts[3:])
        self.assertEqual(len(set(counts)), 3)

    async def test_stall_and_go_on(self) -> None:
        """Exactly so many bytes arrive, then nothing, then the rest when it is cleared."""
        self.proxy.set("down", stall_after=5000)
        listener = await self.listen()
        await self.until(lambda: len(listener.received) == 5000)
        await deferLater(reactor, 0.1)
        self.assertEqual(len(listener.received), 5000)
        self.proxy.clear()
        await listener.over
        self.assertEqual(listener.received, CONTENT)

    async def test_what_is_in_flight_is_counted(self) -> None:
        """Bytes held back and the connections they belong to are told, then none are."""
        self.proxy.set("down", stall_after=5000)
        listener = await self.listen()
        await self.until(lambda: self.proxy.report()["held"])
        self.assertEqual(self.proxy.report()["streams"], 1)
        self.proxy.clear()
        await listener.over
        report = self.proxy.report()
        self.assertEqual((report["held"], report["streams"]), (0, 0))

    async def test_corrupt(self) -> None:
        """One bit of one byte is wrong."""
        self.proxy.set("down", corrupt_at=123_456)
        received, _ = await self.heard()
        wrong = [n for n in range(len(CONTENT)) if received[n] != CONTENT[n]]
        self.assertEqual(wrong, [123_456])

    async def test_slow_and_delayed(self) -> None:
        """The rate is kept and the delay is waited for."""
        self.proxy.set("down", rate=1_000_000, delay_s=0.1)
        start_s = reactor.seconds()
        received, _ = await self.heard()
        self.assertEqual(received, CONTENT)
        self.assertGreater(reactor.seconds() - start_s, 0.3)

    async def test_cut_all(self) -> None:
        """Open connections are reset on demand, new ones work."""
        self.proxy.set_for_new("down", stall_after=10)
        listener = await self.listen()
        await self.until(lambda: listener.received)
        self.proxy.cut()
        self.assertEqual(await listener.over, "ConnectionLost")
        self.proxy.clear()
        self.assertEqual((await self.heard())[0], CONTENT)

    async def test_a_target_that_is_not_there(self) -> None:
        """The client's connection is reset, as if it had reached the dead target."""
        await self.port.stopListening()
        self.assertEqual((await self.heard())[0], b"")

    async def test_as_a_process(self) -> None:
        """It says its port, obeys lines, answers with its counts, and ends with its input."""
        process = Lines()
        target = f"127.0.0.1:{self.port.getHost().port}"
        module = "tests.doubles.fault_proxy"
        arguments = [sys.executable, "-m", module, "--to", target, "--seed", "4"]
        transport = reactor.spawnProcess(process, sys.executable, arguments, env=None)
        word, port = (await process.line()).split()
        self.assertEqual(word, b"listening")
        transport.write(b"down cut_after=777\ncounts\n")
        self.assertEqual(json.loads(await process.line())["down"], 0)
        listener = await self.listen(int(port))
        await listener.over
        transport.write(b"counts\n")
        counts = json.loads(await process.line())
        self.assertEqual((counts["down"], counts["connections"]), (777, 1))
        transport.write(b"new down cut_after=5\n")
        transport.write(b"counts\n")
        await process.line()
        await (await self.listen(int(port))).over
        transport.write(b"counts\n")
        self.assertEqual(json.loads(await process.line())["down"], 782)
        transport.closeStdin()
        await process.ended


class Lines(ProcessProtocol):
    """The output of a process, line by line."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self._text = b""
        self._waiting: Deferred[bytes] | None = None

    def line(self) -> Deferred[bytes]:
        self._waiting = Deferred()
        waiting = self._waiting
        self._serve()
        return waiting

    def outReceived(self, data: bytes) -> None:
        self._text += data
        self._serve()

    def errReceived(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(None)

    def _serve(self) -> None:
        if self._waiting is not None and b"\n" in self._text:
            line, self._text = self._text.split(b"\n", 1)
            waiting, self._waiting = self._waiting, None
            waiting.callback(line)
