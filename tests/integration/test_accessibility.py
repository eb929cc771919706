"""Every page, light and dark, wide and on a phone, looked at by axe-core."""

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.axe import axe_source, findings
from tests.integration.browsers import Browser
from tests.integration.site import temporary_site
from tests.integration.sources import LOOPBACK, random_file

WIDTHS = (1280, 390)
PAGES = ("/", "/racks", "/events", "/events?level=error")


@pytest.mark.timeout(300)
class AccessibilityTests(SynchronousTestCase):
    def test_no_page_has_a_serious_finding(self) -> None:
        """The login, and each page with an image, a rack and something that happened."""
        axe = axe_source()
        with temporary_site() as site, Browser() as browser:
            file = random_file(site.directory / "kernel", 1 << 20)
            product = {"os": "ubuntu", "release": "jammy", "arch": "amd64", "version": "20260101"}
            site.publish(product, {"boot-kernel": file})
            site.region.start()
            site.create_source()
            site.shell("boot-source-selections", "create", "1", "os=ubuntu", "release=jammy")
            site.shell("boot-resources", "import", "wait")
            site.shell("rack-controllers", "create-token", "name=rack-1")
            site.enrol()
            site.rack.start()
            site.shell("rack-controllers", "import-boot-images", "wait")
            browser.open(site.shell("web-login")["url"])
            self.assert_none(browser, axe, "login")
            browser.click("#login")
            browser.until_says("synced", "#images")
            for page in PAGES:
                browser.open(f"http://{LOOPBACK}:{site.ports.web}{page}")
                self.assert_none(browser, axe, page)
            browser.driver.execute_script("document.body.append(document.createElement('img'))")
            self.assertIn("image-alt", " ".join(findings(browser, axe)), "it looks at nothing")

    def assert_none(self, browser: Browser, axe: str, page: str) -> None:
        """In every look of the page that is open."""
        driver = browser.driver
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            for width in WIDTHS:
                look = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", look)
                self.assertEqual(findings(browser, axe), [], f"{page} {scheme} {width}")
