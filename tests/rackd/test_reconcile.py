"""Tests of what a start finds damaged, of space, and of several failures at once."""

import errno
import json
import os
from collections.abc import Callable
from unittest import mock

from twisted.internet.defer import Deferred

from common.errors import IntegrityError, NoSpace, StorageError, TransferError
from rackd.follower import NO_SPACE_RETRY_S
from rackd.transfers import as_one
from tests.doubles.following import JAMMY, NOBLE, FollowerCase


class ReconcileTests(FollowerCase):
    """A rack starts on a directory in which something went wrong; no region answers."""

    def damage(self, name: str, how: Callable[[str], None]) -> str:
        """Let something happen to a blob while the rack is down; the blob's name."""
        assert self.library.current is not None
        sha256 = self.library.current.record.files[f"{JAMMY}/file-{name}"].sha256
        blob = self.library.cache / sha256
        blob.chmod(0o644)
        how(str(blob))
        return sha256

    def restarted(self) -> None:
        self.stopped()
        library = self.reopened()
        self.library = library
        self.start(library)

    def test_damage_is_put_away_without_a_region(self) -> None:
        """A cut blob is aside before any region answers, out of the tree, and is a problem."""
        self.hold(1, self.image(JAMMY, "kernel", "initrd"))
        sha256 = self.damage("kernel", lambda path: os.truncate(path, 3))
        self.region.failure = TransferError("away", code="region-unreachable")
        self.restarted()
        self.assertFalse((self.library.cache / sha256).exists())
        self.assertEqual((self.images_dir / "aside" / sha256).read_bytes(), b"ker")
        tree = self.images_dir / "current" / JAMMY
        self.assertEqual([path.name for path in tree.iterdir()], ["file-initrd"])
        self.assertEqual([each.code for each in self.events.problems], ["blob-damaged"])
        self.assertEqual(self.library.held_view, "")

    def test_damage_is_fetched_again(self) -> None:
        """What was cut or is gone is fetched again, nothing else, and the problems are over."""
        digest = self.hold(1, self.image(JAMMY, "kernel", "initrd", "squashfs"))
        self.damage("kernel", lambda path: os.truncate(path, 3))
        self.damage("initrd", os.unlink)
        begun = len(self.fetches.begun)
        self.restarted()
        self.assertEqual(len(self.events.problems), 2)
        self.follower.connected()
        self.fetches.finish_all()
        self.assertEqual(sorted(self.fetches.begun[begun:]), ["file-initrd", "file-kernel"])
        self.assertEqual((self.library.held_view, self.events.problems), (digest, []))
        tree = self.images_dir / "current" / JAMMY
        self.assertEqual((tree / "file-kernel").read_bytes(), b"kernel")

    def test_unknown_files_are_named_without_a_region(self) -> None:
        """What somebody put into our directories is aside and named, and nothing is deleted."""
        self.hold(1, self.image(JAMMY, "kernel"))
        for directory in ("cache", "partial"):
            (self.images_dir / directory / "notes").write_bytes(b"mine")
        self.region.failure = TransferError("away", code="region-unreachable")
        self.restarted()
        aside = self.images_dir / "aside"
        self.assertEqual([path.read_bytes() for path in aside.iterdir()], [b"mine"] * 2)
        self.assertEqual(self.codes(), ["foreign-file"] * 2)

    def test_a_look_that_fails(self) -> None:
        """A directory that cannot be read now costs the look, not the rack."""
        self.hold(1, self.image(JAMMY, "kernel"))
        with mock.patch("os.scandir", side_effect=OSError(errno.EIO, "x")):
            self.successResultOf(Deferred.fromCoroutine(self.syncing.reconcile()))
        self.assertEqual(self.codes()[-1], "storage")

    def test_a_look_that_ends_in_a_bug(self) -> None:
        """It is logged, and the rack follows its region all the same."""
        with mock.patch.object(self.library, "survey", side_effect=LookupError("bug")):
            self.successResultOf(Deferred.fromCoroutine(self.syncing.reconcile()))
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_what_a_reader_put_aside_meanwhile(self) -> None:
        """A blob that is gone by the time it is to be put aside is no failure."""
        self.assertEqual(self.library.distrust(("ab" * 32,)), ())


class CondemnedTests(FollowerCase):
    """A blob whose bytes were read and found wrong."""

    def test_out_of_every_tree(self) -> None:
        """It is aside and in no tree any more, the newest and older ones; the rest stays."""
        self.hold(1, self.image(JAMMY, "kernel", "initrd"))
        self.clock.advance(10)
        self.hold(2, self.image(JAMMY, "kernel", "initrd2", version="2"))
        assert self.library.current is not None
        sha256 = self.library.current.record.files[f"{JAMMY}/file-kernel"].sha256
        seen = (self.library.cache / sha256).stat()
        found = self.library.condemn(sha256, seen)
        assert found is not None
        self.assertEqual(found.now.stat().st_nlink, 1)
        self.assertEqual(found.now.stat().st_ino, seen.st_ino)
        self.assertEqual(len([*self.images_dir.glob("snapshot-*/*/*/*/*/*/file-initrd*")]), 2)
        self.assertIsNone(self.library.condemn(sha256, seen))
        self.follower.trigger()
        self.fetches.finish_all()
        self.assertEqual(
            (self.images_dir / "current" / JAMMY / "file-kernel").read_bytes(), b"kernel"
        )

    def test_repaired_meanwhile(self) -> None:
        """A blob that was fetched again while the old one was read is left alone."""
        self.hold(1, self.image(JAMMY, "kernel"))
        assert self.library.current is not None
        file = self.library.current.record.files[f"{JAMMY}/file-kernel"]
        blob = self.library.cache / file.sha256
        seen = blob.stat()
        blob.rename(self.images_dir / "old")
        blob.write_bytes(b"kernel")
        self.assertIsNone(self.library.condemn(file.sha256, seen))
        self.assertEqual(blob.read_bytes(), b"kernel")
        self.assertTrue(self.library.current.is_complete)


class SpaceTests(FollowerCase):
    """A disk that is full, before and in the middle."""

    def test_says_how_much_and_goes_on(self) -> None:
        """Full at the plan: paused, with the figures; it goes on within 30 s of room."""
        digest = self.region.publish(1, self.image(JAMMY, "kernel", "initrd"))
        with mock.patch("rackd.library.free_bytes", return_value=10):
            self.follower.trigger()
            self.clock.pump([NO_SPACE_RETRY_S] * 9)
            self.assertEqual(self.follower.status, "paused")
        (problem,) = self.events.problems
        self.assertEqual(problem.code, "no-space")
        self.assertIn("2 more bytes are needed: 12 to fetch, 10 free", problem.cause)
        self.assertEqual(json.loads(self.region.syncs[-1][2])["code"], "no-space")
        self.clock.advance(NO_SPACE_RETRY_S)
        self.fetches.finish_all()
        self.assertEqual(
            (self.follower.status, self.library.held_view, self.events.problems),
            ("synced", digest, []),
        )

    def test_in_the_middle(self) -> None:
        """Full in mid-transfer: what is there stays, the figures are those of now."""
        digest = self.region.publish(1, self.image(JAMMY, "kernel", "initrd"))
        self.follower.trigger()
        self.fetches.finish("file-kernel")
        with mock.patch("rackd.library.free_bytes", return_value=4):
            self.fetches.fail("file-initrd", NoSpace("cannot write: No space left on device"))
        (problem,) = self.events.problems
        self.assertIn("2 more bytes are needed: 6 to fetch, 4 free", problem.cause)
        self.assertEqual(self.follower.status, "paused")
        self.clock.advance(NO_SPACE_RETRY_S)
        self.fetches.finish_all()
        self.assertEqual(self.fetches.begun, ["file-kernel", "file-initrd", "file-initrd"])
        self.assertEqual(self.library.held_view, digest)

    def test_a_quota(self) -> None:
        """Where the file system has room and yet refuses, its own words are kept."""
        self.region.publish(1, self.image(JAMMY, "kernel"))
        self.follower.trigger()
        self.fetches.fail("file-kernel", NoSpace("cannot write: Disk quota exceeded"))
        (problem,) = self.events.problems
        self.assertIn("Disk quota exceeded: 6 to fetch, ", problem.cause)

    def test_no_room_for_links(self) -> None:
        """A disk that is full when the tree is linked pauses, too."""
        self.region.publish(1, self.image(JAMMY, "kernel"))
        with mock.patch("rackd.snapshot.build", side_effect=NoSpace("cannot link")):
            self.follower.trigger()
            self.fetches.finish_all()
        self.assertEqual(self.follower.status, "paused")
        self.clock.advance(NO_SPACE_RETRY_S)
        self.assertEqual(self.follower.status, "synced")

    def test_what_was_put_aside_goes_first(self) -> None:
        """Where room is missing damaged blobs go, what is not ours stays, and people are told."""
        self.hold(1, self.image(JAMMY, "kernel"))
        aside = self.images_dir / "aside"
        damaged = [aside / name for name in ("ab" * 32, "ab" * 32 + ".1")]
        foreign = [aside / name for name in ("notes", "ab" * 32 + ".part", "cd" * 32)]
        aside.mkdir()
        for path in (*damaged, *foreign[:2]):
            path.write_bytes(b"x")
        foreign[2].mkdir()
        self.follower.trigger()
        self.assertTrue(all(path.exists() for path in damaged))
        self.region.publish(2, self.image(JAMMY, "initrd", version="2"))
        with mock.patch("rackd.library.free_bytes", return_value=4):
            self.follower.trigger()
        (problem,) = self.events.problems
        self.assertIn(str(aside), problem.remedy)
        self.assertEqual(sorted(aside.iterdir()), sorted(foreign))

    def test_a_quota_with_damage_aside(self) -> None:
        """Where only a quota says that room is missing, damaged blobs go all the same."""
        self.region.publish(1, self.image(JAMMY, "kernel"))
        self.follower.trigger()
        damaged = self.images_dir / "aside" / ("ab" * 32)
        damaged.parent.mkdir()
        damaged.write_bytes(b"x")
        self.fetches.fail("file-kernel", NoSpace("cannot write: Disk quota exceeded"))
        self.assertFalse(damaged.exists())

    def test_reserve(self) -> None:
        """What an admin reserves is not used."""
        found = os.statvfs(self.images_dir)
        all_bytes = found.f_blocks * found.f_frsize
        self.library._reserve_bytes = all_bytes
        self.assertEqual(self.library.free_bytes(), 0)
        self.library._reserve_bytes = 0
        self.assertGreater(self.library.free_bytes(), 0)


class SeveralFailuresTests(FollowerCase):
    """More than one file of a sync fails."""

    def test_all_are_named(self) -> None:
        """The problem counts and names each of them, here and at the region."""
        self.region.publish(1, self.image(JAMMY, "kernel", "initrd"), self.image(NOBLE, "other"))
        self.follower.trigger()
        for name in ("kernel", "initrd", "other"):
            self.fetches.fail(f"file-{name}", IntegrityError("odd bytes", object=f"file-{name}"))
        (problem,) = self.events.problems
        self.assertEqual(problem.code, "integrity")
        self.assertIn("3 files could not be fetched", problem.cause)
        for name in ("kernel", "initrd", "other"):
            self.assertIn(
                f"file-{name}: odd bytes", json.loads(self.region.syncs[-1][2])["message"]
            )

    def test_as_one(self) -> None:
        """One stays itself; of several the disk's gives the family, and ten are named."""
        one = TransferError("cut", object="a", code="transfer-cut")
        self.assertIs(as_one([one]), one)
        mixed = as_one([one, StorageError("bad sector", object="b")])
        self.assertEqual((type(mixed), mixed.code), (StorageError, "sync-incomplete"))
        many = as_one([TransferError(f"cut {n:02}", object="a") for n in range(12)])
        self.assertIn("cut 09; and more", many.message)
        self.assertTrue(many.message.startswith("12 files"))

    def test_skipped_images_reach_the_region(self) -> None:
        """A view that is held but for what has no place here is held, with that said."""
        digest = self.hold(1, self.image(JAMMY, "kernel"), self.image(".x/a/b/c/d", "odd"))
        generation, held, problem = self.region.syncs[-1]
        self.assertEqual((generation, held), (1, digest))
        self.assertEqual(json.loads(problem)["code"], "image-skipped")
        self.assertIn(".x/a/b/c/d", json.loads(problem)["message"])
        self.assertEqual(self.follower.status, "synced")
        self.stopped()
        self.start(self.reopened())
        self.follower.connected()
        self.assertEqual(self.region.syncs[-1], (generation, held, problem))
