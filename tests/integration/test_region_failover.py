"""Racks with one port, and with two ways to a region of which one dies in mid-file.

Real daemons; the ways are fault proxies at two addresses that one region announces. The
timers that promise 5 seconds are held by the tests of ``rackd.blobs`` and ``blob_reads``;
here it has to happen, on however busy a machine.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.evidence import sha256_of
from tests.integration.hops import Hop
from tests.integration.site import Site
from tests.integration.sources import LOOPBACK, MIB, random_file

SECOND = "127.0.0.3"
SIZE_BYTES = 40 * MIB
RATE = 12 * MIB
LIMIT_S = 60.0
REFETCHED_BYTES = 16 * MIB
OVERHEAD_BYTES = 3 * MIB  # TLS, AMP and what racks and regions say besides


class WayCase(SynchronousTestCase):
    """A site whose rack reaches its region through proxies only."""

    def begin(self, transport: str, *hosts: str) -> None:
        """A region that has imported one image, and an enrolled rack that was not started."""
        directory = Path(tempfile.mkdtemp(prefix="rf-"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        self.site = site = self.stack.enter_context(
            Site(directory, is_proxied=True, image_transport=transport, advertise=hosts)
        )
        self.publish("1")
        site.region.start()
        source = site.create_source()
        site.shell("boot-source-selections", "create", str(source), "os=demo", "release=*")
        site.shell("boot-resources", "import", "wait")
        self.hop(LOOPBACK, site.ports.enrol)
        self.ways = {host: self.way(transport, host) for host in hosts}
        site.enrol()

    def way(self, transport: str, host: str) -> list[Hop]:
        """The hops at one address, the one that carries images first."""
        ports = [self.site.ports.rpc]
        if transport == "https":
            ports.insert(0, self.site.ports.images)
        hops = [self.hop(host, port) for port in ports]
        hops[0].order(f"down rate={RATE}")
        return hops

    def hop(self, host: str, port: int) -> Hop:
        return self.stack.enter_context(Hop(self.site.region_host, port, listen=port, at=host))

    def publish(self, version: str) -> None:
        """A new version of the one image."""
        directory = self.site.directory / version
        files = {
            "boot-kernel": random_file(directory / "boot-kernel", SIZE_BYTES),
            "boot-initrd": random_file(directory / "boot-initrd", MIB + 5),
        }
        self.originals = {name: sha256_of(path) for name, path in files.items()}
        product = {"os": "demo", "release": "one", "arch": "amd64", "version": version}
        self.site.publish(product, files)

    def until(self, happened: Callable[[], Any], what: str) -> float:
        """Wait for something that only looking can tell; how long it took, in seconds."""
        began_s = time.monotonic()
        while not happened():
            if time.monotonic() - began_s > LIMIT_S:
                tails = f"{self.site.region.tail()}\n{self.site.rack.tail()}"
                self.fail(f"{what} did not happen\n{tails}")
            time.sleep(0.01)
        return time.monotonic() - began_s

    def carried(self, host: str) -> int:
        """Bytes that came to the rack over one way, of images at least."""
        return self.ways[host][0].carried_bytes

    def assert_held(self) -> None:
        """Sooner or later the rack holds exactly what was published last."""

        def held() -> dict[str, str]:
            files = self.site.held_files()
            return {
                path.name: sha256_of(path)
                for name, path in files.items()
                if name.startswith("demo/")
            }

        def is_synced() -> bool:
            (rack,) = self.site.shell("rack-controllers", "read")
            return rack["status"] == "synced" and held() == self.originals

        self.until(is_synced, "the sync")


class OnePortTests(WayCase):
    """``image_transport = "amp"``, and nothing but the control port."""

    @pytest.mark.timeout(180)
    @pytest.mark.slow
    def test_one_port_and_interruptions(self) -> None:
        """All bytes come through it, notices too; either side may die in mid-file."""
        self.begin("amp", LOOPBACK)
        site = self.site
        site.rack.start()
        self.until(lambda: self.carried(LOOPBACK) > 6 * MIB, "the transfer")
        told = site.shell("rack-controller", "import-boot-images", "rack-1")
        self.assertEqual(told["status"], "told")
        self.assertIsNone(site.current)
        site.rack.kill()
        site.rack.start()
        self.until(lambda: self.carried(LOOPBACK) > 20 * MIB, "the transfer to go on")
        self.assertIsNone(site.current)
        site.region.kill()
        site.region.start()
        self.assert_held()
        again_bytes = self.carried(LOOPBACK) - SIZE_BYTES - MIB
        self.assertLess(again_bytes, 2 * REFETCHED_BYTES + OVERHEAD_BYTES)


class FailoverTests(WayCase):
    """Two ways, one of which dies."""

    def fail_over(
        self, transport: str, die: Callable[[], None], revive: Callable[[], None]
    ) -> None:
        """The transfer goes on at the other way, little is fetched twice; both are used later."""
        self.site.rack.start()
        self.until(lambda: self.carried(LOOPBACK) > 8 * MIB, "the transfer")
        before = self.carried(LOOPBACK)
        other = self.carried(SECOND)
        die()
        seconds = self.until(lambda: self.carried(SECOND) > other + MIB, "the other way")
        print(f"{transport}: {seconds:.1f} s without bytes")  # noqa: T201 - a figure for people
        self.assertIsNone(self.site.current)
        self.assert_held()
        again_bytes = before + self.carried(SECOND) - SIZE_BYTES - MIB
        self.assertLess(again_bytes, REFETCHED_BYTES + OVERHEAD_BYTES)
        revive()
        self.publish("2")
        for hop in self.ways[SECOND]:
            hop.close()
        self.site.shell("boot-resources", "import", "wait")
        self.assert_held()

    def closed(self, transport: str) -> None:
        """A way that refuses connections and resets those there are."""
        self.begin(transport, LOOPBACK, SECOND)

        def die() -> None:
            for hop in self.ways[LOOPBACK]:
                hop.close()

        def revive() -> None:
            self.ways[LOOPBACK] = self.way(transport, LOOPBACK)

        self.fail_over(transport, die, revive)

    def silent(self, transport: str) -> None:
        """A way that takes connections, and carries nothing: no reset, no end."""
        self.begin(transport, LOOPBACK, SECOND)

        def die() -> None:
            for hop in self.ways[LOOPBACK]:
                hop.order("down stall_after=0")
                hop.order("up stall_after=0")

        def revive() -> None:
            for hop in self.ways[LOOPBACK]:
                hop.order("cut")
                hop.order("clear")

        self.fail_over(transport, die, revive)

    @pytest.mark.slow
    @pytest.mark.timeout(240)
    def test_https_closed(self) -> None:
        """Over HTTPS, from a way that is closed."""
        self.closed("https")

    @pytest.mark.timeout(240)
    def test_https_silent(self) -> None:
        """Over HTTPS, from a way that is silent."""
        self.silent("https")

    @pytest.mark.slow
    @pytest.mark.timeout(240)
    def test_amp_closed(self) -> None:
        """Over the control port, from a way that is closed."""
        self.closed("amp")

    @pytest.mark.timeout(240)
    @pytest.mark.slow
    def test_amp_silent(self) -> None:
        """Over the control port, from a way that is silent."""
        self.silent("amp")
