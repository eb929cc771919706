"""Images carried on a disk from one region to another that has no way to the source."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from common.bundles import MANIFEST, Manifest
from tests.integration.shells import ShellFailed
from tests.integration.site import Site, temporary_site
from tests.integration.sources import LOOPBACK, random_file
from tests.integration.test_mirrors import files_below

NOWHERE = f"http://{LOOPBACK}:1"
FILES = {"boot-kernel": 200_000, "boot-initrd": 300_001, "squashfs": 2_500_000}
FIRST, SECOND = "20261101", "20261108"


def publish(site: Site, version: str, release: str = "noble") -> int:
    """One image with bytes of its own; how many there are."""
    made = site.directory / "made" / version / release
    files = {ftype: random_file(made / ftype, size) for ftype, size in FILES.items()}
    product = {"os": "ubuntu", "release": release, "arch": "amd64", "version": version}
    site.publish({**product, "subarch": "generic"}, files)
    return sum(FILES.values())


@contextmanager
def connected_site() -> Iterator[Site]:
    """A region that has imported the first version."""
    with temporary_site() as site:
        publish(site, FIRST)
        site.region.start()
        site.create_source()
        select(site)
        site.shell("boot-resources", "import", "wait")
        yield site


@contextmanager
def lonely_site(connected: Site) -> Iterator[Site]:
    """A region that knows the same source, wants the same, and cannot reach it."""
    with temporary_site(source=connected) as site:
        site.region.start()
        site.create_source()
        site.shell("boot-source", "update", "1", f"proxy={NOWHERE}")
        select(site)
        yield site


def select(site: Site) -> None:
    site.shell("boot-source-selections", "create", "1", "os=ubuntu", "release=*")


def signed_files(site: Site) -> dict[str, str]:
    """What the source has under a signature: path -> SHA-256."""
    found = files_below(site.tree)
    return {path: name for path, name in found.items() if not path.endswith((".json", ".lock"))}


def manifest_of(bundle: Path) -> Manifest:
    return Manifest.from_document((bundle / MANIFEST).read_bytes())


@pytest.mark.timeout(300)
class AirGapTests(SynchronousTestCase):
    def test_there_and_there_again(self) -> None:
        """What is exported is a mirror of the source; what is imported reaches racks. The next
        export has the new bytes alone, and the region without a network says nothing new.
        """
        with connected_site() as connected, lonely_site(connected) as lonely:
            first = connected.directory / "first"
            said = connected.shell("boot-resources", "export", str(first))
            self.assertEqual(files_below(first / "mirror" / "1"), signed_files(connected))
            self.assertEqual(said["fetched_bytes"], said["size_bytes"])

            taken = lonely.shell("boot-resources", "import-bundle", str(first))
            self.assertEqual((taken["outcome"], taken["failed"]), ("complete", {}))
            lonely.enrol()
            lonely.rack.start()
            lonely.shell("boot-resources", "import", "wait", rack=True)
            before = self.problems(lonely)

            new_bytes = publish(connected, SECOND)
            connected.shell("boot-resources", "import", "wait")
            second = connected.directory / "second.tar"
            said = connected.shell("boot-resources", "export", str(second), f"since={first}")
            documents = said["size_bytes"] - new_bytes
            self.assertTrue(0 < documents < 100_000, said)
            self.assertLess(second.stat().st_size, new_bytes + 200_000)

            taken = lonely.shell("boot-resources", "import-bundle", str(second))
            self.assertEqual((taken["outcome"], taken["fetched_bytes"]), ("complete", new_bytes))
            lonely.shell("boot-resources", "import", "wait", rack=True)
            self.assertEqual(
                {name: path.read_bytes() for name, path in lonely.image_files().items()},
                self.expected(connected, SECOND),
            )
            with self.assertRaises(ShellFailed) as failed:
                lonely.shell("boot-resources", "import", "wait")
            self.assertTrue(failed.exception.error["code"].startswith("source-"))
            self.assertEqual(self.problems(lonely) - before, {("source-proxy", "boot-source 1")})
            self.assertEqual(len(lonely.shell("boot-resources", "read", "type=synced")), 1)

    def problems(self, site: Site) -> set[tuple[str, str]]:
        rows = site.shell("events", "read", "level=warning")
        return {(row["code"], row["object"]) for row in rows if row["state"] == "open"}

    def expected(self, site: Site, version: str) -> dict[str, bytes]:
        made = site.directory / "made" / version / "noble"
        place = "ubuntu/amd64/generic/noble/stable"
        return {f"{place}/{path.name}": path.read_bytes() for path in made.iterdir()}
