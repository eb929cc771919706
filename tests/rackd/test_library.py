"""Tests of the image directory: looking, putting aside, deleting, locking."""

import errno
import os
from pathlib import Path
from unittest import mock

import attrs

from common import durable
from common.digests import sha256_hex
from common.errors import ConfigError, IntegrityError, NoSpace, StorageError
from common.images import File
from rackd.filesystem import file_system_of
from rackd.library import Library
from rackd.partials import keep_whole
from rackd.planning import ARCHIVE, CleanUp, plan
from rackd.records import HeldImage, Record
from tests.doubles.disks import LibraryCase, at_once
from tests.doubles.images import image_of
from tests.doubles.tarballs import tarball

KEY = "ubuntu/amd64/ga-22.04/jammy/stable"
NOW_S = 1_795_295_000.0
FIRST = "snapshot-20261121-210320-g1"


class LibraryTests(LibraryCase):
    """What is on the disk, and what is not ours."""

    def record(self, word: bytes = b"kernel", generation: int = 1) -> Record:
        file = self.put("boot-kernel", word)
        made = plan([image_of(KEY, file)], self.library.survey().holdings)
        held = HeldImage(KEY, "20261121", file.size_bytes)
        return Record(generation, "ab" * 32, (held,), made.layout.held_files)

    def test_foreign_in_snapshot(self) -> None:
        """What somebody put into a snapshot is put aside at start and before deletion."""
        self.library.publish(self.record(), NOW_S)
        directory = self.images_dir / FIRST
        (directory / "notes.txt").write_bytes(b"1")
        (directory / "ubuntu" / "extra").mkdir()
        self.reopened()
        self.assertEqual(
            sorted(path.name for path in (self.images_dir / "aside").iterdir()),
            ["extra", "notes.txt"],
        )
        (directory / "late.txt").write_bytes(b"2")
        gone = self.library.discard(CleanUp(snapshots=(FIRST,)))
        self.assertEqual([each.path.name for each in gone], ["late.txt"])
        self.assertEqual((self.images_dir / "aside" / "late.txt").read_bytes(), b"2")
        self.assertFalse(directory.exists())

    def test_what_cannot_be_shown_leaves_nothing(self) -> None:
        """However often it is tried, the trees are those that there were."""
        self.library.publish(self.record(), NOW_S)
        (self.images_dir / "current").unlink()
        (self.images_dir / "current").mkdir()
        for generation in (2, 3):
            record = self.record(generation=generation)
            self.assertRaises(StorageError, self.library.publish, record, NOW_S + generation)
        self.assertEqual([path.name for path in self.images_dir.glob("*snapshot-*")], [FIRST])

    def test_discard(self) -> None:
        """Deleting takes exactly what is named."""
        keep, drop = self.put("a", b"a"), self.put("b", b"b")
        partial = self.images_dir / "partial" / ("cd" * 32 + ".part")
        partial.write_bytes(b"12345")
        self.library.discard(CleanUp((), (drop.sha256,), ("cd" * 32,)))
        holdings = self.library.survey().holdings
        self.assertEqual((set(holdings.cache), holdings.partials), ({keep.sha256}, {}))

    def test_distrust(self) -> None:
        """A blob of a wrong size is planned to be put aside and fetched again."""
        file = self.put("boot-kernel", b"kernel")
        path = self.library.cache / file.sha256
        path.chmod(0o644)
        path.write_bytes(b"shorter"[:3])
        made = plan([image_of(KEY, file)], self.library.survey().holdings)
        self.assertEqual(made.suspect, (file.sha256,))
        self.library.distrust(made.suspect)
        self.assertEqual(self.library.survey().holdings.cache, {})
        self.assertEqual((self.images_dir / "aside" / file.sha256).read_bytes(), b"sho")

    def archived(self, *members: tuple[str, bytes]) -> File:
        return attrs.evolve(self.put("a.tar.xz", tarball(*members)), ftype=ARCHIVE)

    def test_unpack(self) -> None:
        """Members become blobs like any other: named by content, 0444, durable before named."""
        seen: list[str] = []
        finish = durable.finish_file

        def finished(fd: int, path: Path, target: Path) -> None:
            seen.append(f"{path.parent.name} -> {target.parent.name}")
            finish(fd, path, target)

        with mock.patch.object(durable, "finish_file", finished):
            archive = self.archived(("grubx64.efi", b"grub"), ("a/b", b"grub"), ("c", b"c"))
            members = self.library.unpack(archive)
        self.assertEqual([member.path for member in members], ["a/b", "c", "grubx64.efi"])
        for member in members:
            blob = self.library.cache / member.sha256
            self.assertEqual(sha256_hex(blob.read_bytes()), member.sha256)
            self.assertEqual(blob.stat().st_mode & 0o777, 0o444)
        self.assertEqual(seen, ["partial -> cache"] * 3)
        self.assertEqual(self.library.survey().holdings.partials, {})
        with mock.patch.object(durable, "finish_file", side_effect=AssertionError("again")):
            self.assertEqual(self.library.unpack(archive), members)

    def test_made_anew(self) -> None:
        """A member that is gone or cut is made again from its archive."""
        archive = self.archived(("grubx64.efi", b"grub"))
        (member,) = self.library.unpack(archive)
        blob = self.library.cache / member.sha256
        for damage in (lambda: None, lambda: blob.write_bytes(b"gr")):
            blob.unlink()
            damage()
            self.library.unpack(archive)
            self.assertEqual(blob.read_bytes(), b"grub")

    def test_killed_while_unpacking(self) -> None:
        """What a kill left of a member is begun anew, and is never taken for the member."""
        archive = self.archived(("grubx64.efi", b"grub"))
        partial = self.images_dir / "partial" / f"{sha256_hex(b'grub')}.part"
        partial.write_bytes(b"garbage that is longer")
        self.reopened()
        self.library.unpack(archive)
        self.assertEqual((self.library.cache / sha256_hex(b"grub")).read_bytes(), b"grub")
        self.assertFalse(partial.exists())

    def test_full_while_unpacking(self) -> None:
        """A full disk is that, and no fault of the archive."""
        archive = self.archived(("grubx64.efi", b"grub"))
        with mock.patch("os.writev", side_effect=OSError(errno.ENOSPC, "x")):
            self.assertRaises(NoSpace, self.library.unpack, archive)

    def test_keep(self) -> None:
        """What is made here is a blob, too."""
        self.library.keep([b"menu"])
        self.assertEqual(set(self.library.survey().holdings.cache), {sha256_hex(b"menu")})

    def test_modes(self) -> None:
        """Directories are 0755, whatever the umask: tftpd and nginx read them."""
        old = os.umask(0o077)
        self.addCleanup(os.umask, old)
        self.library.publish(self.record(), NOW_S)
        for path in self.images_dir.rglob("*"):
            if path.is_dir():
                self.assertEqual(path.stat().st_mode & 0o777, 0o755, path)

    def test_held_view(self) -> None:
        """A rack knows after a restart which view it holds, and not one that is damaged."""
        self.assertEqual(self.library.held_view, "")
        self.library.publish(self.record(), NOW_S)
        self.assertEqual(self.reopened().held_view, "ab" * 32)
        (self.images_dir / FIRST / KEY / "boot-kernel").unlink()
        self.assertEqual(self.reopened().held_view, "")
        self.assertIsNotNone(self.library.current)

    def test_other_recipe(self) -> None:
        """A tree whose generated files were made by other rules is served, and not held."""
        self.library.publish(self.record(), NOW_S)
        self.library.recipe = "other"
        self.assertEqual(self.library.held_view, "")
        self.assertIsNotNone(self.library.current)

    def test_keep_only_what_it_is(self) -> None:
        """Bytes that are not what their name says never get it."""
        partial, finished = self.images_dir / "partial" / "x.part", self.library.cache / ("0" * 64)
        self.assertRaises(IntegrityError, keep_whole, partial, finished, [b"1"])
        self.assertFalse(finished.exists())


class OpenTests(LibraryCase):
    """What stops a start."""

    def test_locked(self) -> None:
        """A directory in use by another rackd is refused."""
        error = self.assertRaises(ConfigError, self.opened)
        self.assertEqual(error.code, "locked")

    def test_no_hard_links(self) -> None:
        """A file system without hard links is refused with its name."""
        self.library.close()
        with mock.patch("os.link", side_effect=OSError(errno.EPERM, "x")):
            error = self.assertRaises(ConfigError, self.opened)
        self.assertEqual(error.code, "no-hard-links")
        self.assertRegex(error.message, r"no hard links: \w+ on /")

    def test_unwritable(self) -> None:
        """A directory that cannot be made is one error that names it."""
        path = self.images_dir / "cache" / "x"
        path.write_bytes(b"")
        library = Library(path / "images", on_disk=at_once, on_sync=at_once)
        error = self.assertRaises(StorageError, library.open)
        self.assertIn(str(path), error.object)


class FileSystemTests(LibraryCase):
    """Which file system a path is on."""

    def test_mountinfo(self) -> None:
        """The longest mount point above a path counts, spaces in it included."""
        mounts = (
            "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
            "30 22 0:30 / /srv/a\\040b rw - vfat /dev/sdb1 rw\n"
            "31 22 0:31 / /srv rw - xfs /dev/sdc1 rw\n"
            "nonsense\n"
        )
        for path, expected in {
            "/srv/a b/images": "vfat on /srv/a b",
            "/srv/a": "xfs on /srv",
            "/srv": "xfs on /srv",
            "/srvx": "ext4 on /",
        }.items():
            self.assertEqual(file_system_of(path, mounts), expected)
        self.assertEqual(file_system_of("/x", ""), "an unknown file system")
