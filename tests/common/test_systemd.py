"""What systemd hears, and which sockets it hands over."""

import os
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from common.errors import ConfigError
from common.listening import listen
from common.systemd import Supervisor, SystemdService, endpoint_for

SRC = Path(__file__).resolve().parents[2] / "src"


def directory_for(case: SynchronousTestCase) -> Path:
    """A directory with a short name, for sockets; it goes with the test."""
    directory = tempfile.TemporaryDirectory()
    case.addCleanup(directory.cleanup)
    return Path(directory.name)


class Listener:
    """The notify socket of a systemd; ``heard`` empties it."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        notices = []
        while True:
            try:
                notices.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return notices


class SupervisorTests(SynchronousTestCase):
    """The environment and the notify socket."""

    def test_nobody(self) -> None:
        """Without systemd nothing is sent and there is no watchdog."""
        nobody = Supervisor.from_environment({}, pid=1)
        self.assertEqual(nobody, Supervisor("", 0.0))
        nobody.tell("READY=1")

    def test_environment(self) -> None:
        """Address and watchdog time come from the environment; the time becomes seconds."""
        environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}
        self.assertEqual(Supervisor.from_environment(environ, pid=7), Supervisor("/x", 30.0))

    def test_watchdog_of_another_process(self) -> None:
        """A watchdog that is meant for our parent is not ours to feed."""
        environ = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}
        self.assertEqual(Supervisor.from_environment(environ, pid=8).watchdog_s, 0.0)

    def test_socket_in_the_file_system(self) -> None:
        """A notice arrives at a path."""
        path = str(directory_for(self) / "n")
        listener = Listener(path)
        self.addCleanup(listener.socket.close)
        Supervisor(path).tell("STATUS=all is well")
        self.assertEqual(listener.heard(), ["STATUS=all is well"])

    def test_abstract_socket(self) -> None:
        """An address with @ is an abstract socket."""
        name = f"rackferry-test-{os.getpid()}"
        listener = Listener(f"\0{name}")
        self.addCleanup(listener.socket.close)
        Supervisor(f"@{name}").tell("READY=1")
        self.assertEqual(listener.heard(), ["READY=1"])

    def test_systemd_gone(self) -> None:
        """A notice that cannot be sent is not the daemon's end."""
        Supervisor("/nonexistent/notify").tell("READY=1")


class SystemdServiceTests(SynchronousTestCase):
    """READY, WATCHDOG, STOPPING."""

    def setUp(self) -> None:
        """A systemd with a watchdog of 30 s, and a health that says what it is told to."""
        name = f"rackferry-watchdog-{os.getpid()}"
        self.systemd = Listener(f"\0{name}")
        self.addCleanup(self.systemd.socket.close)
        self.clock = Clock()
        self.asked: list[Deferred[None]] = []
        self.service = SystemdService(self.clock, Supervisor(f"@{name}", 30.0), self._health)
        self.service.startService()

    async def _health(self) -> None:
        self.asked.append(Deferred())
        await self.asked[-1]

    def test_ready_is_said_once_asked_for(self) -> None:
        """Starting the service says nothing; READY comes when everything is bound."""
        self.assertEqual(self.systemd.heard(), [])
        self.service.ready("serving on\n5240")
        self.assertEqual(self.systemd.heard(), ["READY=1\nSTATUS=serving on 5240"])

    def test_fed_at_half_time_when_healthy(self) -> None:
        """A health that answers feeds the watchdog each half of its time."""
        self.service.ready()
        self.systemd.heard()
        for turn in range(3):
            self.assertEqual(len(self.asked), turn + 1)
            self.asked[turn].callback(None)
            self.assertEqual(self.systemd.heard(), ["WATCHDOG=1"])
            self.clock.advance(15)

    def test_silent_health_starves_it(self) -> None:
        """A health that does not answer in a quarter of the time feeds nothing."""
        self.service.ready()
        self.systemd.heard()
        self.clock.advance(7.5)
        heard = self.systemd.heard()
        self.assertNotIn("WATCHDOG=1", heard)
        self.assertTrue(heard[0].startswith("STATUS=not healthy"))
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_failing_health_starves_it_until_it_is_well(self) -> None:
        """An error feeds nothing and is the status; the next good answer feeds again."""
        self.service.ready()
        self.systemd.heard()
        self.asked[0].errback(RuntimeError("database is locked"))
        self.assertEqual(self.systemd.heard(), ["STATUS=not healthy: database is locked"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.clock.advance(15)
        self.asked[1].callback(None)
        self.assertEqual(self.systemd.heard(), ["WATCHDOG=1"])

    def test_stopping(self) -> None:
        """Stopping is announced, the question in flight is cancelled, no timer is left."""
        self.service.ready()
        self.systemd.heard()
        self.service.stopService()
        self.assertEqual(self.systemd.heard(), ["STOPPING=1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.asked[0].called)

    def test_no_watchdog(self) -> None:
        """Without a watchdog nobody asks for health."""
        service = SystemdService(self.clock, Supervisor(), self._health)
        service.startService()
        service.ready()
        service.stopService()
        self.assertEqual(self.asked, [])


class ListenTests(TestCase):
    """Opening ports."""

    async def test_port_in_use(self) -> None:
        """A port that somebody has is one line with the port and its name."""
        taken = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(Factory())
        self.addCleanup(taken.stopListening)
        description = f"tcp:{taken.getHost().port}:interface=127.0.0.1"
        error = await self._refused(description)
        self.assertEqual(error.message, f"port in use: {description} (web)")
        self.assertEqual(error.code, "port-in-use")

    async def test_address_of_another_machine(self) -> None:
        """Any other reason is named, too."""
        error = await self._refused("tcp:0:interface=192.0.2.1")
        self.assertIn("cannot listen on tcp:0:interface=192.0.2.1 (web): ", error.message)

    async def test_unix_socket_in_use(self) -> None:
        """The admin socket of a running daemon is not taken from it."""
        path = str(directory_for(self) / "s")
        taken = await serverFromString(reactor, f"unix:{path}").listen(Factory())
        self.addCleanup(taken.stopListening)
        error = await self._refused(f"unix:{path}")
        self.assertTrue(error.message.startswith("port in use: unix:"))

    async def test_missing_directory_is_made(self) -> None:
        """The directory of a Unix socket is made, and the socket given to its group."""
        path = directory_for(self) / "run" / "admin.sock"
        description = f"unix:{path}:mode=660"
        port = await listen(
            endpoint_for(reactor, "admin", description),
            Factory(),
            name="admin",
            description=description,
        )
        self.addCleanup(port.stopListening)
        self.assertEqual(path.stat().st_mode & 0o777, 0o660)

    async def test_unknown_group(self) -> None:
        """A group that does not exist is named with the remedy, and the port closed."""
        path = str(directory_for(self) / "g")
        error = await self._refused(f"unix:{path}", group="no-such-group")
        self.assertIn("no-such-group", error.line())
        self.assertFalse(Path(path).exists())

    async def _refused(self, description: str, group: str = "") -> ConfigError:
        endpoint = serverFromString(reactor, description)
        try:
            port = await listen(
                endpoint, Factory(), name="web", description=description, group=group
            )
        except ConfigError as error:
            return error
        await port.stopListening()
        return self.fail("listening did not fail")


class ActivationTests(SynchronousTestCase):
    """Sockets that systemd opened for us."""

    SCRIPT = textwrap.dedent("""
        import os, sys
        os.environ["LISTEN_PID"] = str(os.getpid())
        sys.path.insert(0, sys.argv[1])
        from twisted.internet import reactor
        from twisted.internet.protocol import Factory, Protocol
        from common.systemd import endpoint_for
        def show(port):
            print(port.getHost())
        name = sys.argv[2]
        endpoint_for(reactor, name, "tcp:0:interface=127.0.0.1").listen(
            Factory.forProtocol(Protocol)).addCallback(show)
    """)

    def _bound(self, family: int, address: object, asked: str) -> str:
        with socket.socket(family) as listening:
            listening.bind(address)
            listening.listen()
            bound = listening.getsockname()

            def hand_over() -> None:
                os.dup2(listening.fileno(), 3)

            done = subprocess.run(
                [sys.executable, "-c", self.SCRIPT, str(SRC), asked],
                env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"},
                preexec_fn=hand_over,
                pass_fds=(3,),
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        place = f"port={bound[1]}" if isinstance(bound, tuple) else bound
        return "inherited" if place in done.stdout else done.stdout

    def test_socket_of_that_name_wins(self) -> None:
        """A socket named web replaces the configured endpoint of web, IPv4, IPv6 or Unix."""
        self.assertEqual(self._bound(socket.AF_INET, ("127.0.0.1", 0), "web"), "inherited")
        self.assertEqual(
            self._bound(socket.AF_UNIX, str(directory_for(self) / "w"), "web"), "inherited"
        )
        if socket.has_ipv6:
            self.assertEqual(self._bound(socket.AF_INET6, ("::1", 0), "web"), "inherited")

    def test_socket_of_another_name(self) -> None:
        """Other ports are opened as configured."""
        self.assertNotEqual(self._bound(socket.AF_INET, ("127.0.0.1", 0), "rpc"), "inherited")
