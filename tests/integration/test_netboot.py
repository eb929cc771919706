"""Real installer images, all the way: published, signed, imported, synced, compared."""

import hashlib
import signal
from pathlib import Path

import pytest
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.integration.netboot import NotToBeHad, installer_images
from tests.integration.processes import ROOT
from tests.integration.site import Site, temporary_site


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expected_files(images: dict[str, dict[str, Path]]) -> dict[str, Path]:
    """Where MAAS's tree has each file -> the original."""
    return {
        f"debian/amd64/generic/bookworm/{flavour}/{ftype}": path
        for flavour, files in images.items()
        for ftype, path in files.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
class NetbootTests(SynchronousTestCase):
    def test_every_byte_of_the_debian_installer_reaches_the_rack(self) -> None:
        """What publish-source was given is, byte for byte, what the rack holds."""
        try:
            images = installer_images(ROOT / "build" / "netboot")
        except NotToBeHad as error:
            raise SkipTest(str(error)) from error
        with temporary_site() as site:
            held = self.synced(site, images)
            for name, original in expected_files(images).items():
                self.assertIn(name, held)
                self.assertEqual(sha256_of(held[name]), sha256_of(original), name)
                self.assertEqual(held[name].stat().st_mode & 0o777, 0o444, name)
            self.assertEqual(site.region.stop(), -signal.SIGTERM)
            self.assertEqual(site.rack.stop(), -signal.SIGTERM)

    def synced(self, site: Site, images: dict[str, dict[str, Path]]) -> dict[str, Path]:
        """Publish, import and sync; the files that the rack holds."""
        for flavour, files in images.items():
            site.publish(
                {
                    "os": "debian",
                    "release": "bookworm",
                    "arch": "amd64",
                    "label": flavour,
                    "version": "20230607",
                },
                files,
            )
        site.region.start()
        source = site.create_source()
        words = ("os=debian", "release=bookworm", "arches=amd64", "labels=*")
        site.shell("boot-source-selections", "create", str(source), *words)
        site.shell("boot-resources", "import", "wait")
        site.enrol()
        site.rack.start()
        site.shell("boot-resources", "import", "wait", rack=True)
        return site.held_files()
