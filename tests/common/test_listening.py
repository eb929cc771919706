"""Opening ports, also where a dead process left something behind."""

import os
import socket
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from common.config import RackListen
from common.errors import ConfigError
from common.listening import Ports, listen


def dead_process() -> int:
    """The number of a process that has ended."""
    gone = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(gone, 0)
    return gone


class UnixSocketTests(TestCase):
    """The admin socket, as daemons open it."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="rf-")
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "admin.sock"

    async def listen(self) -> IListeningPort:
        description = f"unix:{self.path}:mode=660"
        port = await listen(
            serverFromString(reactor, description),
            Factory.forProtocol(Protocol),
            name="admin",
            description=description,
        )
        self.addCleanup(maybeDeferred, port.stopListening)
        return port

    def abandon(self) -> None:
        """Leave a socket behind, as one who is killed does."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.path))

    async def test_a_socket_without_a_lock(self) -> None:
        """Whoever was killed between socket and lock keeps nobody from starting."""
        self.abandon()
        await self.listen()
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self.path))

    async def test_a_socket_with_the_lock_of_a_dead_process(self) -> None:
        """The usual remains of a killed daemon."""
        self.abandon()
        os.symlink(str(dead_process()), f"{self.path}.lock")  # noqa: PTH211 - no path, a number
        await self.listen()

    async def test_a_socket_in_use(self) -> None:
        """Somebody answers there, lock or not: it is left alone, and the error says so."""
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
            other.listen()
            with self.assertRaises(ConfigError) as caught:
                await self.listen()
            self.assertEqual(caught.exception.code, "port-in-use")
        self.assertTrue(self.path.is_socket())

    async def test_a_file_in_the_way(self) -> None:
        """What is no socket is nobody's remains."""
        self.path.write_text("mine")
        with self.assertRaises(ConfigError):
            await self.listen()
        self.assertEqual(self.path.read_text(), "mine")


class PortsTests(TestCase):
    """The ports of a daemon."""

    async def test_the_number_is_the_one_that_is_bound(self) -> None:
        """Whatever the configuration left open; and it is free again when they are closed."""
        ports = Ports(reactor, RackListen(images="tcp:0:interface=127.0.0.1"))
        ports.open("images", Factory.forProtocol(Protocol))
        number = ports.number("images")
        with self.assertRaises(ConfigError) as caught:
            Ports(reactor, RackListen(images=f"tcp:{number}:interface=127.0.0.1")).open(
                "images", Factory.forProtocol(Protocol)
            )
        self.assertIn("(images)", caught.exception.message)
        await ports.close()
        with socket.create_server(("127.0.0.1", number)):
            pass
