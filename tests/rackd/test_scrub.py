"""Tests of the scrub: when it reads, how fast, where it goes on, and what it finds."""

import errno
import shutil
from unittest import mock

from twisted.internet.defer import Deferred

from common.errors import NoDaemon, StorageError
from common.scrub_record import WEEK_S
from rackd.examination import Examination
from rackd.scrub import LOOK_S, SAVE_EVERY_S, START_S, Scrub
from tests.doubles.disks import broken_at
from tests.doubles.following import JAMMY
from tests.doubles.scrubbing import ScrubbingCase


class ScrubCase(ScrubbingCase):
    """A rack that holds three files of six bytes each."""

    def setUp(self) -> None:
        super().setUp()
        self.hold(1, self.image(JAMMY, "kernel", "initrd", "rootfs"))
        self.read: list[str] = []
        real = Examination.read_on

        def read_on(examination: Examination) -> int:
            if examination._offset == 0:
                self.read.append(examination._name)
            return real(examination)

        self.patch(Examination, "read_on", read_on)
        self.scrub: Scrub = self.begun()

    def restarted(self, limit_bytes_s: float = 1e9) -> None:
        """After a restart of rackd."""
        self.successResultOf(self.scrub.stopService())
        self.read.clear()
        self.begun(limit_bytes_s)

    @property
    def blobs(self) -> list[str]:
        return list(self.library.finished())

    def flip(self, name: str) -> str:
        """One bit of a blob changes; its name."""
        sha256 = self.file(name).sha256
        blob = self.library.cache / sha256
        blob.chmod(0o644)
        flipped = bytearray(blob.read_bytes())
        flipped[-1] ^= 1
        blob.write_bytes(flipped)
        return sha256

    def settle(self) -> None:
        """Let the first minute pass, with what it checks."""
        self.clock.advance(START_S)
        self.clock.pump([1] * 20)

    def whole(self) -> dict[str, object]:
        """Ask for a scrub, and let it end."""
        waiting = Deferred.fromCoroutine(self.scrub.wait())
        self.clock.pump([1] * 20)
        return self.successResultOf(waiting)


class WhenTests(ScrubCase):
    """When it reads."""

    def test_weekly(self) -> None:
        """It reads everything by itself, once a week."""
        self.settle()
        self.read.clear()
        for passes in (1, 2):
            self.clock.pump([LOOK_S] * int(WEEK_S / LOOK_S / 2 if passes == 1 else WEEK_S / LOOK_S))
            self.clock.pump([1] * 20)
            self.assertEqual(sorted(self.read), sorted(self.blobs * passes))

    def test_kept_over_restarts(self) -> None:
        """A restart does not put it off, nor does it begin a scrub."""
        next_at = self.scrub.status()["next_at"]
        self.clock.advance(WEEK_S / 4)
        self.restarted()
        self.assertEqual(self.scrub.status()["next_at"], next_at)

    def test_asked(self) -> None:
        """An admin has one at once; asked again meanwhile, it is the same one."""
        waiting = [Deferred.fromCoroutine(self.scrub.wait()) for _ in range(2)]
        self.scrub.start()
        self.assertEqual(self.scrub.status()["state"], "running")
        self.clock.pump([1] * 20)
        size_bytes = sum(self.library.finished().values())
        for each in waiting:
            status = self.successResultOf(each)
            self.assertEqual(
                (status["state"], status["checked_bytes"], status["damaged"]),
                ("idle", size_bytes, 0),
            )
        self.assertEqual(self.read, self.blobs)

    def test_goes_on_after_a_restart(self) -> None:
        """A scrub that was broken off goes on with the blob that it was at."""
        self.whole()
        self.restarted(limit_bytes_s=0.01)
        self.scrub.start()
        self.clock.pump([SAVE_EVERY_S] * 20)
        for _ in range(100):
            if len(self.read) > 2:
                break
            self.clock.pump([SAVE_EVERY_S] * 10)
        done, at = self.read[:-1], self.read[-1]
        self.assertEqual(self.scrub.status()["state"], "running")
        self.restarted()
        self.settle()
        self.assertEqual(self.read[0], at)
        self.assertEqual(sorted([*done, *self.read]), self.blobs)
        self.assertEqual(self.scrub.status()["state"], "idle")

    def test_small_files_first(self) -> None:
        """After a start of the machine, what machines see and nobody read is read soon."""
        assert self.library.current is not None
        shown = set(self.library.current.record.blobs)
        self.settle()
        self.assertEqual(set(self.read), shown)
        self.restarted()
        self.settle()
        self.assertEqual(self.read, [])

    def test_stop(self) -> None:
        """Stopping ends a reading at once, and whoever waits is told."""
        self.whole()
        self.restarted(limit_bytes_s=0.01)
        waiting = Deferred.fromCoroutine(self.scrub.wait())
        self.successResultOf(self.scrub.stopService())
        self.failureResultOf(waiting, NoDaemon)


class TreeTests(ScrubCase):
    """The tree that TFTP and web servers read."""

    def tree(self) -> list[str]:
        """What is wrong with it now."""
        self.fetches.finish_all()
        wrong, _ = self.library.compare_tree()
        return list(wrong)

    def test_what_was_deleted_or_replaced_is_linked_anew(self) -> None:
        """It is named, what stood in its place is put aside, and nothing is fetched."""
        assert self.library.current is not None
        directory = self.images_dir / self.library.current.name / JAMMY
        (directory / "file-kernel").unlink()
        (directory / "file-initrd").unlink()
        (directory / "file-initrd").write_bytes(b"of somebody else")
        begun = len(self.fetches.begun)
        self.whole()
        [error] = self.damage
        self.assertEqual(error.code, "tree-damaged")
        self.assertIn(
            f"2 of its files are gone or were replaced: {JAMMY}/file-initrd", error.line()
        )
        self.assertEqual(
            (self.images_dir / "aside" / "file-initrd").read_bytes(), b"of somebody else"
        )
        self.assertEqual((self.tree(), len(self.fetches.begun)), ([], begun))
        current = self.images_dir / "current" / JAMMY
        self.assertEqual((current / "file-initrd").read_bytes(), b"initrd")
        self.assertIn("foreign-file", self.codes())
        self.assertEqual(self.events.problems, [])

    def test_a_tree_that_is_gone_and_a_link_that_leads_elsewhere(self) -> None:
        """Both are made anew."""
        assert self.library.current is not None
        shutil.rmtree(self.images_dir / self.library.current.name)
        self.whole()
        self.assertEqual(([each.code for each in self.damage], self.tree()), (["tree-damaged"], []))
        current = self.images_dir / "current"
        current.unlink()
        current.symlink_to("/etc")
        self.clock.advance(1)
        self.whole()
        self.assertEqual((len(self.damage), self.tree()), (2, []))
        self.assertEqual((current / JAMMY / "file-initrd").read_bytes(), b"initrd")
        current.unlink()
        current.mkdir()
        self.clock.advance(1)
        self.whole()
        self.assertEqual((len(self.damage), self.tree()), (3, []))
        self.assertTrue((self.images_dir / "aside" / "current").is_dir())

    def test_a_tree_that_is_right_is_left_alone(self) -> None:
        """The same tree stays, and nothing is said."""
        before = self.library.current
        self.whole()
        self.assertEqual((self.library.current, self.damage, self.tree()), (before, [], []))


class PaceTests(ScrubCase):
    """How fast it reads."""

    def test_limit(self) -> None:
        """It never reads faster than the limit."""
        self.whole()
        self.restarted(limit_bytes_s=2.0)
        size_bytes = sum(self.library.finished().values())
        began_at = self.clock.seconds()
        waiting = Deferred.fromCoroutine(self.scrub.wait())
        while not waiting.called:
            self.clock.advance(0.5)
        self.successResultOf(waiting)
        self.assertGreaterEqual(self.clock.seconds() - began_at, size_bytes / 2.0 - 0.5)


class FindTests(ScrubCase):
    """What it finds."""

    def test_repaired(self) -> None:
        """A flipped bit is found, named, put aside and fetched again; nothing else is."""
        self.settle()
        sha256 = self.flip("rootfs")
        begun = len(self.fetches.begun)
        found = self.whole()
        self.assertEqual(found["damaged"], 1)
        (error,) = self.damage
        self.assertIn(f"{JAMMY}/file-rootfs", error.message)
        self.assertIn("by the scrub", error.message)
        self.assertEqual(self.library.held_view, "")
        self.assertFalse((self.library.cache / sha256).exists())
        self.fetches.finish_all()
        self.assertEqual(self.fetches.begun[begun:], ["file-rootfs"])
        self.assertEqual((self.library.cache / sha256).read_bytes(), b"rootfs")
        self.assertEqual(self.events.problems, [])
        self.assertEqual(self.library.held_view, self.region.view[1])
        self.assertEqual(self.whole()["damaged"], 0)

    def test_what_the_disk_cannot_give(self) -> None:
        """A blob that cannot even be opened for a bad sector is put aside and fetched again."""
        self.settle()
        sha256 = self.file("kernel").sha256
        with broken_at(self.library.cache / sha256):
            self.assertEqual(self.whole()["damaged"], 1)
        self.fetches.finish_all()
        self.assertEqual(self.fetches.begun[-1], "file-kernel")
        self.assertEqual(self.events.problems, [])

    def test_what_may_not_be_read(self) -> None:
        """A blob that rackd may not open stays where it is, and is a problem with a remedy."""
        self.settle()
        blob = self.library.cache / self.file("kernel").sha256
        with broken_at(blob, errno.EACCES):
            self.assertEqual(self.whole()["damaged"], 1)
        (problem,) = self.events.problems
        self.assertEqual((problem.code, problem.object), ("storage", str(blob)))
        self.assertIn("permission", problem.remedy)
        self.assertTrue(blob.exists())

    def test_what_may_not_be_read_stays_a_problem(self) -> None:
        """A sync that ends well does not hide it; the region is told; a good reading ends it."""
        self.settle()
        blob = self.library.cache / self.file("kernel").sha256
        with broken_at(blob, errno.EACCES):
            self.whole()
            self.follower.trigger()
            self.assertEqual([each.object for each in self.events.problems], [str(blob)])
            self.assertIn(str(blob), self.region.syncs[-1][2])
        self.whole()
        self.assertEqual(self.events.problems, [])
        self.follower.trigger()
        self.assertEqual(self.region.syncs[-1][2], "")

    def test_what_could_not_be_read_and_is_gone(self) -> None:
        """It is no problem any more when nobody wants it and it was deleted."""
        self.settle()
        blob = self.library.cache / self.file("kernel").sha256
        with broken_at(blob, errno.EACCES):
            self.whole()
        self.region.publish(2)
        self.follower.trigger()
        blob.unlink()
        self.whole()
        self.assertEqual(self.events.problems, [])

    def test_what_is_gone_is_forgotten(self) -> None:
        """A whole scrub leaves nothing in the record of verified blobs that is not there."""
        self.whole()
        gone = self.file("kernel").sha256
        verified = self.images_dir.parent / "verified"
        self.assertIn(gone, verified.read_text())
        self.region.publish(2)
        self.follower.trigger()
        (self.library.cache / gone).unlink()
        self.whole()
        self.assertNotIn(gone, verified.read_text())

    def test_one_that_is_gone(self) -> None:
        """A blob that is deleted while the scrub runs is no damage."""
        self.settle()
        gone = self.library.finished() | {"ff" * 32: 3}
        with mock.patch.object(self.library, "finished", return_value=gone):
            self.assertEqual(self.whole()["damaged"], 0)

    def test_a_disk_that_takes_nothing(self) -> None:
        """A wrong blob that cannot be put aside is a problem, and the scrub goes on."""
        self.settle()
        self.flip("kernel")
        self.flip("initrd")
        with mock.patch.object(self.library, "condemn", side_effect=StorageError("read-only")):
            self.assertEqual(self.whole()["damaged"], 2)
        self.assertEqual([each.code for each in self.events.problems], ["storage"])

    def test_a_failure_ends_the_attempt_only(self) -> None:
        """What fails is named to whoever waits, and the next time it works."""
        self.settle()
        with mock.patch.object(self.library, "finished", side_effect=StorageError("no")):
            self.scrub.start()
            self.failureResultOf(Deferred.fromCoroutine(self.scrub.wait()), StorageError)
        self.assertEqual(self.whole()["damaged"], 0)
