"""Headless Chromium, as people have it: with scripts or without."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from selenium.common.exceptions import (
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from twisted.trial.unittest import SkipTest

from tests.integration.closing import Closing

T = TypeVar("T")

LIMIT_S = 60.0
_PASSING = (
    NoSuchElementException,
    StaleElementReferenceException,
    ElementNotInteractableException,
)
_OTHER_PAGE = "does not belong to the document"
"""What the driver says, under no name of its own, of an element while the next page comes."""

_NO_SCRIPTS = {"profile.managed_default_content_settings.javascript": 2}


class Browser(Closing):
    """One browser with a profile of its own.

    Args:
        scripts: whether pages may run theirs.
        dark: as if the desktop were.
        width: in pixels.

    Raises:
        SkipTest: there is no Chromium on this machine.
    """

    def __init__(self, *, scripts: bool = True, dark: bool = False, width: int = 1280) -> None:
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or driver is None:
            raise SkipTest("chromium and chromium-driver are not installed")
        self._profile = Path(tempfile.mkdtemp(prefix="rackferry-browser-"))
        options = ChromeOptions()
        options.binary_location = chromium
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            f"--window-size={width},900",
            f"--user-data-dir={self._profile}",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []),
        ):
            options.add_argument(argument)
        if not scripts:
            options.add_experimental_option("prefs", _NO_SCRIPTS)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options=options, service=ChromeService(driver))

    def open(self, url: str) -> None:
        """Go there."""
        self.driver.get(url)

    def find(self, selector: str) -> WebElement:
        """The first element of that CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "main") -> str:
        """What people read there; the element may be replaced meanwhile."""
        return self.until(lambda: self.find(selector).text or " ").strip()

    def click(self, selector: str) -> None:
        """Click when it can be clicked."""

        def clicked() -> bool:
            element = self.find(selector)
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
            element.click()
            return True

        self.until(clicked)

    def fill(self, selector: str, text: str) -> None:
        """Instead of what stands there."""
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def until(self, condition: Callable[[], T], limit_s: float = LIMIT_S) -> T:
        """Wait until it holds."""
        waiting: WebDriverWait[Chrome] = WebDriverWait(
            self.driver, limit_s, poll_frequency=0.1, ignored_exceptions=_PASSING
        )

        def held(_: Chrome) -> T | None:
            try:
                return condition()
            except WebDriverException as error:
                if _OTHER_PAGE in str(error.msg):
                    return None
                raise

        return cast("T", waiting.until(held))

    def until_says(self, said: str, selector: str = "main", limit_s: float = LIMIT_S) -> None:
        """Wait until that can be read there."""
        try:
            self.until(lambda: said in self.find(selector).text, limit_s)
        except Exception as error:
            error.add_note(f"{said!r} is not in: {self.find(selector).text}")
            raise

    @property
    def complaints(self) -> list[str]:
        """What the browser has to say of our pages: blocked by the policy, errors in scripts."""
        return [
            str(entry["message"])
            for entry in self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            if "live" not in str(entry["message"])  # the stream, while a region restarts
        ]

    def close(self) -> None:
        """End it, and forget its profile."""
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)
