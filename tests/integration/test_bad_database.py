"""A region whose database file rots: a real daemon, a real source, and the shell."""

import shutil
import tempfile
import time
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.doubles.bit_flips import flip_somewhere
from tests.doubles.streams import some_bytes
from tests.integration.site import Site

LIMIT_S = 120.0
KERNEL = some_bytes(3 << 20, 1)
ROOT = some_bytes(5 << 20, 2)


class BadDatabaseTests(SynchronousTestCase):
    """One image of two files."""

    def setUp(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="rackferry-"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.site = Site(directory)
        self.addCleanup(self.site.close)
        self.file = directory / "region" / "regiond.db"
        product = {"os": "demo", "release": "one", "arch": "amd64", "version": "20261122"}
        files = {}
        for ftype, content in (("boot-kernel", KERNEL), ("squashfs", ROOT)):
            files[ftype] = directory / ftype
            files[ftype].write_bytes(content)
        self.site.publish(product, files)
        self.site.region.start()
        source = self.site.create_source()
        self.site.shell(
            "boot-source-selections",
            "create",
            str(source),
            "os=demo",
            "release=one",
            "arches=amd64",
        )
        self.site.shell("boot-resources", "import", "wait")

    def until(self, what: str, holds: object) -> None:
        """Ask again and again."""
        end = time.monotonic() + LIMIT_S
        while not holds():  # type: ignore[operator]
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.1)

    def image(self) -> dict[str, object]:
        (row,) = self.site.shell("boot-resources", "read")
        return row

    def test_rot_is_found_and_repaired_and_a_kill_loses_nothing(self) -> None:
        """`scrub wait` names it, the import that follows fetches it, a killed scrub goes on."""
        site = self.site
        site.region.stop()
        flip_somewhere(self.file, ROOT, Random(5))
        site.write_region_config('scrub_limit = "1 MiB/s"')
        site.region.start()
        self.assertEqual(site.shell("scrub")["outcome"], "started")
        self.until(
            "the scrub is under way", lambda: site.shell("status")["scrub"]["checked_bytes"] > 0
        )
        site.region.kill()
        site.write_region_config()
        site.region.start()
        self.assertEqual(site.shell("status")["scrub"]["state"], "running")
        found = site.shell("scrub", "wait", f"timeout={LIMIT_S:.0f}s")
        self.assertEqual(
            (found["outcome"], found["damaged"], found["state"]), ("checked", 1, "idle")
        )
        rows = site.shell("events", "read", "all")
        (event,) = [row for row in rows if row["code"] == "blob-damaged"]
        self.assertIn("(squashfs) went bad: chunk", event["cause"])
        self.assertIn("boot-resources import", event["remedy"])
        site.shell("boot-resources", "import", "wait")
        self.assertEqual(self.image()["state"], "published")
        self.assertEqual(site.shell("scrub", "wait")["damaged"], 0)
        self.assertEqual(site.shell("status")["problems"], [])
