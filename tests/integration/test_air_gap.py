"""Images carried on a disk from one region to another that has no way to the source."""

import json
import re
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from common.bundles import MANIFEST
from tests.integration.processes import ROOT, environment
from tests.integration.shells import ShellFailed, rackferry_command
from tests.integration.site import Site, temporary_site
from tests.integration.sources import LOOPBACK, random_file
from tests.integration.test_mirrors import files_below

DOCUMENT = ROOT / "docs" / "operations.md"
USUAL_URL = "https://images.maas.io/ephemeral-v3/stable/"
USUAL_KEYRING = "/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg"
NOWHERE = f"http://{LOOPBACK}:1"
FILES = {"boot-kernel": 200_000, "boot-initrd": 300_001, "squashfs": 2_500_000}
LARGE_BYTES = 256 << 20
BEGUN_BYTES = 40 << 20
LOST_BYTES = 16 << 20  # what a kill may cost
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


def changed(path: Path) -> None:
    """One bit of a file."""
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:99] + bytes([whole[99] ^ 1]) + whole[100:])


def linked(path: Path) -> None:
    """A link to the very same bytes."""
    path.symlink_to(path.rename(path.with_name("elsewhere")))


def shortened(path: Path) -> None:
    """A file without its last byte."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.timeout(300)
class AirGapTests(SynchronousTestCase):
    @pytest.mark.slow
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

    def test_as_the_document_says(self) -> None:
        """docs/operations.md, "Air gap", line by line, with this site's places for the usual ones."""
        section = DOCUMENT.read_text().partition("\n## Air gap\n")[2].partition("\n## ")[0]
        blocks = re.findall(r"^```sh\n# on the region (with|without) a network[^\n]*\n(.*?)^```$",
                            section, re.MULTILINE | re.DOTALL)  # fmt: skip
        self.assertEqual(len(blocks), section.count("```sh"))
        with connected_site() as connected, temporary_site(source=connected) as lonely:
            lonely.region.start()
            usual = {
                "/media/stick": str(connected.directory),
                USUAL_URL: connected.serve(),
                USUAL_KEYRING: str(connected.key.keyring),
            }
            answers = []
            for where, lines in blocks:
                site = connected if where == "with" else lonely
                for line in lines.splitlines():
                    for usually, here in usual.items():
                        line = line.replace(usually, here)  # noqa: PLW2901 - the line as it is typed here
                    answers.append(site.shell(*shlex.split(line)[1:]))
            *_, first, again, second = (
                each for each in answers if "out" in each or "failed" in each
            )
            self.assertEqual((first["failed"], second["failed"]), ({}, {}))
            self.assertEqual(again["elsewhere"], len(FILES))
            self.assertEqual(
                [row["version"] for row in lonely.shell("boot-resources", "read")], [FIRST]
            )
            self.assertEqual(self.events(lonely), [])

    @pytest.mark.slow
    def test_tampered(self) -> None:
        """What was changed on the way is refused by name, and costs nothing else."""
        with connected_site() as connected, lonely_site(connected) as lonely:
            publish(connected, FIRST, "jammy")
            connected.shell("boot-resources", "import", "wait")
            bundle = connected.directory / "bundle"
            connected.shell("boot-resources", "export", str(bundle))
            (index,) = bundle.rglob("index.sjson")
            (kernel,) = (path for path in bundle.rglob("boot-kernel") if "jammy" in path.parts)
            for path, damage, code in (
                (index, changed, "signature-bad"),
                (index, Path.unlink, "bundle-document-missing"),
                (kernel, changed, "integrity-sha256"),
                (kernel, Path.unlink, "bundle-file-missing"),
                (kernel, linked, "bundle-unreadable"),
                (kernel, shortened, "bundle-file-size"),
            ):
                whole = path.read_bytes()
                damage(path)
                taken, exit_code = self.attempt(lonely, bundle)
                self.assertEqual(exit_code, 1)
                self.assertEqual([each["code"] for each in taken["failed"].values()], [code])
                path.unlink(missing_ok=True)
                path.write_bytes(whole)
            with tarfile.open(connected.directory / "climbing.tar", "w") as made:
                made.add(bundle / MANIFEST, MANIFEST)
                made.add(kernel, "mirror/1/../../../kernel")
            self.refused("bundle-tar", lonely, made.name)
            manifest = bundle / MANIFEST
            whole = manifest.read_bytes()
            manifest.chmod(0o644)
            for document in (b"[" * 100_000, whole.replace(b"mirror/1/", b"mirror/1/../")):
                manifest.write_bytes(document)
                self.refused("bundle-manifest", lonely, str(bundle))
            manifest.write_bytes(whole)
            held = {row["name"] for row in lonely.shell("boot-resources", "read")
                    if row["state"] == "published"}  # fmt: skip
            self.assertEqual(held, {"ubuntu/noble"})
            taken, exit_code = self.attempt(lonely, bundle)
            self.assertEqual((exit_code, taken["failed"]), (0, {}))

    def refused(self, code: str, site: Site, bundle: str) -> None:
        with self.assertRaises(ShellFailed) as refused:
            site.shell("boot-resources", "import-bundle", bundle)
        self.assertEqual(refused.exception.error["code"], code)

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


@pytest.mark.slow
@pytest.mark.timeout(900)
class KilledTests(SynchronousTestCase):
    """Whatever is killed on the way: nothing half is visible, and a second run goes on."""

    def begun(self, site: Site, *words: str) -> subprocess.Popen[bytes]:
        """A command that has moved ``BEGUN_BYTES`` of what it is to move."""
        argv = [*rackferry_command(), "--socket", str(site.region_socket), *words]
        process = subprocess.Popen(
            argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
        )
        self.addCleanup(process.kill)
        assert process.stderr is not None
        if not any(line.startswith((b"exporting", b"fetching")) for line in process.stderr):
            raise self.failureException(f"it was over before it could be killed: {words}")
        counter = "wchar" if "export" in words else "rchar"
        first = moved_bytes(process.pid, counter)
        while moved_bytes(process.pid, counter) - first < BEGUN_BYTES:
            self.assertIsNone(process.poll(), "it was over before it could be killed")
        return process

    def kill(self, site: Site, *words: str, is_region: bool) -> None:
        process = self.begun(site, *words)
        if is_region:
            site.region.kill()
        else:
            process.kill()
        process.communicate(timeout=60)
        if is_region:
            self.assertEqual(process.returncode, 3)
            site.region.start()

    def test_killed_on_the_way(self) -> None:
        """Shell and region, at both ends, for a directory and a tar."""
        self.addCleanup(FILES.update, dict(FILES))
        FILES["squashfs"] = LARGE_BYTES
        with connected_site() as connected, lonely_site(connected) as lonely:
            out = connected.directory / "out"
            for place in (out, out.with_suffix(".tar")):
                for is_region in (False, True):
                    words = ("boot-resources", "export", str(place))
                    self.kill(connected, *words, is_region=is_region)
                    self.assertFalse((place / MANIFEST).exists() or place.is_file())
                said = connected.shell("boot-resources", "export", str(place))
                self.assertLess(
                    said["fetched_bytes"], said["size_bytes"] - 2 * BEGUN_BYTES + LOST_BYTES
                )
            self.assertEqual(files_below(out / "mirror" / "1"), signed_files(connected))
            for _ in range(2):
                self.kill(lonely, "boot-resources", "import-bundle", str(out), is_region=False)
                self.assertEqual(lonely.shell("status")["images"]["published"], 0)
            taken = lonely.shell("boot-resources", "import-bundle", str(out))
            self.assertEqual((taken["outcome"], taken["failed"]), ("complete", {}))
            rest_bytes = sum(FILES.values()) - 2 * BEGUN_BYTES
            self.assertTrue(0 < taken["fetched_bytes"] < rest_bytes + 2 * LOST_BYTES, taken)

    def test_a_region_that_is_killed_while_it_reads_a_bundle(self) -> None:
        """The shell waits for it, and the import goes on by itself; all arrives."""
        self.addCleanup(FILES.update, dict(FILES))
        FILES["squashfs"] = LARGE_BYTES
        with connected_site() as connected, lonely_site(connected) as lonely:
            place = connected.directory / "out.tar"
            connected.shell("boot-resources", "export", str(place))
            process = self.begun(lonely, "boot-resources", "import-bundle", str(place))
            lonely.region.kill()
            lonely.region.start()
            _, said = process.communicate(timeout=120)
            self.assertEqual((process.returncode, b"went away" in said), (0, True), said)
            self.assertEqual(lonely.shell("status")["images"]["published"], 1)
            again = lonely.shell("boot-resources", "import-bundle", str(place))
            self.assertEqual((again["outcome"], again["fetched_bytes"]), ("complete", 0))


def moved_bytes(pid: int, counter: str) -> int:
    """How much a process has read (``rchar``) or written (``wchar``), whatever it was."""
    said = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(said[counter])
