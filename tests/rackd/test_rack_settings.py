"""Settings of a rack: kept, and in effect at once."""

import tempfile
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from common.bandwidth import read_windows
from common.errors import NotFound, StorageError, WrongUsage
from rackd.rack_settings import RackSettings
from tests.doubles.disks import at_once


class RackSettingsTests(SynchronousTestCase):
    """With 1 MiB/s in rackd.toml."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "settings"
        self.clock = Clock()
        self.settings = self.started()

    def started(self) -> RackSettings:
        windows = read_windows("1 MiB/s")
        settings = RackSettings(
            windows, self.path, clock=self.clock, now=self.clock.seconds, on_disk=at_once
        )
        settings.open()
        return settings

    def change(self, **texts: str) -> "Deferred[object]":
        return Deferred.fromCoroutine(self.settings.change(texts))

    def test_the_file_holds_until_something_is_set(self) -> None:
        """And again when that is taken back."""
        self.assertEqual(self.settings.bandwidth, "1 MiB/s")
        self.successResultOf(self.change(bandwidth=" 8 Mbit/s 08:00-18:00,1Gbit/s"))
        self.assertEqual(self.settings.bandwidth, "8 Mbit/s 08:00-18:00, 1 Gbit/s")
        self.successResultOf(self.change(bandwidth=""))
        self.assertEqual(self.settings.bandwidth, "1 MiB/s")
        self.assertEqual(self.settings.one("bandwidth")["default"], "1 MiB/s")

    def test_kept_over_a_restart(self) -> None:
        """What was set holds after the next start."""
        self.successResultOf(self.change(bandwidth="2 MiB/s"))
        self.assertEqual(self.started().bandwidth, "2 MiB/s")

    def test_what_cannot_be_read_is_not_heeded(self) -> None:
        """A damaged file never keeps a rack from starting."""
        for content in (
            b"",
            b"{",
            b'{"bandwidth":"fast"}',
            b'{"bandwidth":3}',
            b'{"x":"y"}',
            b"\xff",
        ):
            self.path.write_bytes(content)
            self.assertEqual(self.started().bandwidth, "1 MiB/s")

    def test_what_cannot_be_kept_is_not_changed(self) -> None:
        """The limit stays what it was, and the error says why."""
        self.path.mkdir()
        self.failureResultOf(self.change(bandwidth="2 MiB/s"), StorageError)
        self.assertEqual(self.settings.bandwidth, "1 MiB/s")

    def test_refused(self) -> None:
        """Wrong names, wrong values, none at all: nothing changes."""
        self.failureResultOf(self.change(band_width="1 MiB/s"), NotFound)
        self.failureResultOf(self.change(bandwidth="fast"), WrongUsage)
        self.failureResultOf(self.change(), WrongUsage)
        self.assertRaises(NotFound, self.settings.one, "x")
        self.assertEqual([row["value"] for row in self.settings.list_all()], ["1 MiB/s"])

    def test_what_waits_says_for_what(self) -> None:
        """Transfers that may not move say until when; nobody waiting is nothing to say."""
        self.successResultOf(self.change(bandwidth="0 00:00-18:00, 0 18:00-12:00"))
        self.assertEqual(self.settings.waiting, "")
        waiting = Deferred.fromCoroutine(self.settings.throttle.allowed(1000, "transfer"))
        self.assertEqual(self.settings.waiting, "bandwidth is 0")
        self.successResultOf(self.change(bandwidth="0 00:00-18:00, 0 18:00-23:00"))
        self.assertEqual(self.settings.waiting, "waiting for the bandwidth window until 23:00")
        self.successResultOf(self.change(bandwidth=""))
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(waiting), 1000)
        self.assertEqual(self.settings.waiting, "")
