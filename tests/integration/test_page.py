"""The page as people use it: a real browser, a real region, a real rack."""

import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.browsers import Browser
from tests.integration.site import Site
from tests.integration.sources import random_file

JAMMY, NOBLE = "ubuntu/jammy/amd64", "ubuntu/noble/amd64"
SIZE_BYTES = {"boot-kernel": 1 << 20, "boot-initrd": 2 << 20, "squashfs": 12 << 20}
VERSIONS = {"jammy": "22.04", "noble": "24.04"}


@pytest.mark.timeout(400)
class PageCase(SynchronousTestCase):
    """One site for all tests of a class; each begins without a source."""

    site: ClassVar[Site]
    directory: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        """Two releases, and a rack that holds what is selected."""
        super().setUpClass()
        with Browser():
            pass  # or there is none, and nothing to do here
        cls.directory = Path(tempfile.mkdtemp(prefix="rackferry-"))
        cls.site = Site(cls.directory)
        for release, number in VERSIONS.items():
            files = {
                ftype: random_file(cls.directory / f"{release}-{ftype}", size_bytes)
                for ftype, size_bytes in SIZE_BYTES.items()
            }
            cls.site.publish(
                {"os": "ubuntu", "release": release, "arch": "amd64", "subarch": f"ga-{number}",
                 "label": "stable", "version": "20260101"},
                files,
            )  # fmt: skip
        cls.site.region.start()
        cls.site.enrol()
        cls.site.rack.start()

    @classmethod
    def tearDownClass(cls) -> None:
        """Nothing is left."""
        cls.site.close()
        shutil.rmtree(cls.directory, ignore_errors=True)

    def setUp(self) -> None:
        for source in self.site.shell("boot-sources", "read"):
            self.site.shell("boot-source", "delete", str(source["id"]))
        self.site.shell("boot-resources", "import", "wait")

    def browser(self, *, scripts: bool = True, width: int = 1280) -> Browser:
        """One that is closed afterwards."""
        browser = Browser(scripts=scripts, width=width)
        self.addCleanup(browser.close)
        return browser

    def log_in(self, browser: Browser) -> Browser:
        """By the link that the shell prints."""
        browser.open(self.site.shell("web-login")["url"])
        browser.click("#login")
        browser.until_says("No import is running")
        return browser

    def connect(self, browser: Browser) -> None:
        """Type where the source is, and click."""
        browser.click("#kind-custom")
        browser.fill("#url", self.site.serve())
        if not browser.find("#keyring_filename").is_displayed():
            browser.click("#advanced summary")
        browser.fill("#keyring_filename", str(self.site.key.keyring))
        browser.click("#connect")
        browser.until_says("The source was read and saved")

    @staticmethod
    def tick(browser: Browser, *boxes: str) -> None:
        """And save."""
        for box in boxes:
            browser.click(f"input[value='{box}']")
        browser.click("#save")
        browser.until_says("The selection was saved")

    @staticmethod
    def is_ticked(browser: Browser, box: str) -> bool:
        return browser.find(f"input[value='{box}']").is_selected()

    def first_image(self, browser: Browser) -> None:
        """From the login to an image on the rack, by clicking only."""
        self.log_in(browser)
        self.assertEqual(browser.find("#url").get_attribute("value"), "")
        self.connect(browser)
        self.tick(browser, JAMMY)

    def assert_on_rack(self, release: str) -> None:
        for ftype in SIZE_BYTES:
            held = [
                path.read_bytes()
                for name, path in self.site.image_files().items()
                if f"/{release}/" in name and name.endswith(f"/{ftype}")
            ]
            sent = (self.directory / f"{release}-{ftype}").read_bytes()
            self.assertEqual(set(held), {sent}, ftype)


class FirstImageTests(PageCase):
    def test_from_the_first_visit_to_an_image_on_a_rack(self) -> None:
        """By clicking only, watching it on its way, with nothing that the policy blocks."""
        browser = self.browser()
        self.first_image(browser)
        browser.until_says("synced", "#images")
        self.assert_on_rack("jammy")
        browser.click("nav a[href='/racks']")
        browser.until_says("1 of 1 racks are in sync")
        self.assertIn("synced", browser.text("#racks"))
        browser.click("nav a[href='/events']")
        browser.until_says("boot-source-selections create", "#events")
        self.assertEqual(browser.complaints, [])

    def test_a_region_restarts_while_the_page_is_open(self) -> None:
        """The page says so, and comes to the present by itself: logged in as before."""
        browser = self.log_in(self.browser())
        self.site.region.kill()
        browser.until(lambda: browser.find("#offline").is_displayed())
        self.site.region.start()
        browser.until(lambda: not browser.find("#offline").is_displayed())
        self.site.create_source()
        self.site.shell(
            "boot-source-selections", "create",
            str(self.site.shell("boot-sources", "read")[0]["id"]),
            "os=ubuntu", "release=noble", "arches=amd64",
        )  # fmt: skip
        browser.until(lambda: self.is_ticked(browser, NOBLE))
        self.site.shell("boot-resources", "import")
        browser.until_says("synced", "#images")
        self.assert_on_rack("noble")


@pytest.mark.slow
class MoreTests(PageCase):
    def test_it_works_without_scripts(self) -> None:
        """The same clicks; the code is pasted, and the page looked at again."""
        browser = self.browser(scripts=False)
        url = self.site.shell("web-login")["url"]
        browser.open(url)
        browser.fill("#code", url)
        browser.click("#login")
        browser.until_says("No import is running")
        self.connect(browser)
        self.tick(browser, JAMMY)

        def is_there() -> bool:
            browser.open(url.partition("login")[0])
            return "synced" in browser.find("#images").text

        browser.until(is_there)
        self.assert_on_rack("jammy")
        browser.click("#images a[href^='/delete']")
        browser.click("#delete")
        browser.until_says("The image was deleted")

    def test_an_import_is_stopped_and_goes_on(self) -> None:
        """Where it was: what was fetched is kept."""
        browser = self.browser()
        self.site.shell("config", "set", "boot_images_rate_limit=8 Mbit/s")
        self.addCleanup(self.site.shell, "config", "set", "boot_images_rate_limit=")
        self.first_image(browser)
        browser.until_says("downloading", "#images")
        browser.click("#stop")
        browser.until_says("The import was stopped")
        browser.until_says("stopped at", "#images")
        self.site.shell("config", "set", "boot_images_rate_limit=")
        browser.click("#import")
        browser.until_says("synced", "#images")
        self.assert_on_rack("jammy")

    def test_two_browsers_at_once(self) -> None:
        """Each sees what the other does, and neither undoes it unseen."""
        one, other = self.log_in(self.browser()), self.log_in(self.browser(width=400))
        self.connect(one)
        other.until(lambda: not self.is_ticked(other, JAMMY))
        self.tick(one, JAMMY)
        other.until(lambda: self.is_ticked(other, JAMMY))
        other.click(f"input[value='{NOBLE}']")
        one.until_says("No import is running", "#summary")
        one.click(f"input[value='{JAMMY}']")
        one.click("#save")
        one.until_says("The selection was saved")
        other.until(lambda: other.find("#selection [data-overtaken]").is_displayed())
        self.assertTrue(self.is_ticked(other, NOBLE))
        other.click("#save")
        other.until_says("nothing was saved")
        (source,) = self.site.shell("boot-sources", "read")
        self.assertEqual(self.site.shell("boot-source-selections", "read", str(source["id"])), [])

    def test_an_update_takes_no_focus_and_nothing_that_was_typed(self) -> None:
        """Whoever uses the keyboard stays where they are."""
        browser = self.log_in(self.browser())
        browser.click("#kind-custom")
        browser.fill("#url", "http://half.typed")
        browser.driver.execute_script("document.getElementById('automatic').focus()")
        self.addCleanup(self.site.shell, "config", "set", "boot_images_auto_import=")
        self.site.shell("config", "set", "boot_images_auto_import=false")
        browser.until_says("Automatic import is off", "#summary")
        self.assertEqual(browser.driver.switch_to.active_element.get_attribute("id"), "automatic")
        self.assertEqual(browser.find("#url").get_attribute("value"), "http://half.typed")

    def test_what_was_typed_outlives_a_refusal_and_a_restart(self) -> None:
        """It is there to be mended, whatever the stream says meanwhile."""
        browser = self.log_in(self.browser())
        browser.click("#kind-custom")
        browser.fill("#url", "http://127.0.0.1:9/typed/")
        browser.click("#connect")
        browser.until(lambda: browser.find("#refused").is_displayed())
        self.addCleanup(self.site.shell, "config", "set", "boot_images_auto_import=")
        self.site.shell("config", "set", "boot_images_auto_import=false")
        browser.until_says("Automatic import is off", "#summary")
        self.assertEqual(browser.find("#url").get_attribute("value"), "http://127.0.0.1:9/typed/")
        browser.click("#advanced summary")
        browser.fill("#keyring_filename", "/typed.gpg")
        self.site.region.kill()
        browser.until(lambda: browser.find("#offline").is_displayed())
        self.site.region.start()
        self.site.shell("config", "set", "boot_images_auto_import=true")
        browser.until_says("Automatic import is on", "#summary")
        self.assertEqual(browser.find("#keyring_filename").get_attribute("value"), "/typed.gpg")
        self.assertFalse(browser.find("#source [data-overtaken]").is_displayed())
        self.site.create_source()
        browser.until(lambda: browser.find("#source [data-overtaken]").is_displayed())
        self.assertEqual(browser.find("#keyring_filename").get_attribute("value"), "/typed.gpg")

    def test_nothing_is_wider_than_a_phone(self) -> None:
        """With long names in what is wrong, too; only tables may be moved sideways."""
        self.site.shell(
            "boot-sources", "create", f"url=http://127.0.0.1:9/{'a' * 90}/", "unsigned=true"
        )
        self.site.shell("boot-source-selections", "create", str(
            self.site.shell("boot-sources", "read")[0]["id"]), "os=ubuntu", "release=jammy")  # fmt: skip
        self.site.shell("boot-resources", "import")
        browser = self.log_in(self.browser())
        browser.until_says("Open problems")
        phone = {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": True}
        browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        for path in ("", "racks", "events", "nothing"):
            browser.open(f"http://127.0.0.1:{self.site.ports.web}/{path}")
            width = browser.driver.execute_script("return document.documentElement.scrollWidth")
            self.assertEqual(width, 320, path)

    def test_a_session_that_ended_while_nobody_listened_is_said(self) -> None:
        """A machine that slept for a night: it is no silence of the region, and nothing to wait for."""
        browser = self.log_in(self.browser())
        self.site.region.kill()
        browser.until(lambda: browser.find("#offline").is_displayed())
        with sqlite3.connect(self.directory / "region" / "regiond.db") as database:
            database.execute("DELETE FROM web_session")
        self.site.region.start()
        browser.until(lambda: browser.find("#ended").is_displayed())
        self.assertFalse(browser.find("#offline").is_displayed())

    def test_more_than_one_source_is_not_managed(self) -> None:
        """The warning comes with the second, without a reload of ours, and nothing can be done."""
        browser = self.log_in(self.browser())
        self.site.create_source()
        self.site.shell("boot-sources", "create", "url=http://127.0.0.1:9/", "unsigned=true")
        browser.until(lambda: browser.find("#several").is_displayed())
        self.assertIn("There are 2 boot sources", browser.text("#several"))
        for selector in ("#connect", "#save", "#import"):
            found = browser.driver.find_elements("css selector", selector)
            self.assertEqual([each for each in found if each.is_displayed()], [])

    def test_a_form_of_another_site_changes_nothing(self) -> None:
        """Although the browser sends our cookie along: another port is the same site to it."""
        browser = self.log_in(self.browser())
        (self.site.tree / "evil.html").write_text(
            f"<form method=post action='http://127.0.0.1:{self.site.ports.web}/automatic'>"
            "<input name=to value=false><button id=go>Win</button></form>"
        )
        browser.open(f"{self.site.serve()}evil.html")
        browser.click("#go")
        browser.until_says("this form was not sent from a page of this region")
        setting = self.site.shell("config", "get", "boot_images_auto_import")
        self.assertTrue(setting["value"])

    def test_the_stream_ends_with_the_session(self) -> None:
        """A page that was left open in another window shows nothing more."""
        browser = self.log_in(self.browser())
        first = browser.driver.current_window_handle
        browser.driver.switch_to.new_window("tab")
        browser.open(f"http://127.0.0.1:{self.site.ports.web}/racks")
        browser.click("#logout")
        browser.until_says("rackferry web-login")
        browser.driver.switch_to.window(first)
        browser.until(lambda: browser.find("#ended").is_displayed())
