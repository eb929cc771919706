"""Downstreams of a region or a rack: the reference client, and other regions."""

import fcntl
import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from bench.peers import SstreamMirror
from tests.integration.processes import ROOT
from tests.integration.site import Site
from tests.integration.sources import LOOPBACK, random_file

PEERS = ROOT / "build" / "bench"
RELEASES = ("jammy", "noble")
FTYPES = ("boot-kernel", "boot-initrd", "squashfs")
STREAM_PRODUCTS = "images-stream/streams/v1/com.rackferry:images:v3:download.json"
SHOWN_LIMIT_S = 120.0


def reference_client() -> SstreamMirror:
    """``sstream-mirror`` in an environment of its own, made once and shared with the bench."""
    PEERS.mkdir(parents=True, exist_ok=True)
    with (PEERS / "peer-venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = SstreamMirror.installed(PEERS / "peer-venv")
    if found is None:
        raise SkipTest("sstream-mirror cannot be had: pip install python-simplestreams failed")
    return found


def files_below(root: Path) -> dict[str, str]:
    """Every file that a client mirrored: path -> SHA-256; its own notes in .data are not."""
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_file() and not name.startswith(".data/"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def web_url(site: Site, path: str) -> str:
    """On the region's web port."""
    return f"http://{LOOPBACK}:{site.ports.web}/{path}"


def asked(
    port: int, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes, Mapping[str, str]]:
    """Status, body and headers of an answer; header names in lower case."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request("GET", f"/{path}", headers=dict(headers or {}))
        response = connection.getresponse()
        got = {name.lower(): value for name, value in response.getheaders()}
        return response.status, response.read(), got
    finally:
        connection.close()


CONDITIONS = ("Range", "If-None-Match", "If-Modified-Since", "If-Range")


@contextmanager
def between(
    port: int, before: Callable[[str], None], answers: list[int] | None = None
) -> Iterator[str]:
    """A proxy before a port, which calls ``before(path)`` ahead of each request; its URL.

    ``answers`` gets the status of each answer.
    """

    class Passing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            before(self.path)
            wanted = {name: self.headers[name] for name in CONDITIONS if name in self.headers}
            status, body, headers = asked(port, self.path.lstrip("/"), wanted)
            if answers is not None:
                answers.append(status)
            self.send_response(status)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            for name in ("etag", "content-range"):
                if name in headers:
                    self.send_header(name, headers[name])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Passing)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class MirrorCase(SynchronousTestCase):
    def publish(self, site: Site, version: str) -> None:
        """Every release in this version, each file with bytes of its own."""
        for release in RELEASES:
            files = {
                ftype: random_file(site.directory / "new" / version / release / ftype, 300_000 + n)
                for n, ftype in enumerate(FTYPES)
            }
            product = {"os": "ubuntu", "release": release, "arch": "amd64", "version": version}
            site.publish({**product, "subarch": "generic"}, files)

    def expected(self, site: Site, release: str, version: str) -> dict[str, str]:
        """What a client that wants this release's newest version has to have."""
        return {
            path: sha256
            for path, sha256 in files_below(site.tree).items()
            if path.endswith(".sjson") or (release in path and version in path)
        }

    def start(self, site: Site, release: str) -> None:
        """A region that selects one release, and a rack that holds it."""
        self.start_region(site, release)
        site.enrol()
        site.rack.start()
        self.bring(site)

    def start_region(self, site: Site, release: str, url: str = "", keyring: str = "") -> int:
        """A region that selects one release of a source, by default the site's own."""
        site.region.start()
        source = site.create_source(url, keyring)
        words = ("os=ubuntu", f"release={release}", "arches=amd64", "labels=*")
        site.shell("boot-source-selections", "create", str(source), *words)
        return source

    def bring(self, site: Site) -> None:
        """What is published now reaches the rack."""
        site.shell("boot-resources", "import", "wait")
        site.shell("boot-resources", "import", "wait", rack=True)

    def keyring(self, site: Site) -> Path:
        """What the region gives out as its keyring."""
        status, body, _ = asked(site.ports.web, "keyring.gpg")
        self.assertEqual(status, 200)
        path = site.directory / "region.gpg"
        path.write_bytes(body)
        return path

    def wait_until_shown(self, site: Site, version: str) -> None:
        """The region's own stream follows a publish within seconds."""

        def is_shown() -> bool:
            status, body, _ = asked(site.ports.web, STREAM_PRODUCTS)
            products = json.loads(body)["products"].values() if status == 200 else ()
            return status == 200 and all(version in product["versions"] for product in products)

        self.wait_until(is_shown)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Ask until it holds."""
        end_s = time.monotonic() + SHOWN_LIMIT_S
        while not condition():
            self.assertLess(time.monotonic(), end_s, "the stream never showed it")
            time.sleep(0.1)
