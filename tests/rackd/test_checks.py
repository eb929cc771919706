"""Tests of what is verified before it is served, and of what follows when it is wrong."""

import errno
from collections.abc import Coroutine
from typing import Any
from unittest import mock

from twisted.internet.defer import CancelledError, Deferred

from common.errors import StorageError
from rackd import checks
from rackd.boot_record import BootRecord
from rackd.checks import Checks
from rackd.examination import Examination
from rackd.records import HeldFile
from tests.doubles.disks import SlowThreads, at_once, broken_at
from tests.doubles.following import JAMMY, FollowerCase


class ChecksCase(FollowerCase):
    """A rack that holds two files, after a start of its machine."""

    def setUp(self) -> None:
        super().setUp()
        self.hold(1, self.image(JAMMY, "kernel", "initrd"))
        self.damage: list[StorageError] = []
        self.read: list[str] = []
        self.threads = SlowThreads()
        self.record_path = self.images_dir.parent / "verified"
        real = Examination.read_all

        def read_all(examination: Examination) -> None:
            self.read.append(examination._name)
            real(examination)

        self.patch(Examination, "read_all", read_all)
        self.checks = self.made("boot-1")

    def made(self, boot: str) -> Checks:
        return Checks(
            self.library,
            BootRecord(self.record_path, boot),
            on_check=at_once,
            events=self.events,
            on_damage=self.damage.append,
        )

    def file(self, name: str = "kernel") -> HeldFile:
        assert self.library.current is not None
        return self.library.current.record.files[f"{JAMMY}/file-{name}"]

    def flip(self, file: HeldFile) -> None:
        """One bit of a blob changes."""
        blob = self.library.cache / file.sha256
        blob.chmod(0o644)
        with blob.open("r+b") as opened:
            first = opened.read(1)[0]
            opened.seek(0)
            opened.write(bytes([first ^ 1]))

    def begin(self, work: Coroutine[Any, Any, bool]) -> "Deferred[bool]":
        return Deferred.fromCoroutine(work)


class BeforeServingTests(ChecksCase):
    """Small files."""

    def test_what_may_not_be_read_is_a_problem(self) -> None:
        """Whoever asks for it is refused, and people are told until it can be read."""
        blob = self.library.cache / self.file().sha256
        with broken_at(blob, errno.EACCES):
            self.failureResultOf(self.begin(self.checks.before_serving(self.file())), StorageError)
            self.follower.trigger()
            self.assertEqual([each.object for each in self.events.problems], [str(blob)])
        self.successResultOf(self.begin(self.checks.before_serving(self.file())))
        self.assertEqual(self.events.problems, [])

    def test_once_per_start_of_the_machine(self) -> None:
        """A file is read once, also over restarts of rackd; again when the machine started."""
        file = self.file()
        for boot, times in (("boot-1", 1), ("boot-1", 1), ("boot-2", 2)):
            found = self.made(boot)
            for _ in range(3):
                self.successResultOf(self.begin(found.before_serving(file)))
            self.assertEqual(self.read, [file.sha256] * times)

    def test_one_reading_for_all(self) -> None:
        """However many machines ask at once, the file is read once; one that leaves harms none."""
        self.checks._on_check = self.threads
        asking = [self.begin(self.checks.before_serving(self.file())) for _ in range(4)]
        other = self.begin(self.checks.before_serving(self.file("initrd")))
        self.assertEqual(len(self.threads.pending), 2)
        asking[0].cancel()
        asking[1].cancel()
        while self.threads.pending:
            self.threads.finish_one()
        self.failureResultOf(asking[0], CancelledError)
        self.failureResultOf(asking[1], CancelledError)
        for each in (*asking[2:], other):
            self.successResultOf(each)
        self.assertLessEqual(self.read.count(self.file().sha256), 2)
        self.assertEqual(self.checks._turns, {})

    def test_large_ones_do_not_wait(self) -> None:
        """A root file system is the scrub's."""
        with mock.patch.object(checks, "SMALL_BYTES", 5):
            self.assertFalse(
                self.successResultOf(self.begin(self.checks.before_serving(self.file())))
            )
        self.assertEqual(self.read, [])

    def test_a_wrong_one(self) -> None:
        """It is not served, is aside, and is fetched again; the new one is read again."""
        file = self.file()
        self.flip(file)
        error = self.failureResultOf(
            self.begin(self.checks.before_serving(file)), StorageError
        ).value
        self.assertEqual(error.code, "blob-damaged")
        self.assertIn(f"{JAMMY}/file-kernel", error.message)
        self.assertEqual(self.damage, [error])
        self.assertEqual(self.library.held_view, "")
        self.assertFalse((self.images_dir / "current" / JAMMY / "file-kernel").exists())
        self.failureResultOf(self.begin(self.checks.before_serving(file)), StorageError)
        self.assertEqual(len(self.damage), 1)
        self.follower.trigger()
        self.fetches.finish_all()
        self.successResultOf(self.begin(self.checks.before_serving(file)))
        self.assertEqual(self.read, [file.sha256] * 2)

    def test_a_record_that_cannot_be_kept(self) -> None:
        """What was found right is served all the same, and known until rackd ends."""
        self.record_path.mkdir()
        for _ in range(2):
            self.successResultOf(self.begin(self.checks.before_serving(self.file())))
        self.assertEqual(len(self.read), 1)


class ConcludeTests(ChecksCase):
    """After a whole reading."""

    def conclude(self, file: HeldFile) -> object:
        examination = Examination(self.library.cache / file.sha256, past_cache=True)
        examination.read_all()
        examination.close()
        found = self.checks.conclude(file.sha256, examination, "by the scrub")
        return self.successResultOf(Deferred.fromCoroutine(found))

    def test_wanted_by_nobody(self) -> None:
        """A wrong blob of an old snapshot is a note: nothing fetches it again."""
        old = self.file()
        self.clock.advance(10)
        self.hold(2, self.image(JAMMY, "kernel2", "initrd", version="2"))
        self.flip(old)
        self.assertIsNotNone(self.conclude(old))
        self.assertEqual((self.damage, self.events.problems), ([], []))
        self.assertEqual(self.codes(), ["blob-damaged"])
        self.assertNotEqual(self.library.held_view, "")

    def test_replaced_meanwhile(self) -> None:
        """A reading of a file that is not there any more harms nothing."""
        file = self.file()
        self.flip(file)
        examination = Examination(self.library.cache / file.sha256, past_cache=True)
        examination.read_all()
        self.addCleanup(examination.close)
        (self.library.cache / file.sha256).unlink()
        (self.library.cache / file.sha256).write_bytes(b"kernel")
        found = self.checks.conclude(file.sha256, examination, "by the scrub")
        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(found)))
        self.assertEqual((self.library.cache / file.sha256).read_bytes(), b"kernel")
