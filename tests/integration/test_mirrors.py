"""Real downstreams of a rack: the reference client, and another region, with the old keyring."""

import fcntl
import hashlib
import http.client
from pathlib import Path

import pytest
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from bench.peers import SstreamMirror
from tests.integration.processes import ROOT
from tests.integration.site import Site, temporary_site
from tests.integration.sources import LOOPBACK, random_file

PEERS = ROOT / "build" / "bench"
RELEASES = ("jammy", "noble")
FTYPES = ("boot-kernel", "boot-initrd", "squashfs")


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
        site.region.start()
        source = site.create_source()
        words = ("os=ubuntu", f"release={release}", "arches=amd64", "labels=*")
        site.shell("boot-source-selections", "create", str(source), *words)
        site.enrol()
        site.rack.start()
        self.bring(site)

    def bring(self, site: Site) -> None:
        """What is published now reaches the rack."""
        site.shell("boot-resources", "import", "wait")
        site.shell("boot-resources", "import", "wait", rack=True)


@pytest.mark.timeout(300)
class RackMirrorTests(MirrorCase):
    def test_the_reference_client_takes_a_rack_for_the_source(self) -> None:
        """With the source's own keyring and the selection's filters it gets every byte; again
        after a new version, and then only what changed is left.
        """
        client = reference_client()
        with temporary_site() as site:
            self.publish(site, "20261101")
            self.start(site, "jammy")
            url = f"http://{LOOPBACK}:{site.ports.machines}/mirror/1/"
            copy = site.directory / "copy"
            client.mirror(url, copy, site.key.keyring, "release=jammy", "arch=amd64")
            first = files_below(copy)
            self.assertEqual(first, self.expected(site, "jammy", "20261101"))
            self.assertGreater(len(first), len(FTYPES))
            self.publish(site, "20261102")
            self.bring(site)
            client.mirror(url, copy, site.key.keyring, "release=jammy", "arch=amd64")
            self.assertEqual(files_below(copy), self.expected(site, "jammy", "20261102"))

    def test_another_region_takes_a_rack_for_its_source(self) -> None:
        """Under the original keyring, it imports what the rack's region has selected, and its
        own rack is a mirror again, byte for byte.
        """
        with temporary_site() as site, temporary_site() as downstream:
            self.publish(site, "20261101")
            self.start(site, "noble")
            url = f"http://{LOOPBACK}:{site.ports.machines}/mirror/1/"
            downstream.region.start()
            source = downstream.create_source(url, str(site.key.keyring))
            words = ("os=ubuntu", "release=noble", "arches=amd64", "labels=*")
            downstream.shell("boot-source-selections", "create", str(source), *words)
            downstream.enrol()
            downstream.rack.start()
            self.bring(downstream)
            held = downstream.current
            assert held is not None
            mirrored = files_below(held / "mirror" / str(source))
            self.assertEqual(mirrored, self.expected(site, "noble", "20261101"))
            for path, sha256 in mirrored.items():
                self.assertEqual(self.fetched(downstream, f"/mirror/{source}/{path}"), sha256)

    def fetched(self, site: Site, path: str) -> str:
        """The SHA-256 of what a rack serves at a path."""
        connection = http.client.HTTPConnection(LOOPBACK, site.ports.machines, timeout=60)
        try:
            connection.request("GET", path)
            return hashlib.sha256(connection.getresponse().read()).hexdigest()
        finally:
            connection.close()


@pytest.mark.timeout(300)
class PublishedSourceTests(MirrorCase):
    def test_the_reference_client_mirrors_what_publish_source_makes(self) -> None:
        """The published tree is a source for everybody: all of its newest versions arrive."""
        client = reference_client()
        with temporary_site() as site:
            for version in ("20261101", "20261102"):
                self.publish(site, version)
            copy = site.directory / "copy"
            client.mirror(site.serve(), copy, site.key.keyring)
            expected = {}
            for release in RELEASES:
                expected |= self.expected(site, release, "20261102")
            self.assertEqual(files_below(copy), expected)
