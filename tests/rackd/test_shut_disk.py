"""Tests of a rack that starts on a disk that it cannot write."""

import errno
import os
import subprocess
from pathlib import Path
from typing import Any
from unittest import mock

import treq
from twisted.internet import reactor

from common.errors import NoSpace, StorageError
from common.systemd import Supervisor
from common.vocabulary import Question
from rackd import tap
from rackd.follower import LAST_RETRY_S
from rackd.library import Library
from tests.doubles.disks import at_once, mount_tmpfs
from tests.doubles.following import JAMMY, FollowerCase
from tests.doubles.shell_line import ask
from tests.doubles.trust import eventually
from tests.rackd.test_rack_tap import TapCase

_WRITING = os.O_CREAT | os.O_WRONLY | os.O_RDWR


def shut(directory: Path, number: int = errno.EROFS) -> Any:
    """From now on, nothing below ``directory`` can be opened for writing."""
    opened = os.open

    def refuse(path: Any, flags: int, *more: Any) -> int:
        if flags & _WRITING and directory in Path(path).parents:
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, flags, *more)

    return mock.patch("common.durable.os.open", refuse)


def names(directory: Path) -> dict[str, int]:
    """Everything below, and when it changed last."""
    return {str(path): path.lstat().st_ctime_ns for path in directory.rglob("*")}


class ShutDiskTests(FollowerCase):
    """A rack that held a view, restarts."""

    def restarted(self) -> Library:
        """As the daemon starts on it."""
        self.stopped()
        self.library.close()
        library = Library(self.images_dir, on_disk=at_once, on_sync=at_once)
        self.addCleanup(library.close)
        self.assertRaises(StorageError, library.open)
        self.assertTrue(library.look())
        self.library = library
        self.start(library)
        return library

    def assert_comes_back(self, opened: Any) -> None:
        """It serves, says why it does nothing else, and is in step by itself afterwards."""
        digest = self.library.held_view
        before = names(self.images_dir)
        self.assertNotEqual(digest, "")
        self.follower.connected()
        newer = self.region.publish(2, self.image(JAMMY, "kernel2", version="2"))
        self.clock.pump([LAST_RETRY_S] * 10)
        (problem,) = self.events.problems
        self.assertEqual(problem.code, "storage")
        self.assertIn("read-only", problem.remedy)
        self.assertEqual(self.library.held_view, digest)
        self.assertEqual(self.region.syncs[-1][1], digest)
        self.assertIn('"storage"', self.region.syncs[-1][2])
        self.assertEqual(names(self.images_dir), before)
        opened()
        self.clock.advance(LAST_RETRY_S)
        self.fetches.finish_all()
        self.assertEqual((self.library.held_view, self.events.problems), (newer, []))

    def test_any_disk(self) -> None:
        """Whatever can only be read is served unchanged, and taken back when it can be written."""
        self.hold(1, self.image(JAMMY, "kernel"))
        shutting = shut(self.images_dir)
        shutting.start()
        self.addCleanup(mock.patch.stopall)
        self.restarted()
        self.assert_comes_back(shutting.stop)

    def test_damage_found_afterwards(self) -> None:
        """What the look at a start finds is found as soon as the disk can be written."""
        self.hold(1, self.image(JAMMY, "kernel"))
        (self.library.cache / "notes").write_bytes(b"mine")
        with shut(self.images_dir):
            self.restarted()
            self.assertEqual(self.codes(), [])
        self.follower.trigger()
        self.assertEqual(self.codes(), ["foreign-file"])
        self.assertTrue((self.images_dir / "aside" / "notes").exists())

    def test_full_disk(self) -> None:
        """A disk on which not one file can be made any more is opened all the same."""
        self.hold(1, self.image(JAMMY, "kernel"))
        self.stopped()
        self.library.close()
        (self.images_dir / ".lock").touch()
        refused = OSError(errno.ENOSPC, "x")
        with (
            mock.patch("common.durable.has_hard_links", side_effect=NoSpace("full")),
            mock.patch("os.pwrite", side_effect=refused),
        ):
            library = self.opened()
        self.assertTrue(library.is_open)
        self.assertNotEqual(library.held_view, "")

    def test_nothing_to_serve(self) -> None:
        """A directory that shows nothing has nothing that could be served."""
        library = Library(self.images_dir / "none", on_disk=at_once, on_sync=at_once)
        self.assertFalse(library.look())


class ReadOnlyTests(ShutDiskTests):
    """The same on a file system that is mounted read-only."""

    def prepare(self) -> None:
        mount_tmpfs(self, self.images_dir, "size=16m")

    def mounted(self, how: str) -> None:
        argv = ["mount", "-o", f"remount,{how}", str(self.images_dir)]
        subprocess.run(argv, check=True)

    def test_any_disk(self) -> None:
        """A file system that the kernel made read-only is served, and taken back."""
        self.hold(1, self.image(JAMMY, "kernel"))
        self.library.close()
        self.mounted("ro")
        self.restarted()
        self.assert_comes_back(lambda: self.mounted("rw"))


class ShutStartTests(TapCase):
    """The whole daemon."""

    async def test_serves(self) -> None:
        """It starts, machines read, and the problem has a remedy."""
        before = tap.Rack(reactor, self.config(), Supervisor())
        before.startService()
        await eventually(reactor, lambda: before.library.current)
        await before.stopService()
        with shut(self.path / "images"):
            rack = self.started()
            base = f"http://127.0.0.1:{self.port(rack)}"
            response = await treq.get(f"{base}/images/boot.ipxe", persistent=False)
            self.assertTrue((await treq.content(response)).startswith(b"#!ipxe"))
            status = await ask(f"{self.path}/admin.sock", Question("status"))
            (problem,) = [each for each in status["problems"] if each["code"] == "storage"]
            self.assertIn("read-only", problem["remedy"])
