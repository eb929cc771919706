"""Tests of putting a rack together: real ports, no region."""

import os
import socket
import tempfile
from pathlib import Path
from unittest import mock

import treq
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from common.config import RackdConfig, parse
from common.errors import ConfigError
from common.systemd import Supervisor
from common.vocabulary import Question
from rackd import tap
from tests.common.test_metrics import lint
from tests.doubles.shell_line import ask
from tests.doubles.trust import eventually


class TapCase(TestCase):
    """A directory and a configuration."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="r-")
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name)
        self.token = self.path / "token"

    def config(self, port: int = 0) -> RackdConfig:
        text = (
            f'name = "rack-1"\nregions = ["127.0.0.1:1"]\ntoken_file = "{self.token}"\n'
            f'state_dir = "{self.path}/state"\nimages_dir = "{self.path}/images"\n'
            f'[listen]\nimages = "tcp:{port}:interface=127.0.0.1"\n'
            f'admin = "unix:{self.path}/admin.sock:mode=660"\n'
        )
        return parse(RackdConfig, text, "rackd.toml")

    def started(self, supervisor: Supervisor | None = None) -> tap.Rack:
        rack = tap.Rack(reactor, self.config(), supervisor or Supervisor())
        rack.startService()
        self.addCleanup(rack.stopService)
        return rack

    def port(self, rack: tap.Rack) -> int:
        return rack.ports.number("images")

    async def get(self, rack: tap.Rack, path: str) -> tuple[int, bytes]:
        response = await treq.get(f"http://127.0.0.1:{self.port(rack)}{path}", persistent=False)
        return response.code, await treq.content(response)


class MonitoringTests(TapCase):
    """What a monitoring system asks a rack."""

    async def test_metrics(self) -> None:
        """Nothing that promtool complains of; before there is an image, too."""
        rack = self.started()
        code, text = await self.get(rack, "/metrics")
        self.assertEqual((code, lint(text)), (200, ""))
        self.assertIn(b'rackferry_rackd_status{status="unknown"} 1.0', text)

    async def test_ready_when_there_is_a_tree(self) -> None:
        """An empty one counts, and a region that is not there does not matter."""
        rack = self.started()
        while rack.library.current is None:
            await deferLater(reactor, 0.01)
        self.assertEqual((await self.get(rack, "/readyz"))[0], 200)
        rack.library.current = None
        code, body = await self.get(rack, "/readyz")
        self.assertEqual((code, b"no tree" in body), (503, True))

    async def test_a_disk_that_is_read_only_is_not_well(self) -> None:
        """It serves on, so it is ready; but nothing new can come."""
        rack = self.started()
        while rack.library.current is None:
            await deferLater(reactor, 0.01)
        found = os.statvfs(self.path)
        fields = list(found)
        fields[8] |= os.ST_RDONLY
        self.patch(os, "statvfs", lambda _: os.statvfs_result(fields))
        code, body = await self.get(rack, "/healthz")
        self.assertEqual((code, b"mounted read-only" in body), (503, True))
        self.assertEqual((await self.get(rack, "/readyz"))[0], 200)

    async def test_a_reactor_that_stood_still_is_not_well(self) -> None:
        """Neither alive nor ready, for as long as that is remembered."""
        rack = self.started()
        rack._pulse._lags.append(60.0)
        for path in ("/healthz", "/readyz"):
            code, body = await self.get(rack, path)
            self.assertEqual((code, b"stood still" in body), (503, True))


class StartTests(TapCase):
    """Starting."""

    async def test_without_region(self) -> None:
        """A rack starts and serves without region or certificate, and says what is missing."""
        rack = self.started()
        self.assertEqual(await self.get(rack, "/healthz"), (200, b'{"ok": true}\n'))
        admin = f"{self.path}/admin.sock"
        status = await ask(admin, Question("status"))
        self.assertEqual((status["status"], status["snapshot"]), ("unknown", ""))
        try:
            await ask(admin, Question("boot-resources", "import", flags=("wait",)))
        except ConfigError as error:
            self.assertEqual(error.code, "not-enrolled")
            self.assertIn("create-token", error.remedy)
        else:
            self.fail("not enrolled, and yet in sync")
        problems = (await ask(admin, Question("status")))["problems"]
        self.assertEqual([each["code"] for each in problems], ["not-enrolled"])

    async def test_ready(self) -> None:
        """The supervisor is told when the ports are open, and that we stop."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.bind(f"{self.path}/notify")
            notices.settimeout(5)
            rack = tap.Rack(reactor, self.config(), Supervisor(f"{self.path}/notify"))
            rack.startService()
            self.assertIn(b"READY=1", notices.recv(1000))
            await rack._check_health()
            await rack.stopService()
            self.assertIn(b"STOPPING=1", notices.recv(1000))

    async def test_malformed_token(self) -> None:
        """A token that is none is named; the rack serves on."""
        self.token.write_text("rg1.nonsense\n")
        rack = self.started()
        await eventually(reactor, lambda: rack.events.problems)
        self.assertEqual(rack.uplink.problem.code, "token-malformed")
        self.assertEqual([each.code for each in rack.events.problems], ["token-malformed"])

    def test_port_in_use(self) -> None:
        """A port in use stops the start with one line that names it."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            rack = tap.Rack(reactor, self.config(port), Supervisor())
            error = self.assertRaises(SystemExit, rack.startService)
        self.assertRegex(str(error), rf"^rackd: .*port in use: tcp:{port}.*\(images\)")
        rack.library.close()
        rack._threads.stop()

    async def test_second(self) -> None:
        """A second rackd on the same directory is refused, and named the first."""
        self.started()
        rack = tap.Rack(reactor, self.config(), Supervisor())
        error = self.assertRaises(SystemExit, rack.startService)
        self.assertIn(f"in use by process {os.getpid()}", str(error))


class MakeServiceTests(TapCase):
    """What Twisted calls."""

    def options(self, path: object) -> tap.Options:
        options = tap.Options()
        options.parseOptions(["--config", str(path)])
        return options

    def test_bad_configuration(self) -> None:
        """A configuration that cannot be used is one line with file, key and reason."""
        path = self.path / "rackd.toml"
        path.write_text('nmae = "x"\n')
        error = self.assertRaises(SystemExit, tap.makeService, self.options(path))
        self.assertRegex(str(error), rf"^rackd: {path}: .*nmae")
        self.assertNotIn("\n", str(error))

    def test_service(self) -> None:
        """A good one gives a service that has touched nothing yet."""
        path = self.path / "rackd.toml"
        path.write_text(f'images_dir = "{self.path}/images"\n')
        self.patch(reactor, "seconds", reactor.seconds)  # it is ours again after this
        self.assertIsInstance(tap.makeService(self.options(path)), tap.Rack)
        self.assertFalse((self.path / "images").exists())

    def test_foreign_common(self) -> None:
        """Another distribution's "common" is refused."""
        with mock.patch("common.__file__", "/usr/lib/python3/dist-packages/common/__init__.py"):
            error = self.assertRaises(ConfigError, tap.check_neighbour)
        self.assertEqual(error.code, "foreign-common")
