"""``make screenshots``: pictures of each page, light and dark, wide and on a phone.

Everything is real: a signed source, a region, racks, an upload, and Chromium. An import is
held back by a rate limit, so that there is something to watch.
"""

import base64
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests.integration.browsers import Browser  # noqa: E402  (the work tree is made importable)
from tests.integration.site import Site  # noqa: E402
from tests.integration.sources import LOOPBACK, MIB, random_file  # noqa: E402

DIRECTORY = ROOT / "build" / "pictures"
IMAGES = ROOT / "docs" / "images"
RELEASES = {"jammy": "22.04", "noble": "24.04"}
SIZES = {"boot-kernel": 2 * MIB, "boot-initrd": 6 * MIB, "squashfs": 24 * MIB}
RACKS = ("rack-1", "rack-2", "rack-3")
PAGES = {"images": "/", "racks": "/racks", "events": "/events"}
WIDTHS = {"wide": 1200, "phone": 390}
SCHEMES = ("light", "dark")


def publish(site: Site, release: str, **more: str) -> None:
    """One image in the site's source."""
    files = {
        ftype: random_file(DIRECTORY / f"{release}-{ftype}", size_bytes)
        for ftype, size_bytes in SIZES.items()
    }
    product = {"os": "ubuntu", "release": release, "arch": "amd64", "label": "stable"}
    site.publish({**product, "version": "20260101", **more}, files)


def start_racks(site: Site, stack: ExitStack) -> None:
    """Several, each with a directory of its own."""
    for name in RACKS:
        rack = stack.enter_context(Site(DIRECTORY / name, source=site))
        token = site.shell("rack-controllers", "create-token", f"name={name}")["token"]
        rack.write_rack_config()
        text = rack.rack_config.read_text()
        for key in ("rpc", "enrol"):
            text = text.replace(
                f"{LOOPBACK}:{getattr(rack.ports, key)}", f"{LOOPBACK}:{getattr(site.ports, key)}"
            )
        rack.rack_config.write_text(text.replace('name = "rack-1"', f'name = "{name}"'))
        site.local(
            "join",
            LOOPBACK,
            token,
            f"name={name}",
            f"config={rack.rack_config}",
            f"enrol_port={site.ports.enrol}",
            f"rpc_port={site.ports.rpc}",
        )
        rack.rack.start()


def prepare(site: Site, stack: ExitStack) -> None:
    """Something of everything: published, uploaded, on racks, on its way, and a problem."""
    for release, number in RELEASES.items():
        publish(site, release, subarch=f"ga-{number}")
    site.region.start()
    start_racks(site, stack)
    site.shell("boot-sources", "create", f"url={site.serve()}", f"keyring_data@={site.key.keyring}")
    site.shell("boot-source-selections", "create", "1", "os=ubuntu", "release=jammy")
    site.shell("boot-resources", "import", "wait")
    own = random_file(DIRECTORY / "own", 3 * MIB)
    site.shell(
        "boot-resources",
        "create",
        "name=golden",
        "title=Golden image",
        "architecture=amd64/generic",
        "filetype=ddraw",
        f"content@={own}",
    )
    site.shell("rack-controllers", "import-boot-images", "wait")
    site.shell("config", "set", "boot_images_rate_limit=8 Mbit/s")
    site.shell("boot-source-selections", "create", "1", "os=ubuntu", "release=noble")
    site.shell("boot-resources", "import")


def take(browser: Browser, path: Path, width: int, scheme: str) -> None:
    """A picture of the whole page."""

    def ask(command: str, **parameters: Any) -> Any:
        return browser.driver.execute_cdp_cmd(command, parameters)

    features = [{"name": "prefers-color-scheme", "value": scheme}]
    ask("Emulation.setEmulatedMedia", features=features)
    mobile = width == WIDTHS["phone"]
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": mobile}
    ask("Emulation.setDeviceMetricsOverride", **metrics)
    picture = ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
    path.write_bytes(base64.b64decode(picture["data"]))
    print(path.relative_to(ROOT), flush=True)


def main() -> None:
    """All pictures."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    IMAGES.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        site = stack.enter_context(Site(DIRECTORY))
        prepare(site, stack)
        browser = stack.enter_context(Browser())
        url = site.shell("web-login")["url"]
        browser.open(url)
        for scheme in SCHEMES:
            for name, width in WIDTHS.items():
                take(browser, IMAGES / f"login-{name}-{scheme}.png", width, scheme)
        browser.click("#login")
        browser.until_says("%")
        base = f"http://{LOOPBACK}:{site.ports.web}"
        for page, path in PAGES.items():
            browser.open(base + path)
            for scheme in SCHEMES:
                for name, width in WIDTHS.items():
                    take(browser, IMAGES / f"{page}-{name}-{scheme}.png", width, scheme)


if __name__ == "__main__":
    main()
