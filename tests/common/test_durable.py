"""Tests of the durable file operations, on real files."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from common import durable
from common.errors import ConfigError, NoSpace, StorageError


def _raise(number: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


class DurableCase(SynchronousTestCase):
    """A directory of its own."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())


class WriteTests(DurableCase):
    """Whole files."""

    def test_content_and_mode(self) -> None:
        """A written file has exactly the content and the mode, whatever the umask."""
        old = os.umask(0o077)
        self.addCleanup(os.umask, old)
        durable.write_durably(self.path / "a", b"hello", mode=0o644)
        durable.write_durably(self.path / "b", [b"he", b"", b"llo"], mode=0o600)
        self.assertEqual((self.path / "a").read_bytes(), b"hello")
        self.assertEqual((self.path / "b").read_bytes(), b"hello")
        self.assertEqual((self.path / "a").stat().st_mode & 0o7777, 0o644)
        self.assertEqual((self.path / "b").stat().st_mode & 0o7777, 0o600)

    def test_order(self) -> None:
        """The file is synced before it gets its name, and its directory after."""
        calls = []
        real_fsync, real_rename = os.fsync, Path.rename

        def fsync(fd: int) -> None:
            calls.append("sync directory" if Path(f"/proc/self/fd/{fd}").is_dir() else "sync file")
            real_fsync(fd)

        def rename(source: Path, target: Path) -> Path:
            calls.append("rename")
            return real_rename(source, target)

        with mock.patch("os.fsync", fsync), mock.patch.object(Path, "rename", rename):
            durable.write_durably(self.path / "a", b"x")
        self.assertEqual(calls, ["sync file", "rename", "sync directory"])

    def test_failure_keeps_the_old(self) -> None:
        """When the disk fills up, the old content stays and nothing is left lying about."""
        durable.write_durably(self.path / "a", b"old")
        with mock.patch("os.writev", _raise(errno.ENOSPC)):
            error = self.assertRaises(NoSpace, durable.write_durably, self.path / "a", b"new")
        self.assertEqual(error.object, str(self.path / "a"))
        self.assertEqual((self.path / "a").read_bytes(), b"old")
        self.assertEqual(self.names(), ["a"])

    def test_failed_sync_is_not_repeated(self) -> None:
        """A failed fsync is asked once, reported as such, and the new file does not appear."""
        with mock.patch("os.fsync", side_effect=OSError(errno.EIO, "x")) as fsync:
            error = self.assertRaises(StorageError, durable.write_durably, self.path / "a", b"x")
        self.assertEqual(error.code, "storage-sync")
        self.assertEqual(fsync.call_count, 1)
        self.assertEqual(self.names(), [])

    def test_symlink_is_replaced_not_followed(self) -> None:
        """Writing over a planted symbolic link leaves its target alone."""
        (self.path / "victim").write_bytes(b"mine")
        (self.path / "a").symlink_to("victim")
        durable.write_durably(self.path / "a", b"x")
        self.assertEqual((self.path / "victim").read_bytes(), b"mine")
        self.assertFalse((self.path / "a").is_symlink())

    def test_short_writes(self) -> None:
        """However little each write takes, everything is written, in order."""
        real = os.writev

        def stingy(fd: int, parts: list[memoryview]) -> int:
            return real(fd, [bytes(parts[0][:3])])

        with mock.patch("os.writev", stingy):
            durable.write_durably(self.path / "a", [b"0123456789", b"ab", b"cdef"])
        self.assertEqual((self.path / "a").read_bytes(), b"0123456789abcdef")


class ErrorTests(DurableCase):
    """What the operating system's errors become."""

    def test_families(self) -> None:
        """Full disk and quota are NoSpace, all else StorageError; each names path and remedy."""
        for number, family in (
            (errno.ENOSPC, NoSpace),
            (errno.EDQUOT, NoSpace),
            (errno.EROFS, StorageError),
            (errno.EACCES, StorageError),
            (errno.EIO, StorageError),
        ):
            with self.assertRaises(family) as caught, durable.storage_errors(self.path, "write"):
                _raise(number)()
            self.assertIs(type(caught.exception), family)
            self.assertEqual(caught.exception.object, str(self.path))
            self.assertIn(os.strerror(number), caught.exception.message)
            self.assertTrue(caught.exception.remedy)

    def test_unwritable(self) -> None:
        """A directory without write permission is one clear error."""
        if os.geteuid() == 0:
            self.path.chmod(0o755)
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        else:
            self.path.chmod(0o555)
            self.addCleanup(self.path.chmod, 0o755)
        error = self.assertRaises(StorageError, durable.make_directory, self.path / "a" / "b")
        self.assertIn("Permission denied", error.message)
        self.assertIn("permission", error.remedy)

    def test_really_full(self) -> None:
        """On a really full file system, writing is NoSpace and leaves nothing behind."""
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.path)]
        try:
            mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            mounted = False
        if not mounted:
            raise SkipTest("cannot mount a tmpfs here")
        self.addCleanup(subprocess.run, ["umount", str(self.path)], check=True)
        self.assertRaises(NoSpace, durable.write_durably, self.path / "a", bytes(2 << 20))
        self.assertEqual(self.names(), [])


class DirectoryTests(DurableCase):
    """Making and removing."""

    def test_modes(self) -> None:
        """Only the last directory gets the asked-for mode; one that exists is left as it is."""
        durable.make_directory(self.path / "a" / "b", 0o700)
        self.assertEqual((self.path / "a").stat().st_mode & 0o777, 0o755)
        self.assertEqual((self.path / "a" / "b").stat().st_mode & 0o777, 0o700)
        durable.make_directory(self.path / "a" / "b", 0o755)
        self.assertEqual((self.path / "a" / "b").stat().st_mode & 0o777, 0o700)

    def test_occupied(self) -> None:
        """A file where a directory should be is a StorageError, and stays."""
        (self.path / "a").write_bytes(b"x")
        self.assertRaises(StorageError, durable.make_directory, self.path / "a")
        self.assertRaises(StorageError, durable.make_directory, self.path / "a" / "b")
        self.assertEqual((self.path / "a").read_bytes(), b"x")

    def test_remove_follows_nothing(self) -> None:
        """Removing a tree removes links in it, never what they point to; twice is fine."""
        (self.path / "tree").mkdir()
        (self.path / "other").mkdir()
        (self.path / "other" / "f").write_bytes(b"x")
        (self.path / "tree" / "link").symlink_to(self.path / "other")
        durable.remove_tree(self.path / "tree")
        durable.remove_tree(self.path / "tree")
        durable.remove_file(self.path / "never-was")
        self.assertTrue((self.path / "other" / "f").exists())
        self.assertEqual(self.names(), ["other"])


class NameTests(DurableCase):
    """Links and renames."""

    def test_new_symlink(self) -> None:
        """A link is made only where nothing is."""
        durable.make_symlink(self.path / "link", "a/b")
        self.assertEqual(str((self.path / "link").readlink()), "a/b")
        self.assertRaises(StorageError, durable.make_symlink, self.path / "link", "c")
        self.assertEqual(str((self.path / "link").readlink()), "a/b")

    def test_symlink_flips(self) -> None:
        """A link is replaced in one rename: it resolves at every moment."""
        durable.replace_symlink(self.path / "current", "one")
        seen = []
        real = Path.rename

        def rename(source: Path, target: Path) -> Path:
            seen.append(str((self.path / "current").readlink()))
            return real(source, target)

        with mock.patch.object(Path, "rename", rename):
            durable.replace_symlink(self.path / "current", "two")
        self.assertEqual(seen, ["one"])
        self.assertEqual(str((self.path / "current").readlink()), "two")
        self.assertEqual(self.names(), ["current"])

    def test_symlink_spares_others(self) -> None:
        """Something that is no link is never replaced by one."""
        (self.path / "current").write_bytes(b"x")
        self.assertRaises(StorageError, durable.replace_symlink, self.path / "current", "two")
        self.assertEqual((self.path / "current").read_bytes(), b"x")

    def test_hard_link(self) -> None:
        """A hard link is the same file; again is fine; another file of the name is refused."""
        (self.path / "a").write_bytes(b"x")
        (self.path / "c").write_bytes(b"y")
        durable.hard_link(self.path / "a", self.path / "b")
        durable.hard_link(self.path / "a", self.path / "b")
        self.assertTrue((self.path / "a").samefile(self.path / "b"))
        self.assertRaises(StorageError, durable.hard_link, self.path / "c", self.path / "b")

    def test_set_aside(self) -> None:
        """Things put aside keep their content and never overwrite one another."""
        for content in (b"1", b"2"):
            (self.path / "odd").write_bytes(content)
            durable.set_aside(self.path / "odd", self.path / "aside")
        (self.path / "odd").symlink_to("/nowhere")
        durable.set_aside(self.path / "odd", self.path / "aside")
        self.assertEqual((self.path / "aside" / "odd").read_bytes(), b"1")
        self.assertEqual((self.path / "aside" / "odd.1").read_bytes(), b"2")
        self.assertTrue((self.path / "aside" / "odd.2").is_symlink())

    def test_probe(self) -> None:
        """The probe tells whether hard links work, and leaves nothing behind."""
        self.assertTrue(durable.has_hard_links(self.path, self.path))
        with mock.patch("os.link", _raise(errno.EPERM)):
            self.assertFalse(durable.has_hard_links(self.path, self.path))
        self.assertEqual(self.names(), [])


class OpenTests(DurableCase):
    """Files that grow."""

    def test_refuses_what_is_not_plain(self) -> None:
        """Links, second names, devices and directories are refused, and stay untouched."""
        (self.path / "victim").write_bytes(b"mine")
        (self.path / "link").symlink_to("victim")
        os.link(self.path / "victim", self.path / "second")
        os.mkfifo(self.path / "fifo")
        (self.path / "directory").mkdir()
        for name in ("link", "second", "fifo", "directory"):
            self.assertRaises(StorageError, durable.open_partial, self.path / name)
        self.assertRaises(StorageError, durable.open_for_reading, self.path / "link")
        self.assertEqual((self.path / "victim").read_bytes(), b"mine")

    def test_finish(self) -> None:
        """A finished file has its final name and is read-only; the old name is gone."""
        fd = durable.open_partial(self.path / "a.part")
        durable.write_all(fd, [b"abc", b"def"], self.path / "a.part")
        durable.truncate(fd, 4, self.path / "a.part")
        durable.write_all(fd, [b"X"], self.path / "a.part")
        durable.finish_file(fd, self.path / "a.part", self.path / "a")
        os.close(fd)
        self.assertEqual((self.path / "a").read_bytes(), b"abcdX")
        self.assertEqual((self.path / "a").stat().st_mode & 0o7777, 0o444)
        self.assertEqual(self.names(), ["a"])


class LockTests(DurableCase):
    """One process at a time."""

    def test_second_process(self) -> None:
        """A second process is refused with the number of the first, until that one ends."""
        code = (
            "import sys; from pathlib import Path; from common import durable;"
            "durable.lock_directory(Path(sys.argv[1])); print('held', flush=True);"
            "sys.stdin.read()"
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", code, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(durable.__file__).parents[1])},
        )
        self.addCleanup(holder.wait)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.kill)
        self.assertEqual(holder.stdout.readline(), b"held\n")
        error = self.assertRaises(ConfigError, durable.lock_directory, self.path)
        self.assertEqual(error.code, "locked")
        self.assertIn(f"process {holder.pid}", error.message)
        holder.communicate()
        durable.lock_directory(self.path).release()

    def test_release(self) -> None:
        """A released lock can be taken again, and released twice."""
        lock = durable.lock_directory(self.path)
        self.assertRaises(ConfigError, durable.lock_directory, self.path)
        lock.release()
        lock.release()
        durable.lock_directory(self.path).release()

    def test_without_a_file_of_its_own(self) -> None:
        """A directory is locked as it is; where there are no locks, nobody is kept out."""
        first, second = durable.open_directory(self.path), durable.open_directory(self.path)
        try:
            self.assertTrue(durable.try_lock(first, self.path))
            self.assertFalse(durable.try_lock(second, self.path))
            self.assertEqual(self.names(), [])
            with mock.patch.object(durable.fcntl, "flock", _raise(errno.ENOLCK)):
                self.assertTrue(durable.try_lock(second, self.path))
            with mock.patch.object(durable.fcntl, "flock", _raise(errno.EIO)):
                self.assertRaises(StorageError, durable.try_lock, second, self.path)
        finally:
            os.close(first)
        self.assertTrue(durable.try_lock(second, self.path))
        os.close(second)
