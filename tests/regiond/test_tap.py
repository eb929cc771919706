"""The daemon as a whole: in this process on free ports, and as a process that must refuse."""

import json
import os
import shutil
import socket
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import treq
from cryptography import x509
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent

import common
from common.config import RegiondConfig, load
from common.errors import NoSpace, StorageError
from common.events import Event, Severity
from common.identity import certificate_pem, key_pem
from common.identity_files import SERVER_FILE, load_or_create_authority
from common.systemd import Supervisor
from common.vocabulary import Question
from regiond import tap
from regiond.boot_sources import DEFAULT_SOURCE
from regiond.schedule import Ending, Past
from regiond.store import events, settings
from regiond.store.database import Database
from tests.common.test_metrics import lint
from tests.doubles.shell_line import ask
from tests.doubles.stores import finished
from tests.doubles.trust import eventually
from tests.integration.processes import Daemon
from tests.integration.site import Site

CONFIG = """\
name = "region-1"
database = "sqlite:///{directory}/regiond.db"
state_dir = "{directory}/state"
advertise = ["127.0.0.1"]
default_boot_source = {default}
[listen]
web = "tcp:0:interface=127.0.0.1"
rpc = "tcp:0:interface=127.0.0.1"
enrol = "tcp:0:interface=127.0.0.1"
images = "tcp:0:interface=127.0.0.1"
admin = "unix:{directory}/admin.sock:mode=660"
"""


class DaemonCase(TestCase):
    """A region daemon in this process, which never imports by itself."""

    timeout = 20
    more = ""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rf-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.database_url = f"sqlite:///{self.directory / 'regiond.db'}"
        self.prepare()

    def prepare(self) -> None:
        database = Database(self.database_url, None)
        finished(database.open())
        finished(database.write(settings.put, "boot_images_auto_import", value=False, now=0.0))
        finished(database.close())

    def make(self, *, default: bool = False) -> tap.RegionDaemon:
        path = self.directory / "regiond.toml"
        text = CONFIG.format(directory=self.directory, default=str(default).lower())
        path.write_text(text + self.more)
        return tap.RegionDaemon(reactor, load(RegiondConfig, path), Supervisor(), None)

    async def start(self, *, default: bool = False) -> tap.RegionDaemon:
        daemon = self.make(default=default)
        daemon.startService()
        self.addCleanup(self.stop, daemon)
        while not daemon._is_ready:
            await deferLater(reactor, 0.005)
        return daemon

    @staticmethod
    async def stop(daemon: tap.RegionDaemon) -> None:
        if daemon.running:
            await deferLater(reactor, 0.01)  # connections of clients close
            await daemon.stopService()

    async def get(self, daemon: tap.RegionDaemon, path: str) -> tuple[int, dict[str, object]]:
        port = daemon.ports.number("web")
        response = await treq.client.HTTPClient(Agent(reactor)).get(
            f"http://127.0.0.1:{port}{path}"
        )
        return response.code, json.loads(await response.content())


class RunningTests(DaemonCase):
    async def test_a_started_region_is_alive_ready_and_answers(self) -> None:
        """Health, readiness and the admin socket, with the ports that are really bound."""
        daemon = await self.start()
        self.assertEqual(await self.get(daemon, "/healthz"), (200, {"ok": True}))
        self.assertEqual(await self.get(daemon, "/readyz"), (200, {"ok": True}))
        status = await ask(str(self.directory / "admin.sock"), Question("status"))
        self.assertEqual(status["name"], "region-1")
        ports = [status[f"{name}_port"] for name in ("rpc", "enrol", "images", "web")]
        self.assertEqual(len(set(ports) - {0}), 4)

    async def test_it_is_not_ready_before_it_has_started(self) -> None:
        """While the first source is being made: alive, and 503 with a reason for traffic."""
        gate: Deferred[None] = Deferred()

        async def slowly() -> None:
            await gate

        daemon = self.make(default=True)
        self.patch(daemon.cases.boot_sources, "make_default", slowly)
        daemon.startService()
        self.addCleanup(self.stop, daemon)
        self.assertEqual((await self.get(daemon, "/healthz"))[0], 200)
        code, body = await self.get(daemon, "/readyz")
        self.assertEqual((code, body["ok"]), (503, False))
        gate.callback(None)
        await daemon._starting
        self.assertEqual((await self.get(daemon, "/readyz"))[0], 200)

    async def test_a_start_that_fails_half_way_ends_the_daemon(self) -> None:
        """Whether it was expected or a bug: it is never ready, and gives up in one line."""
        full = NoSpace("the disk is full", object="regiond.db", remedy="free space")
        for error, line in (
            (full, "regiond: regiond.db: the disk is full (free space)"),
            (RuntimeError("no"), "regiond: could not start: RuntimeError, see the log"),
        ):
            lines: list[str] = []
            daemon = self.make(default=True)
            daemon.give_up = lines.append
            broken: Deferred[None] = Deferred()
            self.patch(daemon.cases.boot_sources, "make_default", lambda broken=broken: broken)
            daemon.startService()
            broken.errback(error)
            await daemon._starting
            self.assertEqual((lines, (await self.get(daemon, "/readyz"))[0]), ([line], 503))
            await self.stop(daemon)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_a_damaged_database_is_served_from_all_the_same(self) -> None:
        """Damage that shows while it starts keeps no rack from what verifies."""

        async def damaged() -> None:
            raise StorageError("page 7", object="regiond.db", code="database-damaged")

        daemon = self.make(default=True)
        self.patch(daemon.cases.boot_sources, "make_default", damaged)
        daemon.startService()
        self.addCleanup(self.stop, daemon)
        await daemon._starting
        self.assertEqual((await self.get(daemon, "/readyz"))[0], 200)

    async def test_a_changed_setting_holds_at_once(self) -> None:
        """Set over the socket, it reaches the schedule by the change feed."""
        daemon = await self.start()
        self.assertIsNone(daemon.importing.imports.next_at)
        daemon.importing.imports.past = Past(reactor.seconds(), reactor.seconds(), Ending.DONE)
        words = {"boot_images_auto_import": "yes", "boot_images_import_interval_minutes": "90"}
        question = Question("config", "set", parameters=words)
        rows = await ask(str(self.directory / "admin.sock"), question)
        self.assertEqual([row["value"] for row in rows], [True, 90])
        while daemon.importing.imports.next_at is None:
            await deferLater(reactor, 0.005)
        due_at = daemon.importing.imports.past.began_s + 90 * 60
        self.assertApproximates(daemon.importing.imports.next_at, due_at, 1)

    async def test_the_default_source_is_made_once_and_its_deletion_remembered(self) -> None:
        """Over restarts, too."""
        daemon = await self.start(default=True)
        (row,) = await daemon.cases.boot_sources.list_all()
        self.assertEqual(row["url"], DEFAULT_SOURCE.url)
        await daemon.cases.boot_sources.delete(row["id"])
        await self.stop(daemon)
        daemon = await self.start(default=True)
        self.assertEqual(await daemon.cases.boot_sources.list_all(), [])

    async def test_hooks_of_the_file_are_told(self) -> None:
        """The program that the file names is told of an event; without it no problem stays."""
        out = self.directory / "out"
        program = self.directory / "page"
        program.write_text(f"#!/bin/sh\ncat > {out}.new && mv {out}.new {out}\n")
        program.chmod(0o755)
        failed = Event("hook-failed", Severity.ERROR, "hook webhook", "why")
        full = Event("no-space", Severity.ERROR, "import", "full")
        database = Database(self.database_url, None)
        finished(database.open())
        for event in (failed, full):
            finished(database.write(events.raise_event, event, reactor.seconds()))
        finished(database.close())
        self.more = f'[hooks]\nexec = ["{program}"]\n'
        daemon = await self.start()
        await eventually(reactor, out.exists)
        told = json.loads(out.read_text())
        self.assertEqual((told["code"], told["region"]), ("no-space", "region-1"))
        await daemon._starting
        rows = await daemon.cases.region.list_events(Severity.INFO, cleared=False)
        self.assertEqual([row["code"] for row in rows], ["no-space"])

    async def test_the_certificate_is_renewed_while_it_runs(self) -> None:
        """An ageing certificate is replaced, and new connections get the new one."""
        state = self.directory / "state"
        now = datetime.now(UTC)
        authority = load_or_create_authority(state, now - timedelta(days=800), None)
        aged = authority.issue_server(["127.0.0.1"], now - timedelta(days=250))
        daemon = await self.start()
        shown = await self.shown_certificate(daemon)
        (state / SERVER_FILE).write_bytes(key_pem(aged.key) + certificate_pem(aged.certificate))
        daemon.ground.certificate.renew()
        renewed = await self.shown_certificate(daemon)
        self.assertEqual(len({shown, renewed, aged.certificate.serial_number}), 3)

    @staticmethod
    async def shown_certificate(daemon: tap.RegionDaemon) -> int:
        """The serial number of what a stranger is shown at the enrolment port."""
        place = ("127.0.0.1", daemon.ports.number("enrol"))
        pem = await deferToThread(ssl.get_server_certificate, place)
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    async def test_it_stops_and_starts_again_on_the_same_files(self) -> None:
        """A stop lets go of the database, the ports and the socket."""
        await self.stop(await self.start())
        daemon = await self.start()
        self.assertEqual((await self.get(daemon, "/healthz"))[0], 200)


class MonitoringTests(DaemonCase):
    """What a monitoring system asks a region."""

    async def test_metrics(self) -> None:
        """Nothing that promtool complains of."""
        daemon = await self.start()
        port = daemon.ports.number("web")
        client = treq.client.HTTPClient(Agent(reactor))
        response = await client.get(f"http://127.0.0.1:{port}/metrics")
        text = await response.content()
        self.assertEqual((response.code, lint(text)), (200, ""))
        self.assertIn(b"rackferry_region_generation 0.0", text)

    async def unwell(self, daemon: tap.RegionDaemon, why: str) -> None:
        for path in ("/healthz", "/readyz"):
            code, body = await self.get(daemon, path)
            self.assertEqual((code, why in str(body["reason"])), (503, True), body)

    async def test_a_disk_that_takes_nothing(self) -> None:
        """Read-only, as after an error of the disk; and full."""
        daemon = await self.start()
        found = os.statvfs(self.directory)
        for field, value, why in ((8, os.ST_RDONLY, "read-only"), (4, 0, "is full")):
            fields = list(found)
            fields[field] = value
            self.patch(os, "statvfs", lambda _, fields=fields: os.statvfs_result(fields))
            await self.unwell(daemon, why)

    async def test_a_database_that_does_not_answer(self) -> None:
        """Whatever it says is the reason."""
        daemon = await self.start()
        await daemon.database.close()
        await self.unwell(daemon, "not open")

    async def test_a_database_that_is_moved_away(self) -> None:
        """Until it is back; nothing answers in its place."""
        daemon = await self.start()
        file = Path(self.database_url.removeprefix("sqlite:///"))
        aside = file.rename(file.with_suffix(".aside"))
        await self.unwell(daemon, "is not at its place any more")
        self.assertFalse(file.exists())
        aside.rename(file)
        self.assertEqual((await self.get(daemon, "/healthz"))[0], 200)

    async def test_a_reactor_that_stood_still(self) -> None:
        """For as long as that is remembered."""
        daemon = await self.start()
        daemon.ground.pulse._lags.append(60.0)
        await self.unwell(daemon, "stood still")


class NeighbourTests(SynchronousTestCase):
    def test_a_foreign_common_is_refused(self) -> None:
        """``common`` is a common name; running on somebody else's would be worse than not."""
        self.patch(common, "__file__", "/elsewhere/common/__init__.py")
        with self.assertRaises(SystemExit) as refusal:
            tap.makeService(tap.Options())
        self.assertIn("/elsewhere/common", str(refusal.exception))
        self.assertIn("virtual environment", str(refusal.exception))


class RefusalTests(SynchronousTestCase):
    """What keeps a region from starting is one line on stderr, and exit code 1."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rf-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.site = Site(self.directory)
        self.addCleanup(self.site.close)

    def check_refuses(self, *words: str) -> None:
        daemon: Daemon = self.site.region
        daemon.start_unready()
        self.assertEqual(daemon.wait(30), 1, daemon.tail())
        # What twistd and the ports that were bound before say, is log; ours is one line.
        text = daemon.log.read_text()
        self.assertNotIn("Traceback", text)
        (line,) = [line for line in text.splitlines() if "regiond: " in line]
        for word in words:
            self.assertIn(word, line)

    def database_file(self) -> Path:
        file = self.directory / "region" / "regiond.db"
        file.parent.mkdir()
        return file

    def test_a_port_in_use(self) -> None:
        """The port and its name in the configuration are named."""
        with socket.create_server(("127.0.0.1", self.site.ports.images)):
            self.check_refuses(str(self.site.ports.images), "images")

    def test_a_database_that_cannot_be_written(self) -> None:
        """The path is named."""
        (self.directory / "file").write_text("not a directory")
        path = self.directory / "file" / "regiond.db"
        self.site.write_region_config(database=f"sqlite:///{path}")
        self.check_refuses(str(self.directory / "file"))

    def test_a_database_of_another_region_that_runs(self) -> None:
        """Two regions on one file would damage it."""
        database = Database(f"sqlite:///{self.database_file()}", None)
        finished(database.open())
        self.addCleanup(lambda: finished(database.close()))
        self.check_refuses("regiond.db", "locked")

    def test_a_database_of_a_newer_version(self) -> None:
        """It is left as it is."""
        database = Database(f"sqlite:///{self.database_file()}", None)
        finished(database.open())
        finished(
            database.write(
                lambda conn: conn.exec_driver_sql("UPDATE alembic_version SET version_num='v9999'")
            )
        )
        finished(database.close())
        self.check_refuses("newer", "v9999")

    def test_a_database_that_fails_after_the_ports_were_opened(self) -> None:
        """Alive and never ready would be no use: it ends as well, with the traceback in the log."""
        database = Database(f"sqlite:///{self.database_file()}", None)
        finished(database.open())
        finished(database.write(lambda conn: conn.exec_driver_sql("DROP TABLE setting")))
        finished(database.close())
        daemon: Daemon = self.site.region
        daemon.start_unready()
        self.assertEqual(daemon.wait(60), 1, daemon.tail())
        self.assertIn("regiond: could not start: OperationalError", daemon.log.read_text())

    def test_an_unknown_key(self) -> None:
        """File and key are named, with the nearest right one."""
        self.site.write_region_config('nane = "region-1"')
        self.check_refuses("regiond.toml", "nane", "name")
