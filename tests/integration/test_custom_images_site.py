"""Custom images on a real rack: each where MAAS puts it, sent by the real shell."""

import gzip
import lzma
import time
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.common.test_file_types import tar
from tests.integration.shells import ShellFailed
from tests.integration.site import Site, temporary_site
from tests.integration.sources import random_file

LIMIT_S = 60.0


class CustomImageTests(SynchronousTestCase):
    """One site for all; nothing is selected and no source is there."""

    site: ClassVar[Site]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        site = temporary_site()
        cls.site = site.__enter__()
        cls._end = lambda: site.__exit__(None, None, None)
        cls.site.region.start()
        cls.site.enrol()
        cls.site.rack.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls._end()
        super().tearDownClass()

    def file(self, name: str, content: bytes) -> Path:
        path = self.site.directory / name
        path.write_bytes(content)
        return path

    def create(self, name: str, filetype: str, path: Path, architecture: str = "amd64") -> None:
        """Send an image, and check that the rack has it at the place that MAAS gives it."""
        row = self.site.shell(
            "boot-resources", "create", f"name={name}", f"architecture={architecture}",
            f"filetype={filetype}", f"content@={path}",
        )  # fmt: skip
        self.assertEqual((row["state"], row["type"]), ("published", "uploaded"))

    def check(self, place: str, path: Path) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        while place not in (held := self.site.image_files()):
            self.assertLess(time.monotonic(), deadline_s, f"{place} is not among {list(held)}")
            self.site.shell("rack-controllers", "import-boot-images", "wait")
        self.assertEqual(held[place].read_bytes(), path.read_bytes())

    def test_windows(self) -> None:
        """A tar archive in gzip with a disk in it."""
        path = self.file("windows.tgz", gzip.compress(tar(90_000)))
        self.create("windows/win2016", "ddtgz", path)
        self.check("windows/amd64/generic/win2016/uploaded/root-dd", path)

    def test_rhel(self) -> None:
        """A tar archive in xz, for another architecture."""
        path = self.file("rhel.txz", lzma.compress(tar(80_000)))
        self.create("rhel/8", "txz", path, "ppc64el/generic")
        self.check("rhel/ppc64el/generic/8/uploaded/root-txz", path)

    def test_esxi(self) -> None:
        """A disk in gzip; what its deployment does to the network can be asked."""
        path = self.file("esxi.gz", gzip.compress(b"\xeb\x3c" + bytes(300_000)))
        self.create("esxi/7.0", "ddgz", path)
        self.check("esxi/amd64/generic/7.0/uploaded/root-dd.gz", path)

    def test_our_own_linux(self) -> None:
        """A raw disk of several MiB; another version of it takes its place."""
        for size_bytes in (5_000_000, 3_000_001):
            path = random_file(self.site.directory / f"{size_bytes}.raw", size_bytes)
            self.create("our-linux", "ddraw", path)
            self.site.shell("rack-controllers", "import-boot-images", "wait")
            self._check_newest("custom/amd64/generic/our-linux/uploaded/root-dd.raw", path)

    def _check_newest(self, place: str, path: Path) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        size_bytes = path.stat().st_size
        while place not in (held := self.site.image_files()) or (
            held[place].stat().st_size != size_bytes
        ):
            self.assertLess(time.monotonic(), deadline_s, place)
            self.site.shell("rack-controllers", "import-boot-images", "wait")
        self.check(place, path)

    def test_a_file_of_another_type_is_refused(self) -> None:
        """In one line, with exit code 2, and with the type that fits."""
        path = self.file("wrong.tgz", lzma.compress(tar()))
        with self.assertRaises(ShellFailed) as caught:
            self.create("wrong", "tgz", path)
        self.assertEqual(caught.exception.exit_code, 2)
        self.assertEqual(caught.exception.error["code"], "filetype-content")
        self.assertIn("txz", caught.exception.error["remedy"])

    def test_as_maas(self) -> None:
        """MAAS's own line, its keys in and out."""
        path = self.file("mine.tgz", gzip.compress(tar(70_000)))
        made = self.site.shell(
            "maas", "admin", "boot-resources", "create", "name=custom/mine", "title=Mine",
            "architecture=amd64/generic", "filetype=tgz", "base_image=ubuntu/jammy",
            f"content@={path}",
        )  # fmt: skip
        (kept,) = made["sets"].values()
        self.assertEqual((made["name"], made["type"], made["title"]), ("mine", "Uploaded", "Mine"))
        self.assertEqual((kept["label"], kept["complete"]), ("uploaded", True))
        self.assertEqual(kept["files"]["root-tgz"]["size"], path.stat().st_size)
