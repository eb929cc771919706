"""Images carried on a disk from one region to another that has no way to the source."""

import json
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from twisted.trial.unittest import SynchronousTestCase

from common.bundles import MANIFEST, Manifest
from tests.integration.processes import environment
from tests.integration.shells import ShellFailed, rackferry_command
from tests.integration.site import Site, temporary_site
from tests.integration.sources import LOOPBACK, random_file
from tests.integration.test_mirrors import files_below

NOWHERE = f"http://{LOOPBACK}:1"
FILES = {"boot-kernel": 200_000, "boot-initrd": 300_001, "squashfs": 2_500_000}
LARGE_BYTES = 256 << 20
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

            with self.assertRaises(ShellFailed):
                lonely.shell("boot-resources", "import", "wait")
            before = self.events(lonely)
            taken = lonely.shell("boot-resources", "import-bundle", str(first))
            self.assertEqual((taken["outcome"], taken["failed"]), ("complete", {}))
            lonely.enrol()
            lonely.rack.start()
            lonely.shell("boot-resources", "import", "wait", rack=True)

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
            self.assertEqual(self.events(lonely), before)
            (held,) = [
                row for row in lonely.shell("boot-resources", "read") if row["state"] == "published"
            ]
            self.assertEqual(held["version"], SECOND)

    def test_tampered(self) -> None:
        """What was changed on the way is refused by name, and costs nothing else."""
        with connected_site() as connected, lonely_site(connected) as lonely:
            publish(connected, FIRST, "jammy")
            connected.shell("boot-resources", "import", "wait")
            bundle = connected.directory / "bundle"
            connected.shell("boot-resources", "export", str(bundle))
            (index,) = bundle.rglob("index.sjson")
            (kernel,) = (path for path in bundle.rglob("boot-kernel") if "jammy" in path.parts)
            for path, code in ((index, "signature-bad"), (kernel, "integrity-sha256")):
                whole = path.read_bytes()
                path.chmod(0o644)
                path.write_bytes(whole[:99] + bytes([whole[99] ^ 1]) + whole[100:])
                taken, exit_code = self.attempt(lonely, bundle)
                self.assertEqual(exit_code, 1)
                self.assertEqual([each["code"] for each in taken["failed"].values()], [code])
                path.write_bytes(whole)
            self.assertEqual([name.split("/")[3] for name in taken["published"]], ["noble"])
            with tarfile.open(connected.directory / "climbing.tar", "w") as made:
                made.add(bundle / MANIFEST, MANIFEST)
                made.add(kernel, "mirror/1/../../../kernel")
            with self.assertRaises(ShellFailed) as refused:
                lonely.shell("boot-resources", "import-bundle", made.name)
            self.assertEqual(refused.exception.error["code"], "bundle-tar")
            taken, exit_code = self.attempt(lonely, bundle)
            self.assertEqual((exit_code, taken["failed"]), (0, {}))

    def attempt(self, site: Site, bundle: Path) -> tuple[dict[str, Any], int]:
        """The answer, also where something of it failed, and the exit code."""
        words = ["--socket", str(site.region_socket), "--json"]
        done = subprocess.run(
            [*rackferry_command(), *words, "boot-resources", "import-bundle", str(bundle)],
            capture_output=True, env=environment(), check=False,
        )  # fmt: skip
        return json.loads(done.stdout), done.returncode

    def events(self, site: Site) -> list[tuple[Any, ...]]:
        """What is wrong: each event by its number, so that none can have been told anew."""
        rows = site.shell("events", "read", "level=warning")
        return [(row["id"], row["code"], row["object"], row["state"]) for row in rows]

    def expected(self, site: Site, version: str) -> dict[str, bytes]:
        made = site.directory / "made" / version / "noble"
        place = "ubuntu/amd64/generic/noble/stable"
        return {f"{place}/{path.name}": path.read_bytes() for path in made.iterdir()}


class Killed(NamedTuple):
    """A shell that was killed, or whose region was."""

    exit_code: int
    last_words: str


@pytest.mark.slow
@pytest.mark.timeout(900)
class KilledTests(SynchronousTestCase):
    """Whatever is killed on the way: nothing half is visible, and a second run goes on."""

    def begun(self, site: Site, *words: str) -> subprocess.Popen[str]:
        """A command that is in the middle of its bytes."""
        argv = [*rackferry_command(), "--socket", str(site.region_socket), *words]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
        )
        self.addCleanup(process.kill)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(("exporting", "fetching")):
                return process
        raise self.failureException(f"it was over before it could be killed: {words}")

    def killed(self, site: Site, is_region: bool, *words: str) -> Killed:
        process = self.begun(site, *words)
        if is_region:
            site.region.kill()
        else:
            process.kill()
        _, said = process.communicate(timeout=60)
        if is_region:
            self.assertEqual(process.returncode, 3)
            site.region.start()
        return Killed(process.returncode, said)

    def test_killed_on_the_way(self) -> None:
        """Shell and region, at both ends, for a directory and a tar."""
        before = dict(FILES)
        self.addCleanup(FILES.update, before)
        FILES["squashfs"] = LARGE_BYTES
        with connected_site() as connected, lonely_site(connected) as lonely:
            out = connected.directory / "out"
            for place in (out, out.with_suffix(".tar")):
                for is_region in (False, True):
                    self.killed(connected, is_region, "boot-resources", "export", str(place))
                    self.assertFalse((place / MANIFEST).exists() or place.is_file())
                said = connected.shell("boot-resources", "export", str(place))
                self.assertLess(said["fetched_bytes"], said["size_bytes"])
            self.assertEqual(files_below(out / "mirror" / "1"), signed_files(connected))
            total = sum(FILES.values())
            for is_region in (False, True):
                bundle = str(out.with_suffix(".tar") if is_region else out)
                self.killed(lonely, is_region, "boot-resources", "import-bundle", bundle)
                self.assertEqual(lonely.shell("status")["images"]["published"], 0)
            held = lonely.shell("status")["space"]["held_bytes"]
            taken = lonely.shell("boot-resources", "import-bundle", str(out))
            self.assertEqual((taken["outcome"], taken["failed"]), ("complete", {}))
            self.assertTrue(0 < taken["fetched_bytes"] <= total - held + 100_000, (taken, held))
            self.assertLess(taken["fetched_bytes"], total)
