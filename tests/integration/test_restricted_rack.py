"""A rack that is to hold less than everything, with real daemons."""

import time

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.site import temporary_site
from tests.integration.sources import random_file

LIMIT_S = 60.0


class RestrictedRackTests(SynchronousTestCase):
    @pytest.mark.slow
    def test_a_rack_lets_go_of_what_it_is_not_to_hold(self) -> None:
        """Restricted, synced, and everything again: the tree is what was said, each time."""
        with temporary_site() as site:
            for release in ("jammy", "noble"):
                made = random_file(site.directory / release, 300_000)
                product = {"os": "demo", "release": release, "arch": "amd64", "version": "20260101"}
                site.publish(product, {"squashfs": made})
            site.region.start()
            source = site.create_source(site.serve())
            site.shell("boot-source-selections", "create", str(source), "os=demo", "release=*")
            site.shell("boot-resources", "import", "wait")
            site.enrol()
            row = site.shell("rack-controller", "update", "rack-1", "selections=demo/noble")
            self.assertEqual(row["images"], 1)
            site.rack.start()

            def until(*wanted: str) -> None:
                deadline_s = time.monotonic() + LIMIT_S
                while True:
                    site.shell("rack-controllers", "import-boot-images", "wait")
                    (rack,) = site.shell("rack-controllers", "read")
                    held = {path.split("/")[3] for path in site.held_files() if "demo/" in path[:5]}
                    if held == set(wanted) and rack["status"] == "synced":
                        return
                    self.assertLess(time.monotonic(), deadline_s, f"{held}, {rack}")

            until("noble")
            site.shell("rack-controller", "update", "rack-1", "selections=")
            until("jammy", "noble")
            site.shell("rack-controller", "update", "rack-1", "selections=demo/jam*")
            until("jammy")
