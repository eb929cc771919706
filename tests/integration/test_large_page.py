"""200 racks and 500 images in a real browser, from a real region."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest
from sqlalchemy import Connection
from twisted.trial.unittest import SynchronousTestCase

from common.commands import ReportProgress
from common.identity_files import load_or_create_authority
from regiond.store import settings, sources
from regiond.store.database import Database
from regiond.store.sources import SourceFields
from tests.doubles.large_site import IMAGES, RACKS, many_images
from tests.doubles.stores import finished
from tests.integration.browsers import Browser
from tests.integration.processes import cpu_seconds
from tests.integration.simulated_racks import SimulatedRack, enrol_many
from tests.integration.site import Site
from tests.integration.sources import LOOPBACK

SYNCED, SYNCING, BEHIND = 100, 30, 20
"""How many racks hold everything, fetch it, and hold nothing; nobody hears of the others."""

RENDER_MS = 1000.0
CPU_S = 0.5
TRIES = 10
PAGE_BYTES = 100_000

_FIGURES = """
const page = performance.getEntriesByType("navigation")[0];
const rest = performance.getEntriesByType("resource").filter(
    each => ["link", "script", "css", "img", "other"].includes(each.initiatorType));
return {
    rendered_ms: page.loadEventEnd,
    server_ms: page.responseStart - page.requestStart,
    size_bytes: rest.reduce((sum, each) => sum + each.encodedBodySize, page.encodedBodySize),
};
"""


@pytest.mark.timeout(300)
class LargePageTests(SynchronousTestCase):
    site: ClassVar[Site]
    browser: ClassVar[Browser]
    racks: ClassVar[dict[str, SimulatedRack]]
    stack: ClassVar[ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        """All are in the database before the region starts; then racks in every state come."""
        super().setUpClass()
        cls.stack = ExitStack()
        cls.browser = cls.stack.enter_context(Browser())
        directory = Path(tempfile.mkdtemp(prefix="rackferry-"))
        cls.stack.callback(shutil.rmtree, directory, ignore_errors=True)
        cls.site = cls.stack.enter_context(Site(directory))
        names = [f"rack-{number:03}" for number in range(RACKS)]
        cls.fill(directory, names)
        cls.site.region.start()
        cls.racks = {
            name: cls.stack.enter_context(SimulatedRack(name, directory, cls.site.ports.rpc))
            for name in names[: SYNCED + SYNCING + BEHIND]
        }
        cls.browser.open(cls.site.shell("web-login")["url"])
        cls.browser.click("#login")
        cls.browser.until_says("No import is running")

    def setUp(self) -> None:
        racks = list(self.racks.values())
        for rack in racks[:SYNCED]:
            rack.hold()
        for rack in racks[SYNCED : SYNCED + SYNCING]:
            rack.ask(ReportProgress, generation=1, fetched_bytes=100, total_bytes=300)

    @classmethod
    def tearDownClass(cls) -> None:
        """Nothing is left."""
        cls.stack.close()

    @classmethod
    def fill(cls, directory: Path, names: list[str]) -> None:
        """While nobody else has the database."""
        state, now = directory / "region", time.time()
        authority = load_or_create_authority(state, datetime.fromtimestamp(now, UTC))
        database = Database(f"sqlite:///{state / 'regiond.db'}", None)

        def fill(conn: Connection) -> None:
            settings.put(conn, "boot_images_auto_import", value=False, now=now)
            sources.create_source(conn, SourceFields("http://127.0.0.1:9/", unsigned=True), now)
            many_images(conn, now)

        finished(database.open())
        finished(database.write(fill))
        enrol_many(database, authority, names, now, directory)
        finished(database.close())

    def open(self, path: str) -> None:
        self.browser.open(f"http://{LOOPBACK}:{self.site.ports.web}{path}")

    def rows(self, table: str) -> int:
        return int(self.script(f"return document.querySelectorAll('#{table} > tr').length"))

    def script(self, text: str) -> object:
        return self.browser.driver.execute_script(text)

    def assert_rendered(self, path: str, table: str, count: int) -> None:
        """Whole, small, and in time: the machine may be busy now and then, the page is not."""
        figures = []
        for _ in range(TRIES):
            began_s = cpu_seconds(self.site.region.pid)
            self.open(path)
            self.assertEqual(self.rows(table), count)
            found = json.loads(json.dumps(self.script(_FIGURES)))
            found["cpu_s"] = cpu_seconds(self.site.region.pid) - began_s
            figures.append(found)
            if found["rendered_ms"] <= RENDER_MS and found["cpu_s"] <= CPU_S:
                break
        sys.stdout.write(f"{path}: {json.dumps(figures)}\n")
        self.assertLess(figures[-1]["size_bytes"], PAGE_BYTES)
        self.assertLessEqual(min(each["rendered_ms"] for each in figures), RENDER_MS, figures)
        self.assertLessEqual(min(each["cpu_s"] for each in figures), CPU_S, figures)

    def assert_follows(self, change: Callable[[], object], is_shown: Callable[[], bool]) -> None:
        """What changes reaches the page that is open, without a reload."""
        self.script("window.unchanged = true")
        change()
        self.browser.until(is_shown)
        self.assertTrue(self.script("return window.unchanged"))

    def test_images(self) -> None:
        """500 of them within a second and 100 KB; one that is deleted goes."""
        self.assert_rendered("/", "images", IMAGES)
        said = self.browser.text("#images")
        self.assertIn(f"syncing to racks {SYNCED}/{RACKS}", said)
        first = self.script("return document.querySelector('#images a').getAttribute('href')")
        number = str(first).partition("=")[2]
        self.assert_follows(
            lambda: self.site.shell("boot-resource", "delete", number),
            lambda: self.rows("images") == IMAGES - 1,
        )
        self.assertEqual(self.browser.complaints, [])

    def test_racks(self) -> None:
        """200 of them, in every state; one that has synced is seen to."""
        self.assert_rendered("/racks", "racks", RACKS)
        said = self.browser.text("#fleet .legend")
        unknown = RACKS - SYNCED - SYNCING - BEHIND
        self.assertIn(f"unknown: {unknown}", said)
        late = f"rack-{SYNCED + SYNCING:03}"

        def state() -> str:
            rows = "[...document.querySelectorAll('#racks > tr')]"
            row = f"{rows}.find(each => each.textContent.includes('{late}'))"
            return str(self.script(f"return {row}.querySelector('td').textContent"))

        self.assertEqual(state(), "out-of-sync")
        self.assert_follows(self.racks[late].hold, lambda: state() == "synced")
