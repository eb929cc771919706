"""Somebody sets the clock back by hours while the daemons run: their timers go on.

Both feed systemd's watchdog by a timer of a second, as every other that they have; one that
followed the time of day would be silent until the old time has come again.
"""

import contextlib
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.processes import ROOT, Daemon, ProcessFailed
from tests.integration.site import Site

FEEDS = 3
LIMIT_S = 60.0
WATCHDOG_S = 2
# Python reads it before anything else, so Twisted has this clock from its first import on.
SET_CLOCK = """
import os, time
real = time.time
time.time = lambda: real() - 4 * 3600 * os.path.exists({flag!r})
"""


class SetClockTests(SynchronousTestCase):
    """A region and a rack whose clock this test can set."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rf-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.site = stack.enter_context(Site(self.directory / "site"))
        self.site.write_rack_config()
        self.flag = self.directory / "set"
        first = self.directory / "first"
        first.mkdir()
        (first / "sitecustomize.py").write_text(SET_CLOCK.format(flag=str(self.flag)))
        for daemon in (self.site.region, self.site.rack):
            daemon.settings |= {
                "PYTHONPATH": f"{first}:{ROOT / 'src'}:{ROOT}",
                "WATCHDOG_USEC": str(WATCHDOG_S * 1_000_000),
            }

    def fed(self, daemon: Daemon) -> None:
        """It feeds the watchdog once more."""
        while daemon.notice(LIMIT_S) != b"WATCHDOG=1":
            pass

    def forget_notices(self, daemon: Daemon) -> None:
        """What it said before counts no more."""
        with contextlib.suppress(ProcessFailed):
            while daemon.notice(0.01):
                pass

    @pytest.mark.timeout(300)
    def test_timers_go_on(self) -> None:
        """Both feed the watchdog again and again after their clock was set back."""
        for daemon in (self.site.region, self.site.rack):
            daemon.start()
            self.fed(daemon)
        self.flag.touch()
        for daemon in (self.site.region, self.site.rack):
            self.forget_notices(daemon)
            # One may have been on its way.
            for _ in range(1 + FEEDS):
                self.fed(daemon)
