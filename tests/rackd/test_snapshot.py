"""Tests of snapshots: built out of sight, flipped in one step, recovered after a kill."""

import errno
import os
from pathlib import Path
from unittest import mock

from common.errors import StorageError
from rackd import snapshot
from rackd.records import RECORD_NAME, HeldFile, Record
from tests.doubles.disks import LibraryCase

NOW_S = 1_795_295_000.0
PATH = "ubuntu/amd64/ga-22.04/jammy/stable/boot-kernel"
ALIAS = "ubuntu/amd64/generic/jammy/stable/boot-kernel"
LINK = "lpxelinux.0"


class SnapshotCase(LibraryCase):
    """A blob in the cache."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.put("boot-kernel", b"kernel")
        self.cache = self.library.cache

    def record(self, generation: int = 1) -> Record:
        held = HeldFile(self.file.sha256, 6)
        files = {PATH: held, ALIAS: held}
        return Record(generation, f"{generation:064x}", (), files, {LINK: PATH})

    def build(self, generation: int = 1, later_s: float = 0) -> snapshot.Snapshot:
        return snapshot.build(self.images_dir, self.cache, self.record(generation), NOW_S + later_s)

    def recover(self) -> snapshot.Recovered:
        return snapshot.recover(self.images_dir, self.cache)


class BuildTests(SnapshotCase):
    """Building and showing."""

    def test_tree(self) -> None:
        """Every path is a hard link to its blob, and the record says which view it is."""
        built = self.build()
        directory = self.images_dir / built.name
        blob = (self.cache / self.file.sha256).stat().st_ino
        self.assertEqual((directory / PATH).stat().st_ino, blob)
        self.assertEqual((directory / ALIAS).stat().st_ino, blob)
        self.assertEqual(str((directory / LINK).readlink()), PATH)
        self.assertEqual((directory / LINK).read_bytes(), b"kernel")
        self.assertEqual(snapshot.read_record(directory), self.record())

    def test_named_last(self) -> None:
        """A snapshot gets its name only after all directories are synced, and is not shown yet."""
        seen: list[str] = []
        real_sync, real_rename = snapshot.durable.sync_directory, snapshot.durable.rename_durably

        def sync(path: Path) -> None:
            seen.append(f"sync {path.name}")
            real_sync(path)

        def rename(source: Path, target: Path) -> None:
            seen.append(f"rename {target.name}")
            real_rename(source, target)

        with (
            mock.patch.object(snapshot.durable, "sync_directory", sync),
            mock.patch.object(snapshot.durable, "rename_durably", rename),
        ):
            built = self.build()
        at = seen.index(f"rename {built.name}")
        self.assertIn("sync stable", seen[:at])
        self.assertIn(f"sync .building-{built.name}", seen[:at])
        self.assertFalse(os.path.lexists(self.images_dir / "current"))

    def test_incomplete(self) -> None:
        """A snapshot with a missing blob never gets its name, and the old one stays shown."""
        old = self.build()
        snapshot.flip(self.images_dir, old.name)
        (self.cache / self.file.sha256).unlink()
        self.assertRaises(StorageError, self.build, 2, 10)
        self.assertEqual(snapshot.snapshot_names(self.images_dir), [old.name])
        self.assertEqual((self.images_dir / "current" / PATH).read_bytes(), b"kernel")
        self.assertEqual(list(self.images_dir.glob(".building-*")), [])

    def test_same_second(self) -> None:
        """Two snapshots of one second get two names."""
        self.assertNotEqual(self.build().name, self.build().name)

    def test_flip(self) -> None:
        """The link is relative, and follows each flip."""
        for built in (self.build(1), self.build(2, 10)):
            snapshot.flip(self.images_dir, built.name)
            self.assertEqual(str((self.images_dir / "current").readlink()), built.name)
            self.assertEqual(snapshot.current_name(self.images_dir), built.name)

    def test_failed_flip(self) -> None:
        """If the flip fails, machines go on seeing the old snapshot."""
        old, new = self.build(1), self.build(2, 10)
        snapshot.flip(self.images_dir, old.name)
        with mock.patch.object(Path, "rename", side_effect=OSError(errno.EIO, "x")):
            self.assertRaises(StorageError, snapshot.flip, self.images_dir, new.name)
        self.assertEqual(snapshot.current_name(self.images_dir), old.name)


class RecoverTests(SnapshotCase):
    """After a start."""

    def test_leftovers(self) -> None:
        """Half-built snapshots and half-made links are removed; complete ones stay."""
        built = self.build()
        snapshot.flip(self.images_dir, built.name)
        half = self.images_dir / ".building-snapshot-20260101-000000-g9"
        (half / "ubuntu").mkdir(parents=True)
        (self.images_dir / ".current.1-2.new").symlink_to(built.name)
        recovered = self.recover()
        self.assertEqual(recovered.current, built)
        self.assertEqual(
            sorted(path.name for path in self.images_dir.iterdir()),
            sorted([".lock", "cache", "current", "partial", built.name]),
        )

    def test_killed_before_the_flip(self) -> None:
        """A snapshot that was never shown is not shown by a start, if another one is."""
        old = self.build(1)
        snapshot.flip(self.images_dir, old.name)
        self.build(2, 10)
        self.assertEqual(self.recover().current, old)

    def test_no_current(self) -> None:
        """Without a usable link, the newest complete snapshot is shown."""
        for spoil in (
            lambda link: None,
            lambda link: link.symlink_to("snapshot-20200101-000000-g1"),
            lambda link: link.symlink_to("/etc"),
            lambda link: link.mkdir(),
        ):
            link = self.images_dir / "current"
            if link.is_symlink():
                link.unlink()
            self.build(1)
            new = self.build(2, 10)
            spoil(link)
            recovered = self.recover()
            self.assertEqual(recovered.current, new)
            self.assertTrue((link / PATH).is_file())
            for name in snapshot.snapshot_names(self.images_dir):
                snapshot.remove(self.images_dir, name)

    def test_damaged(self) -> None:
        """A replaced file in a snapshot is found: the snapshot is incomplete, the file foreign."""
        built = self.build()
        snapshot.flip(self.images_dir, built.name)
        path = self.images_dir / built.name / PATH
        path.unlink()
        path.write_bytes(b"k3rnel")
        recovered = self.recover()
        assert recovered.current is not None
        self.assertFalse(recovered.current.is_complete)
        self.assertEqual(recovered.foreign, (path,))

    def test_damaged_link(self) -> None:
        """A link of the root that is gone, leads elsewhere or is a file is found."""
        elsewhere = self.images_dir.parent / "elsewhere"
        for spoil in (
            lambda link: None,
            lambda link: link.symlink_to(elsewhere),
            lambda link: link.write_bytes(b"kernel"),
        ):
            built = self.build()
            link = self.images_dir / built.name / LINK
            link.unlink()
            spoil(link)
            missing, foreign = snapshot.inspect(link.parent, self.cache, self.record())
            self.assertEqual(missing, [LINK])
            self.assertEqual(foreign, [link] if os.path.lexists(link) else [])

    def test_no_record(self) -> None:
        """A directory with a snapshot's name and no record, or a linked one, is foreign."""
        for name in ("snapshot-20260101-000000-g1", "snapshot-20260101-000000-g2"):
            (self.images_dir / name).mkdir()
        target = self.images_dir.parent / "record"
        target.write_bytes(self.record().to_document())
        (self.images_dir / name / RECORD_NAME).symlink_to(target)
        self.assertEqual(len(self.recover().foreign), 2)
        self.assertIsNone(self.recover().current)
