"""A rack that starts without region, DNS or a certificate that is any good.

It serves what it has, says what is wrong and what to do, and is in step again by itself once
the reason is gone.
"""

import shutil
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from common.identity import certificate_pem, utc_now
from common.identity_files import load_or_create_authority, load_or_create_rack_key
from tests.integration.evidence import sha256_of
from tests.integration.site import Site
from tests.integration.sources import LOOPBACK, MIB, random_file

SERVING_LIMIT_S = 15.0
"""3 s are promised, on a machine that does nothing else; the figure is printed."""
LIMIT_S = 90.0


class ColdStartTests(SynchronousTestCase):
    """One site, whose rack is in sync before anything breaks."""

    def setUp(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="rf-"))
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.site = site = stack.enter_context(Site(directory))
        kernel = random_file(directory / "kernel", MIB)
        self.sha256 = sha256_of(kernel)
        product = {"os": "demo", "release": "one", "arch": "amd64", "version": "1"}
        site.publish(product, {"boot-kernel": kernel})
        site.region.start()
        source = site.create_source()
        site.shell("boot-source-selections", "create", str(source), "os=demo", "release=*")
        site.shell("boot-resources", "import", "wait")
        site.enrol()
        site.rack.start()
        self.until(lambda: self.status()["status"] == "synced", "the first sync")
        site.rack.stop()
        self.state = site.directory / "rack"
        self.good = {path: path.read_bytes() for path in self.state.glob("*.pem")}

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.site.shell("status", rack=True)
        return answer

    def until(self, happened: Any, what: str) -> None:
        end_s = time.monotonic() + LIMIT_S
        while not happened():
            if time.monotonic() > end_s:
                self.fail(f"{what} did not happen\n{self.site.rack.tail()}")
            time.sleep(0.1)

    def start_cold(self, why: str, code: str, words: str) -> None:
        """Start the rack; it serves soon, and names the problem with a remedy."""
        began_s = time.monotonic()
        self.site.rack.start()
        path = "demo/amd64/generic/one/stable/boot-kernel"
        url = f"http://{LOOPBACK}:{self.site.ports.machines}/images/{path}"
        with urllib.request.urlopen(url, timeout=SERVING_LIMIT_S) as answer:
            (self.site.directory / "got").write_bytes(answer.read())
        seconds = time.monotonic() - began_s
        print(f"{why}: serving after {seconds:.1f} s")  # noqa: T201 - a figure for people
        self.assertEqual(sha256_of(self.site.directory / "got"), self.sha256)
        self.assertLess(seconds, SERVING_LIMIT_S)
        self.assertFalse(self.status()["region_connected"])
        self.until(lambda: code in self.problems(), f"{why}: {code}")
        problem = self.problems()[code]
        self.assertIn(words, f"{problem['object']} {problem['cause']}")
        self.assertTrue(problem["remedy"])
        events = self.site.shell("events", "read", rack=True)
        self.assertIn(code, {each["code"] for each in events})

    def problems(self) -> dict[str, Any]:
        return {each["code"]: each for each in self.status()["problems"]}

    def assert_recovers(self) -> None:
        """Nothing but the reason was taken away."""
        self.until(
            lambda: (self.status()["status"], self.status()["problems"]) == ("synced", []),
            "the recovery",
        )
        self.site.rack.stop()

    def put_back(self) -> None:
        for path, content in self.good.items():
            path.write_bytes(content)

    @pytest.mark.timeout(300)
    def test_without_region_and_dns(self) -> None:
        """Nobody listens, and the other region's name cannot be looked up."""
        site = self.site
        (self.state / "regions.json").write_bytes(b"rubbish")
        site.region.stop()
        text = site.rack_config.read_text()
        site.rack_config.write_text(
            text.replace("regions = [", 'regions = ["no-such-region.invalid:5250", ')
        )
        self.start_cold("no region", "region-unreachable", "cannot be reached")
        site.region.start()
        self.assert_recovers()

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_certificate_files(self) -> None:
        """Missing, garbage and expired; put right while the rack runs."""
        certificate = self.state / "cert.pem"
        certificate.unlink()
        self.start_cold("missing", "not-enrolled", "certificate")
        self.put_back()
        self.assert_recovers()

        for name in ("cert.pem", "key.pem"):
            (self.state / name).write_bytes(b"garbage\n" * 100)
            self.start_cold(f"garbage in {name}", "identity", name)
            self.put_back()
            self.assert_recovers()

        authority = load_or_create_authority(self.site.directory / "region", utc_now())
        key = load_or_create_rack_key(self.state)
        old = utc_now() - timedelta(days=800)
        expired = authority.issue_rack("rack-1", key.public_key(), old)
        certificate.write_bytes(certificate_pem(expired))
        self.site.region.stop()
        self.start_cold("expired, and no region", "certificate-expired", "expired")
        self.site.region.start()
        self.put_back()
        self.assert_recovers()
