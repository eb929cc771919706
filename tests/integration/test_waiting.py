"""Waiting for racks, the audit and the status, with real daemons and the real command."""

import os
import pwd

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.shells import ShellFailed
from tests.integration.site import Site, temporary_site
from tests.integration.sources import random_file


class WaitingTests(SynchronousTestCase):
    def test_scripts_can_rely_on_it(self) -> None:
        """Every rack synced is 0, one that is away 4 and named, no daemon 3; all is in the audit."""
        with temporary_site() as site:
            made = random_file(site.directory / "jammy", 3_000_000)
            product = {"os": "demo", "release": "jammy", "arch": "amd64", "version": "20260101"}
            site.publish(product, {"squashfs": made})
            site.region.start()
            source = site.create_source(site.serve())
            site.shell("boot-source-selections", "create", str(source), "os=demo", "release=*")
            imported = site.shell("boot-resources", "import", "wait", "timeout=5m")
            self.assertEqual(imported["outcome"], "complete")
            site.enrol()
            site.rack.start()
            every = ("rack-controllers", "import-boot-images", "wait")
            rows = site.shell(*every, "timeout=5m")
            self.assertEqual(rows, [{"name": "rack-1", "status": "synced"}])
            self.all_is_well(site)
            self.assertEqual(site.shell("scrub", "wait", "timeout=5m", rack=True)["damaged"], 0)
            done, begun = site.shell("events", "read", "code=admin-change", rack=True)
            self.assertTrue(begun["cause"].endswith("scrub timeout=300 wait: begun"), begun)
            self.assertTrue(done["cause"].endswith("scrub timeout=300 wait: done"), done)
            site.rack.stop()
            self.too_late(site, *every)
            self.too_late(site, "rack-controller", "import-boot-images", "rack-1", "wait")
            self.audited(site)
            site.region.stop()
            with self.assertRaises(ShellFailed) as gone:
                site.shell(*every, "timeout=5m")
            self.assertEqual(gone.exception.exit_code, 3)

    def all_is_well(self, site: Site) -> None:
        for rack in (False, True):
            status = site.shell("status", rack=rack)
            self.assertEqual((status["well"], status["verdict"]), (True, "all is well"))
            self.assertTrue(site.shell_text("status", rack=rack).startswith("All is well: r"))
        (row,) = site.shell("rack-controllers", "read")
        self.assertEqual((row["lag_generations"], row["lag_since"]), (0, None))
        self.assertLess(abs(row["clock_skew_s"]), 60)

    def too_late(self, site: Site, *words: str) -> None:
        with self.assertRaises(ShellFailed) as late:
            site.shell(*words, "timeout=2s")
        self.assertEqual(late.exception.exit_code, 4)
        self.assertEqual(late.exception.error["code"], "timed-out")
        self.assertIn("rack-1 is not connected", late.exception.error["message"])

    def audited(self, site: Site) -> None:
        me = pwd.getpwuid(os.getuid()).pw_name
        rows = site.shell("events", "read", "code=admin-change")
        causes = [row["cause"] for row in rows]
        self.assertTrue(all(cause.startswith(f"{me} (uid {os.getuid()}, ") for cause in causes))
        did = [" ".join(cause.partition("): ")[2].split()[:2]) for cause in causes][::-1]
        self.assertEqual(did[0], "boot-sources create")
        self.assertIn("rack-controllers create-token", did)
        self.assertEqual(did[-1], "rack-controller import-boot-images")
        self.assertNotIn("status", did)
