"""axe-core, which finds what keeps people from using a page; from the registry of npm."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.integration.browsers import Browser

VERSION = "4.14.1"
SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
BUILD = Path(__file__).resolve().parents[2] / "build" / "axe"
_SERIOUS = {"serious", "critical"}


def axe_source() -> str:
    """The script, fetched once.

    Raises:
        SkipTest: it cannot be had here.
    """
    archive = BUILD / f"axe-core-{VERSION}.tgz"
    if not archive.is_file():
        npm = shutil.which("npm")
        if npm is None:
            raise SkipTest("npm is not installed; try: apt-get install npm")
        BUILD.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", "--silent", f"axe-core@{VERSION}"]
        run = subprocess.run(command, cwd=BUILD, capture_output=True, check=False, timeout=120)
        if run.returncode:
            raise SkipTest(f"axe-core cannot be had: {run.stderr.decode()[-200:]}")
    content = archive.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        archive.unlink()
        raise AssertionError("another axe-core than ours came from the registry")
    with tarfile.open(archive) as packed:
        member = packed.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


def findings(browser: Browser, axe: str) -> list[str]:
    """The serious ones of the page that is open, one line each.

    The script is handed over by the debugger, as our pages let no foreign script in.
    """
    browser.driver.execute_script(axe)
    found: dict[str, Any] = browser.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document).then(done, error => done({error: String(error)}))"
    )
    if "error" in found:
        raise AssertionError(found["error"])
    return [
        f"{each['impact']} {each['id']}: {json.dumps([node['target'] for node in each['nodes']])}"
        for each in found["violations"]
        if each["impact"] in _SERIOUS
    ]
