"""A rack that starts without region, DNS or a certificate that is any good.

It serves what it has, says what is wrong and what to do, and is in step again by itself once
the reason is gone.
"""

import os
import shutil
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.trial.unittest import SynchronousTestCase

from common.digests import sha256_hex
from common.identity import certificate_pem, utc_now
from common.identity_files import load_or_create_authority, load_or_create_rack_key
from rackd.library import Library
from rackd.records import HeldFile
from tests.doubles.disks import at_once
from tests.integration.evidence import sha256_of
from tests.integration.processes import cpu_seconds
from tests.integration.site import Site
from tests.integration.sources import LOOPBACK, MIB, random_file

SERVING_LIMIT_S = 60.0
"""3 s are promised, on a machine that does nothing else; the figure is printed."""
SERVING_CPU_LIMIT_S = 3.0
LIMIT_S = 90.0
FILES = 200
FILE_BYTES = 100 * MIB
BEGUN_BYTES = 10_000 * MIB


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
        spent_s = cpu_seconds(self.site.rack.pid)
        print(f"{why}: serving after {seconds:.1f} s, CPU {spent_s:.1f} s")  # noqa: T201 - figures
        self.assertEqual(sha256_of(self.site.directory / "got"), self.sha256)
        self.assertLess(seconds, SERVING_LIMIT_S)
        self.assertLess(spent_s, SERVING_CPU_LIMIT_S)
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
    @pytest.mark.slow
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
    def test_a_large_library(self) -> None:
        """20 GB of files and 10 GB of a begun one: after a kill a machine is served as soon.

        The files are sparse: a start looks at names, sizes and links, and reads no content but
        that of the file that is asked for, so it makes no difference what is in them. The
        figure is the time from the start of the process to the last byte of a kernel.
        """
        library = Library(self.site.images_dir, on_disk=at_once, on_sync=at_once)
        library.open()
        assert library.current is not None
        record = library.current.record
        files = dict(record.files)
        for number in range(FILES):
            sha256 = sha256_hex(f"large {number}".encode())
            blob = library.cache / sha256
            blob.touch(0o644)
            os.truncate(blob, FILE_BYTES)
            files[f"demo/amd64/generic/large-{number}/stable/squashfs"] = HeldFile(
                sha256, FILE_BYTES
            )
        library.publish(attrs.evolve(record, files=files), time.time())
        library.close()
        partial = self.site.images_dir / "partial" / f"{sha256_hex(b'begun')}.part"
        partial.touch(0o600)
        os.truncate(partial, BEGUN_BYTES)
        self.site.region.stop()
        self.site.rack.start()
        self.site.rack.kill()
        self.start_cold("20 GB held, 10 GB begun, killed", "region-unreachable", "reached")
        self.assertEqual(partial.stat().st_size, BEGUN_BYTES)
        self.site.rack.stop()

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
