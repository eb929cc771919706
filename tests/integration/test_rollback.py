"""Going back to a kept version, with real daemons."""

import time

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.site import Site, temporary_site
from tests.integration.sources import random_file

LIMIT_S = 60.0
PRODUCT = {"os": "demo", "release": "jammy", "arch": "amd64"}


class RollbackTests(SynchronousTestCase):
    def test_going_back_is_a_flip_that_moves_no_bytes(self) -> None:
        """Two versions, both at hand on the rack; back, over an import and a restart, and on."""
        with temporary_site() as site:
            site.region.start()
            site.shell("config", "set", "boot_images_versions=2")
            self.offer(site, "20260101")
            source = site.create_source()
            site.shell("boot-source-selections", "create", str(source), "os=demo", "release=*")
            site.shell("boot-resources", "import", "wait")
            site.enrol()
            site.rack.start()
            first = self.until_shown(site, "20260101")
            self.offer(site, "20260102")
            site.shell("boot-resources", "import", "wait")
            second = self.until_shown(site, "20260102")
            (published,) = [
                row for row in site.shell("boot-resources", "read") if row["state"] == "published"
            ]
            began_s = time.monotonic()
            row = site.shell("boot-resource", "rollback", str(published["id"]))
            self.assertEqual((row["version"], row["pinned"]), ("20260101", True))
            self.assertEqual(self.until_shown(site, "20260101"), first)
            self.assertLess(time.monotonic() - began_s, LIMIT_S)
            # Neither an import nor a restart undoes it; unpinned, it goes on without a byte.
            site.region.stop()
            site.region.start()
            site.shell("boot-resources", "import", "wait")
            (pinned,) = site.shell("status")["pinned"]
            self.assertEqual(
                (pinned["version"], pinned["waiting_version"]), ("20260101", "20260102")
            )
            self.assertEqual(self.until_shown(site, "20260101"), first)
            site.shell("boot-resource", "unpin", str(row["id"]))
            site.shell("boot-resources", "import", "wait")
            self.assertEqual(self.until_shown(site, "20260102"), second)

    def offer(self, site: Site, version: str) -> None:
        made = random_file(site.directory / version, 300_000)
        site.publish(PRODUCT | {"version": version}, {"squashfs": made})
        site.serve()

    def until_shown(self, site: Site, version: str) -> tuple[int, int]:
        """Wait for a version in the rack's tree; which file it is, and when that was written."""
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            rows = [
                row
                for row in site.shell("boot-resources", "read", rack=True)
                if row["state"] == "complete"
            ]
            if [row["version"] for row in rows] == [version]:
                (file,) = site.image_files().values()
                return file.stat().st_ino, file.stat().st_mtime_ns
            self.assertLess(time.monotonic(), deadline_s, rows)
