"""The systemd units: systemd finds nothing to say, and they say what the daemons need."""

import configparser
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from common.config import RackdConfig, RegiondConfig, default_path

UNITS = Path(__file__).resolve().parents[2] / "systemd"
DAEMONS = {"regiond": RegiondConfig, "rackd": RackdConfig}
ANALYZE = shutil.which("systemd-analyze")

needs_systemd = unittest.skipUnless(ANALYZE, "systemd-analyze is not installed")


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ANALYZE), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def _service(daemon: str) -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNITS / f"{daemon}.service")
    return unit["Service"]


class UnitTests(SynchronousTestCase):
    """Both service units."""

    @needs_systemd
    def test_verify_is_silent(self) -> None:
        """systemd-analyze verify has nothing to say about either unit."""
        for daemon in DAEMONS:
            with tempfile.TemporaryDirectory() as directory:
                # The daemons are not installed at /opt here; what runs does not matter.
                text = (UNITS / f"{daemon}.service").read_text()
                unit = Path(directory) / f"{daemon}.service"
                unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
                done = _analyze("verify", str(unit))
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""), daemon)

    @needs_systemd
    def test_exposure_is_low(self) -> None:
        """The exposure that systemd computes is at most 1.5."""
        for daemon in DAEMONS:
            unit = str(UNITS / f"{daemon}.service")
            if "unrecognized option" in _analyze("security", "--offline=true", unit).stderr:
                raise unittest.SkipTest("this systemd-analyze has no offline analysis")
            done = _analyze("security", "--offline=true", "--threshold=15", "--json=short", unit)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertTrue(json.loads(done.stdout), daemon)

    def test_what_the_daemons_need(self) -> None:
        """Each unit waits for READY, guards with a watchdog and names the default file."""
        for daemon, kind in DAEMONS.items():
            service = _service(daemon)
            self.assertEqual(service["Type"], "notify")
            self.assertEqual(service["NotifyAccess"], "main")
            self.assertEqual(service["WatchdogSec"], "30")
            self.assertEqual(service["Restart"], "always")
            self.assertTrue(
                service["ExecStart"].endswith(
                    f"/twistd -n --pidfile= {daemon} --config {default_path(kind)}"
                )
            )
            state = f"/var/lib/{service['StateDirectory']}"
            self.assertEqual(str(kind().state_dir), state)
            self.assertIn(f"/run/{service['RuntimeDirectory']}/", kind().listen.admin)

    def test_the_allocator_is_tuned(self) -> None:
        """Each unit sets the four variables that keep 1 MiB chunks in the heap."""
        for daemon in DAEMONS:
            text = (UNITS / f"{daemon}.service").read_text()
            variables = dict(re.findall(r"(?m)^Environment=(\w+)=(\d+)$", text))
            self.assertEqual(
                variables,
                {
                    "MALLOC_MMAP_THRESHOLD_": str(64 * 2**20),
                    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
                    "MALLOC_TOP_PAD_": str(64 * 2**20),
                    "MALLOC_ARENA_MAX": "2",
                },
            )

    def test_tls_callbacks_stay_possible(self) -> None:
        """No unit forbids writable code: pyOpenSSL could then not check a certificate."""
        for daemon in DAEMONS:
            self.assertNotIn("MemoryDenyWriteExecute", _service(daemon))

    def test_users_exist_in_sysusers(self) -> None:
        """Every user of a unit is made by the sysusers file."""
        lines = (UNITS / "rackferry.sysusers.conf").read_text().splitlines()
        users = {line.split()[1] for line in lines if line.startswith("u ")}
        self.assertEqual(users, {_service(daemon)["User"] for daemon in DAEMONS})

    def test_images_are_readable_for_others(self) -> None:
        """Boot servers such as nginx can walk to a rack's images; a region's keys are closed to all."""
        self.assertEqual(int(_service("rackd")["StateDirectoryMode"], 8) & 0o005, 0o005)
        self.assertEqual(int(_service("regiond")["StateDirectoryMode"], 8), 0o700)
        self.assertTrue(os.fspath(RackdConfig().images_dir).startswith("/var/lib/rackd/"))
