"""The commands of MAAS's documentation, and a script as people have them, run unchanged."""

import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.maas_stream import write_stream
from tests.integration.processes import environment
from tests.integration.shells import rackferry_command
from tests.integration.site import Site

# Every command of the page "CLI Image Management" (documentation of MAAS 2.5), in its order
# and as printed there.
PAGE = """
maas $PROFILE boot-sources read
maas $PROFILE boot-source-selections create $SOURCE_ID \
    os="ubuntu" release="$SERIES" arches="$ARCH" \
    subarches="$KERNEL" labels="*"
maas $PROFILE boot-source-selections create 1 \
    os="ubuntu" release="trusty" arches="amd64" \
    subarches="*" labels="*"
maas $PROFILE boot-source-selections create 1 \
    os="ubuntu" release="trusty" arches="amd64" \
    subarches="hwe-x" labels="*"
maas $PROFILE boot-source-selections create 1 \
    os="ubuntu" release="xenial" arches="amd64" \
    subarches="hwe-16.04" labels="*"
maas $PROFILE boot-source-selections read $SOURCE_ID
maas $PROFILE boot-resources import
maas $PROFILE boot-resources read
maas $PROFILE boot-source delete $SOURCE_ID
maas $PROFILE boot-source update $SOURCE_ID \
    url=$URL keyring_filename=$KEYRING_FILE
maas $PROFILE boot-sources create \
    url=$URL keyring_filename=$KEYRING_FILE
"""
SCRIPT = """
set -eu
maas login admin http://localhost:5240/MAAS - < /dev/null
SOURCE=$(maas admin boot-sources create url=$URL keyring_filename="" keyring_data@=$KEYRING \
    | grep '"id"' | tr -dc 0-9)
maas admin boot-source-selections create $SOURCE os=ubuntu release=jammy \
    arches=amd64 subarches=ga-22.04 subarches=hwe-22.04 labels='*' > /dev/null
maas admin maas set-config name=boot_images_auto_import value=false
maas admin boot-resources import
while [ "$(maas admin boot-resources is-importing)" = true ]; do sleep 0.2; done
RACK=$(maas admin rack-controllers read | grep system_id | awk -F\\" '{print $4}' | uniq)
maas admin rack-controller import-boot-images $RACK
while [ $(maas admin rack-controller list-boot-images $RACK | grep status \
    | awk -F\\" '{print $4}') != synced ]; do sleep 0.2; done
maas admin maas get-config name=boot_images_auto_import
maas admin rack-controller list-boot-images $RACK
"""


class SourceCase(SynchronousTestCase):
    """A region beside a source that offers what the documentation names."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="rackferry-")
        self.addCleanup(directory.cleanup)
        self.site = Site(Path(directory.name))
        self.addCleanup(self.site.close)
        write_stream(self.site.tree, self.site.key)
        for other in ("mirror", "spare", "third"):
            (self.site.tree / other).symlink_to(".")
        self.site.region.start()

    def images(self) -> dict[str, str]:
        """The images that are published: name and architecture to label."""
        rows = self.site.shell("boot-resources", "read")
        return {
            f"{row['name']} {row['architecture']}": row["label"]
            for row in rows
            if row["state"] == "published"
        }


class PageCase(SourceCase):
    """The page, run with what stands in for ``maas $PROFILE``."""

    prefix: ClassVar[list[str]]

    def run_page(self) -> list[str]:
        """Run the page's commands in order; what each printed. Each has to exit with 0."""
        site = self.site
        url = site.serve()
        site.create_source()
        spare = site.create_source(f"{url}spare/")
        values = {
            "SERIES": "jammy",
            "ARCH": "amd64",
            "KERNEL": "ga-22.04",
            "KEYRING_FILE": str(site.key.keyring),
            "URL": f"{url}mirror/",
        }
        printed = []
        for line in PAGE.strip().split("\n"):
            given = values | {"SOURCE_ID": str(spare if " delete " in line else 1)}
            if "boot-sources create" in line:
                given["URL"] = f"{url}third/"
            for name, value in given.items():
                line = line.replace(f"${name}", value)  # noqa: PLW2901  (as a shell does)
            if "hwe-x" in line:
                # "Just" that kernel, instead of all: MAAS, too, has one selection per release.
                site.shell("boot-source-selection", "delete", "1", "2")
            _, _, *words = shlex.split(line)
            printed.append(site.shell_text(*self.prefix, *words))
            if "boot-resources import" in line:
                site.shell("boot-resources", "import", "wait")
        return printed

    def check_effect(self) -> None:
        """What the page wants is what there is."""
        self.assertEqual(
            set(self.images()),
            {
                "ubuntu/jammy amd64/ga-22.04",
                "ubuntu/trusty amd64/hwe-x",
                "ubuntu/xenial amd64/hwe-16.04",
                "grub-efi-signed/uefi amd64/generic",
                "pxelinux/pxe i386/generic",
            },
        )
        sources = {row["id"]: row["url"] for row in self.site.shell("boot-sources", "read")}
        url = self.site.serve()
        self.assertEqual(sources, {1: f"{url}mirror/", 3: f"{url}third/"})
        again = self.site.shell("boot-resources", "import", "wait")
        self.assertEqual(again["fetched_bytes"], 0)
        self.assertEqual(len(self.images()), 5)


class AsRackferryTests(PageCase):
    prefix: ClassVar[list[str]] = []

    def test_the_page_without_maas_and_profile(self) -> None:
        """Each command works as printed, with ``rackferry`` for ``maas $PROFILE``."""
        printed = self.run_page()
        self.assertIn("hwe-16.04", printed[5])
        self.assertIn("ubuntu/trusty", printed[7])
        self.check_effect()


class AsMaasTests(PageCase):
    prefix: ClassVar[list[str]] = ["maas", "admin"]

    def test_the_page_under_the_name_of_maas(self) -> None:
        """Each command works as printed, and answers as MAAS does."""
        printed = self.run_page()
        self.check_effect()
        sources: Any = json.loads(printed[0])
        self.assertEqual(sources[0]["resource_uri"], "/MAAS/api/2.0/boot-sources/1/")
        selections = json.loads(printed[5])
        self.assertEqual(
            [(each["release"], each["subarches"]) for each in selections],
            [
                ("jammy", ["ga-22.04"]),
                ("trusty", ["hwe-x"]),
                ("xenial", ["hwe-16.04"]),
            ],
        )
        self.assertEqual({each["boot_source_id"] for each in selections}, {1})
        self.assertEqual(printed[6], "Import of boot resources started\n")
        resources = {each["name"]: each for each in json.loads(printed[7])}
        self.assertEqual(resources["ubuntu/xenial"]["type"], "Synced")
        self.assertEqual(printed[8], "")
        self.assertTrue(json.loads(printed[9])["url"].endswith("/mirror/"))
        self.assertEqual(json.loads(printed[10])["id"], 3)
        trusty = self.site.shell_text(
            "maas", "admin", "boot-resource", "read", str(resources["ubuntu/trusty"]["id"])
        )
        (found,) = json.loads(trusty)["sets"].values()
        self.assertTrue(found["complete"])
        self.assertEqual(set(found["files"]), {"boot-kernel", "boot-initrd", "squashfs"})


@pytest.mark.timeout(300)
class ScriptTests(SourceCase):
    def test_a_script_runs_unchanged(self) -> None:
        """Login, select, import, wait for region and rack, with grep and awk on the JSON."""
        site = self.site
        site.enrol()
        site.rack.start()
        function = f'maas() {{ {shlex.join(rackferry_command())} maas "$@"; }}\n'
        done = subprocess.run(
            ["/bin/sh", "-c", function + SCRIPT],
            env=environment(
                URL=site.serve(),
                KEYRING=str(site.key.keyring),
                RACKFERRY_SOCKET=str(site.region_socket),
                PATH=os.environ["PATH"],
            ),
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        first, second, third, fourth, rest = done.stdout.split("\n", 4)
        self.assertEqual(
            [first, second, third, fourth],
            [
                "OK",
                "Import of boot resources started",
                "Import of boot images started on rack-1",
                "false",
            ],
        )
        held = json.loads(rest)
        self.assertEqual((held["status"], held["connected"]), ("synced", True))
        self.assertIn(
            {
                "name": "ubuntu/jammy",
                "architecture": "amd64",
                "subarches": ["ga-22.04", "hwe-22.04"],
            },
            held["images"],
        )
