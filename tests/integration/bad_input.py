"""A running site that tests throw bad input at, and what they look at afterwards.

The site is started once per test process (``SHARED``), when the first test needs it, and
stopped by ``conftest``. It serves one good image, so that each test can ask the question that matters after every fault: is what was published still
published, and does every byte of it still come? Questions go to the daemon's admin socket
as the shell asks them, without a process each.
"""

import http.client
import os
import random
import shlex
import shutil
import sqlite3
import ssl
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.task import deferLater
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import TestCase
from twisted.web.server import Site as WebSite

from common.digests import sha256_hex
from common.errors import RackferryError
from common.shell.grammar import parse
from tests.doubles.gpg_keys import public_keys, signed
from tests.doubles.shell_line import ask
from tests.doubles.stream_documents import (
    INDEX_PATH,
    STABLE_PATH,
    index,
    item,
    product,
    product_file,
    text,
)
from tests.doubles.stream_source import StreamSource
from tests.doubles.trust import eventually
from tests.integration.processes import Daemon
from tests.integration.site import Site, temporary_site
from tests.integration.sources import LOOPBACK

GOOD_RELEASE = "good"
GOOD_BYTES = random.Random(2).randbytes(3_000_000)
GOOD_SHA256 = sha256_hex(GOOD_BYTES)


class SharedSite:
    """The one site of this process."""

    def __init__(self) -> None:
        self._site: Site | None = None
        self._open = ExitStack()

    def get(self) -> Site:
        """The site: region and rack run, the good image is published and held."""
        if self._site is None:
            self._site = self._open.enter_context(temporary_site())
            self._begin(self._site)
        return self._site

    @staticmethod
    def _begin(site: Site) -> None:
        kernel = site.directory / "good-kernel"
        kernel.write_bytes(GOOD_BYTES)
        wanted = {"os": "demo", "release": GOOD_RELEASE, "arch": "amd64", "version": "1"}
        site.publish(wanted, {"boot-kernel": kernel})
        site.region.start()
        source = site.create_source()
        site.shell("boot-source-selections", "create", str(source), "os=demo", "release=*")
        site.shell("boot-resources", "import", "wait")
        site.enrol()
        site.rack.start()

    def stop(self) -> None:
        """Everything down, the directory gone; nothing if it was never needed."""
        self._open.close()
        self._site = None


SHARED = SharedSite()


class Faulty(StreamSource):
    """Many boot sources in one, each below a path of its own; leaves no connection open."""

    def listen(self, clock: IReactorTCP) -> str:
        self._factory = WrappingFactory(WebSite(self))
        self._port = clock.listenTCP(0, self._factory, interface=LOOPBACK)
        return f"http://{LOOPBACK}:{self._port.getHost().port}/"

    async def stop(self) -> None:
        for connection in list(self._factory.protocols):
            connection.abortConnection()
        await super().stop()
        await eventually(reactor, lambda: not self._factory.protocols)

    def place(
        self,
        name: str,
        *products: dict[str, Any],
        contents: Iterable[bytes] = (),
        keys: Sequence[str] = ("ed25519",),
        **more: Any,
    ) -> None:
        """A source ``name`` of these products, well signed, with these files."""
        self.put(name, INDEX_PATH, signed(text(index()), *keys))
        self.put(name, STABLE_PATH, signed(text(product_file(*products, **more)), *keys))
        for content in contents:
            self.put(name, f"files/{sha256_hex(content)}", content)

    def put(self, name: str, path: str, content: bytes) -> None:
        """One file of the source ``name``."""
        self.files[f"{name}/{path}"] = content


def one_file(
    release: str, content: bytes, *, version: str = "1", **wrong: object
) -> dict[str, Any]:
    """A product with one kernel; ``wrong`` replaces what its item says (None: says nothing)."""
    told = item("boot-kernel", f"files/{sha256_hex(content)}", content) | wrong
    said = {key: value for key, value in told.items() if value is not None}
    return product(
        name=f"demo:{release}",
        os="demo",
        release=release,
        release_title=release,
        subarch="generic",
        versions={version: {"boot-kernel": said}},
    )


@attrs.frozen
class Reply:
    """An answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes


def rack_context(site: Site) -> ssl.SSLContext:
    """What rack-1 shows and believes, as any TLS library can use it."""
    state_dir = site.directory / "rack"
    context = ssl.create_default_context(cafile=str(state_dir / "ca.pem"))
    context.load_cert_chain(state_dir / "cert.pem", state_dir / "key.pem")
    return context


def request(
    port: int,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """One request, the path sent as it stands; over TLS if a context is given."""
    connection = (
        http.client.HTTPSConnection(LOOPBACK, port, timeout=20, context=tls)
        if tls
        else http.client.HTTPConnection(LOOPBACK, port, timeout=20)
    )
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, names, answer.read())
    finally:
        connection.close()


class BadInputCase(TestCase):
    """A test against the shared site."""

    timeout = 110

    def setUp(self) -> None:
        self.site = SHARED.get()

    # Asking

    async def ask(self, line: str, *, rack: bool = False) -> Any:
        """The answer to what somebody types."""
        question = parse(shlex.split(line), lambda path: Path(path).read_bytes()).question
        assert question is not None
        path = self.site.rack_socket if rack else self.site.region_socket
        return await ask(str(path), question)

    async def refused(self, line: str, code: str, *, rack: bool = False) -> RackferryError:
        """The error of what somebody types; it has this code, one line, and a remedy."""
        try:
            answer = await self.ask(line, rack=rack)
        except RackferryError as error:
            self.assertEqual(error.code, code, error.line())
            self.assert_clear(error.object, error.message, error.remedy)
            return error
        self.fail(f"{line!r} was answered: {answer!r}")
        raise AssertionError

    async def event(self, code: str, object_: str, *, rack: bool = False) -> dict[str, Any]:
        """The one open event of that code about that object."""
        events = await self.ask("events read level=warning", rack=rack)
        found = [each for each in events if (each["code"], each["object"]) == (code, object_)]
        shown = [(each["code"], each["object"], each["cause"]) for each in events]
        self.assertEqual(len(found), 1, f"no single {code} of {object_} among {shown}")
        self.assert_clear(found[0]["object"], found[0]["cause"], found[0]["remedy"])
        return dict(found[0])

    async def synced(self) -> None:
        """Wait until the rack has found its region, and holds what it is to hold."""
        while not (await self.ask("status", rack=True))["region_connected"]:
            await deferLater(reactor, 0.05)
        await self.ask("boot-resources import wait", rack=True)

    def assert_clear(self, object_: str, message: str, remedy: str) -> None:
        """One line that names an object, a cause and a remedy."""
        for part in (object_, message, remedy):
            self.assertTrue(part.strip(), (object_, message, remedy))
            self.assertNotIn("\n", part)
            self.assertNotIn("Traceback", part)

    # What must be as before

    async def assert_unharmed(self) -> None:
        """The good image is published, and each of its bytes is served."""
        published = [
            each["name"]
            for each in await self.ask("boot-resources read")
            if each["state"] == "published"
        ]
        self.assertIn(f"demo/{GOOD_RELEASE}", published)
        reply = request(
            self.site.ports.images, f"/blobs/{GOOD_SHA256}", tls=rack_context(self.site)
        )
        self.assertEqual((reply.status, sha256_hex(reply.body)), (200, GOOD_SHA256))

    # Sources

    async def serving(self) -> Faulty:
        """Boot sources in this process, until the test ends."""
        self.faulty = Faulty()
        self.base = self.faulty.listen(reactor)
        self.addCleanup(self.faulty.stop)
        return self.faulty

    def keyring(self, *names: str) -> Path:
        """A keyring file with these keys of ``tests.doubles.gpg_keys``."""
        path = self.site.directory / f"{'-'.join(names)}.gpg"
        if not path.exists():
            path.write_bytes(public_keys(*names))
        return path

    async def create_source(self, url: str, *keys: str, wants: str = "") -> int:
        """A boot source, deleted at the end; ``wants`` is the selected releases."""
        ring = self.keyring(*(keys or ("ed25519",)))
        created = await self.ask(f"boot-sources create url={url} keyring_filename={ring}")
        number = int(created["id"])
        self.addCleanup(self.ask, f"boot-source delete {number}")
        if wants:
            await self.ask(f"boot-source-selections create {number} os=demo release={wants}")
        return number


def change_database(site: Site, statement: str) -> list[Any]:
    """Change the region's database behind its back; what the statement gives."""
    path = site.directory / "region" / "regiond.db"
    with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        return connection.execute(statement).fetchall()


def obeying_modes(argv: Sequence[str]) -> list[str] | None:
    """The command so that file modes bind it, though root runs it; None if that cannot be."""
    if os.geteuid() != 0:
        return list(argv)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return None
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search", *argv]


class StartCase(BadInputCase):
    """Daemons that must refuse to start, and disks that must not be written."""

    def other(self) -> Site:
        """Another site's configuration, never started yet."""
        context = temporary_site()
        site = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return site

    def last_words(self, daemon: Daemon) -> str:
        """The one line with which a daemon refuses to start; its exit code is 1."""
        daemon.start_unready()
        self.assertEqual(daemon.wait(30.0), 1, daemon.tail())
        lines = daemon.log.read_text().rpartition("--- start")[2].splitlines()[1:]
        # Before the configuration is read nothing is logged yet, and the line stands alone.
        told = [line.removeprefix(line.partition(f"{daemon.name}: ")[0]) for line in lines]
        told = [line for line in told if line]
        self.assertNotIn("Traceback", daemon.tail())
        self.assertEqual(len(told), 1, daemon.tail())
        return told[0]

    def bound_by_modes(self, daemon: Daemon) -> None:
        """Let file modes bind the daemon, or skip the test, visibly."""
        argv = obeying_modes(daemon.argv)
        if argv is None:
            self.skipTest("root obeys no file modes here, and there is no setpriv")
        daemon.argv = argv

    def make(self, path: Path, mode: int) -> Path:
        """A directory of that mode, writable again at the end."""
        path.mkdir(parents=True)
        path.chmod(mode)
        self.addCleanup(path.chmod, 0o700)
        return path

    def mount(self, directory: Path, options: str) -> None:
        """A file system in memory, until the test ends; skips, visibly, where that is forbidden.

        With ``remount`` among the options, a change of the one that is there.
        """
        if os.geteuid() != 0:
            self.skipTest("only root may mount a small file system to fill")
        directory.mkdir(parents=True, exist_ok=True)
        argv = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"no small file system to fill: {done.stderr.strip()}")
        if "remount" not in options:
            self.addCleanup(subprocess.run, ["umount", "--lazy", str(directory)], check=True)
