"""New versions on a canary first, with a region and two racks."""

import time
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.processes import Daemon
from tests.integration.site import Site, temporary_site
from tests.integration.sources import LOOPBACK, free_ports, random_file

LIMIT_S = 120.0
PRODUCT = {"os": "demo", "release": "jammy", "arch": "amd64"}


@pytest.mark.timeout(400)
class CanaryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.contents: list[bytes] = []

    def test_the_other_rack_waits_for_an_admin_or_for_its_time(self) -> None:
        """It keeps what it had, synced, until its time has come; then it gets the newest."""
        with temporary_site() as site:
            site.region.start()
            self.offer(site, "1")
            source = site.create_source()
            site.shell("boot-source-selections", "create", str(source), "os=demo", "release=*")
            site.shell("boot-resources", "import", "wait")
            site.enrol()
            site.rack.start()
            other = self.second_rack(site)
            other.start()
            self.addCleanup(other.kill)
            self.until(site, {"rack-1": "1", "rack-2": "1"})
            site.shell("rack-controllers", "canary", "names=rack-1")
            self.offer(site, "2")
            site.shell("boot-resources", "import", "wait")
            rows = self.until(site, {"rack-1": "2", "rack-2": "1"})
            self.assertEqual([rows[name]["waits"] for name in sorted(rows)], [0, 1])
            site.shell("rack-controllers", "canary", "after=2s")
            self.offer(site, "3")
            site.shell("boot-resources", "import", "wait")
            self.until(site, {"rack-1": "3", "rack-2": "3"})
            self.assertEqual(site.shell("status")["canaries"]["waiting"], [])
            other.stop()

    def offer(self, site: Site, version: str) -> None:
        made = random_file(site.directory / version, 100_000)
        self.contents.append(made.read_bytes())
        site.publish(PRODUCT | {"version": version}, {"squashfs": made})
        site.serve()

    def second_rack(self, site: Site) -> Daemon:
        """Another rack of the same site, enrolled."""
        token = site.shell("rack-controllers", "create-token", "name=rack-2")["token"]
        config = site.directory / "rackd-2.toml"
        (port,) = free_ports(1, (LOOPBACK,))
        text = site.rack_config.read_text()
        for one, two in (
            ('name = "rack-1"', 'name = "rack-2"'),
            (str(site.images_dir), str(site.directory / "images-2")),
            (f'state_dir = "{site.directory / "rack"}"', f'state_dir = "{site.directory}/rack-2"'),
            (str(site.rack_socket), f"{site.rack_socket}2"),
            (f"tcp:{site.ports.machines}:", f"tcp:{port}:"),
        ):
            self.assertIn(one, text)
            text = text.replace(one, two)
        config.write_text(text)
        site.local(
            "join", LOOPBACK, str(token), "name=rack-2", f"config={config}",
            f"enrol_port={site.ports.enrol}", f"rpc_port={site.ports.rpc}",
        )  # fmt: skip
        argv = [*site.rack.argv[:-1], str(config)]
        return Daemon("rackd-2", argv, site.directory, site.rack_socket.parent, {})

    def until(self, site: Site, wanted: dict[str, str]) -> dict[str, Any]:
        """Wait until the racks show these versions, synced; how they are then."""
        deadline_s = time.monotonic() + LIMIT_S
        while any(self.shown(site, name) != [version] for name, version in wanted.items()):
            self.assertLess(time.monotonic(), deadline_s, wanted)
            time.sleep(0.1)
        while True:
            rows = {row["name"]: row for row in site.shell("rack-controllers", "read")}
            if all(row["status"] == "synced" for row in rows.values()):
                return rows
            self.assertLess(time.monotonic(), deadline_s, rows)

    def shown(self, site: Site, name: str) -> list[str]:
        """The versions in a rack's tree."""
        images_dir = {"rack-1": site.images_dir, "rack-2": site.directory / "images-2"}[name]
        files = (images_dir / "current").glob("demo/**/squashfs*")
        return [str(self.contents.index(path.read_bytes()) + 1) for path in files]
