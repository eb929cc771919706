"""Tests of the loop: what wakes it, what it does, what it says."""

import json
from unittest import mock

from twisted.internet.defer import Deferred

from common.digests import sha256_hex
from common.errors import ConfigError, IntegrityError, NoSpace, StorageError, TransferError
from common.images import Image
from rackd.follower import FIRST_LOOK_S, INTERVAL_S, Follower
from rackd.retention import RETENTION_S
from tests.doubles.following import JAMMY, NOBLE, FollowerCase


class SyncTests(FollowerCase):
    """From a view to the disk."""

    def test_whole(self) -> None:
        """A published view ends as files that ``current`` shows, and a report."""
        digest = self.region.publish(3, self.image(JAMMY, "kernel", "initrd", "squashfs"))
        self.follower.trigger()
        self.assertEqual(self.fetches.begun, ["file-kernel", "file-initrd"])
        self.assertFalse((self.images_dir / "current" / "ubuntu").exists())
        self.fetches.finish_all()
        tree = self.images_dir / "current" / JAMMY
        self.assertEqual((tree / "file-squashfs").read_bytes(), b"squashfs")
        self.assertEqual(self.region.syncs[-1], (3, digest, ""))
        self.assertEqual(self.follower.status, "synced")

    def test_nothing_changed(self) -> None:
        """A view that is held costs one question: no document, no disk, no second report."""
        digest = self.hold(3, self.image(JAMMY, "kernel"))
        asked, read, syncs = len(self.region.asked), len(self.region.read), len(self.region.syncs)
        with mock.patch.object(self.library, "survey", side_effect=AssertionError("disk")):
            self.clock.advance(INTERVAL_S)
        self.assertEqual(self.region.asked[asked:], [digest])
        self.assertEqual(len(self.region.read), read)
        self.assertEqual(len(self.region.syncs), syncs)

    def test_after_a_restart(self) -> None:
        """After a restart the rack tells what it holds, without fetching anything."""
        digest = self.hold(3, self.image(JAMMY, "kernel"))
        self.stopped()
        self.assertEqual(self.reopened().held_view, digest)

    def test_other_settings_of_menus(self) -> None:
        """When generated files are made in another way now, the tree is made anew, unfetched."""
        digest = self.hold(3, self.image(JAMMY, "kernel"))
        begun = list(self.fetches.begun)
        self.clock.advance(10)
        self.library.recipe = "other"
        self.assertEqual(self.library.held_view, "")
        self.follower.trigger()
        self.assertEqual((self.library.held_view, self.fetches.begun), (digest, begun))
        self.assertEqual(len(list(self.images_dir.glob("snapshot-*-g3"))), 2)

    def test_damaged_while_it_ran(self) -> None:
        """A blob that was found cut is fetched again by the next look, and the tree is whole."""
        digest = self.hold(3, self.image(JAMMY, "kernel", "initrd"))
        file = self.library.current.record.files[f"{JAMMY}/file-kernel"]
        (self.library.cache / file.sha256).unlink()
        (self.library.cache / file.sha256).write_bytes(b"kern")
        syncs = len(self.region.syncs)
        self.assertTrue(self.library.doubt(file))
        self.assertFalse(self.library.doubt(file))
        self.follower.trigger()
        self.fetches.finish_all()
        self.assertEqual(self.fetches.begun, ["file-kernel", "file-initrd", "file-kernel"])
        self.assertEqual(self.library.held_view, digest)
        tree = self.images_dir / "current" / JAMMY
        self.assertEqual((tree / "file-kernel").read_bytes(), b"kernel")
        self.assertEqual(self.region.syncs[syncs:], [(3, digest, "")])

    def test_current_removed_while_it_ran(self) -> None:
        """Whoever removes the link cannot make the rack delete the tree that it serves."""
        self.hold(3, self.image(JAMMY, "kernel"))
        (self.images_dir / "current").unlink()
        self.clock.pump([300] * 50)
        self.assertEqual(len(list(self.images_dir.glob("snapshot-*"))), 1)

    def test_a_region_that_stays_away_is_named(self) -> None:
        """A region's restart is no problem; one that stays away is, long before the next look."""
        self.hold(3, self.image(JAMMY, "kernel"))
        self.region.failure = TransferError("away", code="region-unreachable")
        self.follower.lost()
        self.clock.advance(FIRST_LOOK_S - 1)
        self.assertEqual(self.events.problems, [])
        self.clock.advance(1)
        self.assertEqual([each.code for each in self.events.problems], ["region-unreachable"])
        self.region.failure = None
        self.follower.connected()
        self.assertEqual(self.events.problems, [])
        asked = len(self.region.asked)
        self.follower.lost()
        self.follower.connected()
        self.clock.advance(FIRST_LOOK_S + 1)
        self.assertEqual(len(self.region.asked), asked + 1)

    def test_what_waiting_does_not_cure_is_said_at_once(self) -> None:
        """A certificate that is no good is a problem at once; a region that is away is not yet."""
        self.region.failure = TransferError("away", code="region-unreachable")
        self.follower.lost()
        self.follower.troubled(self.region.failure)
        self.assertEqual(self.events.problems, [])
        self.region.failure = ConfigError("garbage", code="identity")
        self.follower.troubled(self.region.failure)
        self.assertEqual([each.code for each in self.events.problems], ["identity"])

    def test_only_what_is_wrong_now_is_a_problem(self) -> None:
        """Another failure takes the place of the last one, and the same one its words."""
        for failure in (
            TransferError("away", code="region-unreachable"),
            NoSpace("5 bytes", object="disk"),
            NoSpace("3 bytes", object="disk"),
        ):
            self.region.failure = failure
            self.follower.trigger()
            (problem,) = self.events.problems
            self.assertEqual((problem.code, problem.cause), (failure.code, failure.message))
        self.assertEqual(self.codes(), ["region-unreachable", "no-space"])

    def test_only_what_is_missing(self) -> None:
        """A new view fetches only what it does not share with the old one."""
        self.hold(1, self.image(JAMMY, "kernel", "squashfs"))
        self.hold(2, self.image(JAMMY, "kernel2", "squashfs", version="2"))
        self.assertEqual(self.fetches.begun, ["file-kernel", "file-squashfs", "file-kernel2"])

    def test_retention(self) -> None:
        """What was replaced stays two hours, then goes, with its blobs."""
        old, new = self.image(JAMMY, "old"), self.image(JAMMY, "new", version="2")
        self.hold(1, old)
        self.clock.advance(10)
        self.hold(2, new)
        blobs = {image.files[0].sha256 for image in (old, new)}
        for waited_s, left in ((RETENTION_S - 700, 2), (1000, 1)):
            self.clock.pump([100] * (int(waited_s) // 100))
            self.assertEqual(len(list(self.images_dir.glob("snapshot-*-g[12]"))), left)
            holdings = self.library.survey().holdings
            self.assertEqual(len(blobs & set(holdings.cache)), left)
            named = frozenset().union(*(snapshot.blobs for snapshot in holdings.snapshots))
            self.assertEqual(set(holdings.cache), named)

    def test_retention_and_the_time_of_day(self) -> None:
        """A clock that is set, forward or back, deletes nothing early and keeps nothing for ever."""
        for number, jump_s in enumerate((7 * RETENTION_S, -7 * RETENTION_S)):
            self.hold(2 * number + 1, self.image(JAMMY, f"old-{number}"))
            self.clock.advance(10)
            self.hold(2 * number + 2, self.image(JAMMY, f"new-{number}", version="2"))
            old = next(self.images_dir.glob(f"snapshot-*-g{2 * number + 1}"))
            self.set_by_s += jump_s
            self.follower.trigger()
            self.clock.pump([100] * int(RETENTION_S / 100 - 1))
            self.follower.trigger()
            self.assertTrue(old.exists(), jump_s)
            self.clock.pump([100] * int(RETENTION_S / 100 + 100))
            self.follower.trigger()
            self.assertFalse(old.exists(), jump_s)

    def test_before_any_view(self) -> None:
        """A new rack shows an empty tree, so that a TFTP server that is pointed there starts."""
        self.assertEqual(self.library.held_view, "")
        self.assertIn("no bootable image", (self.images_dir / "current" / "boot.ipxe").read_text())
        self.assertEqual(self.region.syncs, [(0, "", "")])

    def test_empty_view(self) -> None:
        """When nothing is selected any more, the rack shows an empty tree."""
        self.hold(1, self.image(JAMMY, "kernel"))
        self.clock.advance(1)
        self.hold(2)
        self.assertFalse((self.images_dir / "current" / "ubuntu").exists())

    def test_skipped(self) -> None:
        """An image that cannot be laid out is an event; the others are held."""
        self.hold(1, self.image(JAMMY, "kernel"), self.image(".x/a/b/c/d", "odd"))
        self.assertIn("image-skipped", self.codes())
        self.assertEqual(self.fetches.begun, ["file-kernel"])


class TriggerTests(FollowerCase):
    """What wakes it."""

    def test_interval(self) -> None:
        """It looks every five minutes, whatever anybody says."""
        asked = len(self.region.asked)
        self.clock.pump([INTERVAL_S / 10] * 30)
        self.assertEqual(len(self.region.asked) - asked, 3)

    def test_coalesced(self) -> None:
        """Any number of triggers during a sync lead to one more look after it."""
        self.region.publish(1, self.image(JAMMY, "a", "b"))
        self.follower.trigger()
        self.fetches.finish("file-a")
        before = len(self.region.asked)
        for _ in range(5):
            self.follower.trigger()
        during = len(self.region.asked)
        self.assertGreaterEqual(during - before, 1)
        self.fetches.finish_all()
        self.assertEqual(len(self.region.asked), during + 1)

    def test_lost_notice(self) -> None:
        """A view whose notice was lost is found at the next look."""
        digest = self.region.publish(1, self.image(JAMMY, "a"))
        self.clock.advance(INTERVAL_S)
        self.fetches.finish_all()
        self.assertEqual(self.library.held_view, digest)

    def test_newer_view_adds(self) -> None:
        """A newer view that wants more stops nothing: the first one is shown on the way."""
        first = self.image(JAMMY, "a", "b")
        self.region.publish(1, first)
        self.follower.trigger()
        digest = self.region.publish(2, first, self.image(NOBLE, "c"))
        self.follower.trigger()
        self.assertEqual(self.fetches.cancelled, [])
        self.fetches.finish_all()
        self.assertEqual(self.fetches.begun, ["file-a", "file-b", "file-c"])
        self.assertEqual([generation for generation, _, _ in self.region.syncs][-2:], [1, 2])
        self.assertEqual(self.library.held_view, digest)

    def test_newer_view_drops(self) -> None:
        """A newer view ends transfers that it does not want, and no others."""
        self.region.publish(1, self.image(JAMMY, "a"), self.image(NOBLE, "b", "c"))
        self.follower.trigger()
        self.assertEqual(self.fetches.running, ["file-a", "file-b"])
        digest = self.region.publish(2, self.image(NOBLE, "b"))
        self.follower.trigger()
        self.assertEqual(self.fetches.cancelled, ["file-a"])
        self.assertEqual(self.fetches.running, ["file-b"])
        self.fetches.finish_all()
        self.assertEqual(self.fetches.begun, ["file-a", "file-b"])
        self.assertEqual(self.library.held_view, digest)

    def test_progress(self) -> None:
        """Progress is told at most once a second, and only when there is some."""
        self.region.publish(1, self.image(JAMMY, "0123456789"))
        self.follower.trigger()
        for held in range(1, 9):
            self.fetches.tell("file-0123456789", held)
            self.clock.advance(0.25)
        self.clock.pump([1] * 3)
        self.assertEqual([told for _, told, _ in self.region.progress], [4, 8])
        self.assertEqual(self.follower.status, "syncing")
        self.fetches.finish_all()

    def test_start_without_region(self) -> None:
        """A start is given time to connect before the lack of a region is a problem."""
        self.stopped()
        self.region.failure = TransferError("no region", code="region-not-connected")
        follower = self.follower = Follower(
            self.region,
            self.library,
            self.syncing,
            clock=self.clock,
            random=lambda: 0.5,
            events=self.events,
            tally=self.tally,
        )
        follower.startService()
        self.clock.advance(FIRST_LOOK_S - 1)
        self.assertEqual(self.codes(), [])
        self.clock.advance(1)
        self.assertEqual(self.codes(), ["region-not-connected"])


class FailureTests(FollowerCase):
    """What happens when something goes wrong."""

    def test_kept_and_retried(self) -> None:
        """A failed file costs no other; the failure is reported once, retried and cleared."""
        digest = self.region.publish(1, self.image(JAMMY, "a", "b", "c"))
        self.follower.trigger()
        self.fetches.fail("file-a", TransferError("cut", object="file-a", code="transfer-cut"))
        self.fetches.finish_all()
        cache = self.library.survey().holdings.cache
        names = [sha256_hex(word) for word in (b"a", b"b", b"c")]
        self.assertEqual([cache.get(name) for name in names], [None, 1, 1])
        generation, held, problem = self.region.syncs[-1]
        self.assertEqual((generation, held), (1, ""))
        self.assertEqual(json.loads(problem)["code"], "transfer-cut")
        self.assertEqual(self.follower.status, "out-of-sync")
        self.clock.advance(1)
        self.assertEqual(self.fetches.begun[3:], ["file-a"])
        self.fetches.finish_all()
        self.assertEqual(self.region.syncs[-1], (1, digest, ""))
        self.assertEqual(self.codes(), ["transfer-cut", "recovered"])

    def test_back_off(self) -> None:
        """Failure after failure, it asks less and less often, but at least once a minute."""
        self.region.failure = TransferError("no region", code="region-unreachable")
        self.follower.trigger()
        asked = len(self.region.asked)
        self.clock.pump([1] * 31)
        self.assertLessEqual(len(self.region.asked) - asked, 5)
        asked = len(self.region.asked)
        self.clock.pump([1] * 600)
        self.assertGreaterEqual(len(self.region.asked) - asked, 9)
        self.assertEqual(self.codes(), ["region-unreachable"])

    def test_bug(self) -> None:
        """Even a bug does not end the loop; its text stays in the log."""
        with mock.patch.object(self.library, "survey", side_effect=ZeroDivisionError("secret")):
            self.region.publish(1, self.image(JAMMY, "a"))
            self.follower.trigger()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.codes(), ["internal"])
        self.assertNotIn("secret", self.region.syncs[-1][2])
        self.clock.advance(1)
        self.fetches.finish_all()
        self.assertEqual(self.follower.status, "synced")

    def test_no_space(self) -> None:
        """A plan that does not fit is refused before the first byte, and goes on by itself."""
        digest = self.region.publish(1, self.image(JAMMY, "0123456789"))
        with mock.patch("rackd.library.free_bytes", return_value=4):
            self.follower.trigger()
            self.assertEqual(self.fetches.begun, [])
            assert self.follower.problem is not None
            self.assertIsInstance(self.follower.problem, NoSpace)
            self.assertIn("6 more bytes are needed", self.follower.problem.message)
            self.clock.pump([1] * 120)
        self.clock.pump([1] * 30)
        self.fetches.finish_all()
        self.assertEqual(self.library.held_view, digest)

    def test_disk_trouble_stops_the_rest(self) -> None:
        """When the disk is the reason, nothing further is begun; the old images stay shown."""
        self.hold(1, self.image(JAMMY, "old"))
        self.region.publish(2, self.image(JAMMY, "a", "b", "c", version="2"))
        self.follower.trigger()
        self.fetches.fail("file-a", StorageError("broken", object="/x"))
        self.fetches.finish("file-b")
        self.assertNotIn("file-c", self.fetches.begun)
        self.assertTrue((self.images_dir / "current" / JAMMY / "file-old").is_file())
        self.assertEqual(self.follower.status, "out-of-sync")

    def test_wrong_document(self) -> None:
        """An image document of another image is refused, and nothing is shown of it."""
        self.region.publish(1, self.image(JAMMY, "a"))
        image = self.image(NOBLE, "b")
        with mock.patch.object(Image, "from_document", return_value=image):
            self.follower.trigger()
        self.assertIsInstance(self.follower.problem, IntegrityError)
        self.assertEqual(self.fetches.begun, [])

    def test_clean_up_fails(self) -> None:
        """A failing clean-up is a warning; the view is held all the same."""
        with mock.patch.object(self.library, "discard", side_effect=StorageError("no")):
            self.hold(1, self.image(JAMMY, "a"))
        self.assertEqual(self.codes(), ["storage"])
        self.assertIsNone(self.follower.problem)

    def test_stop(self) -> None:
        """Stopping lets go of every transfer, keeps what is there, and ends all waiting."""
        self.region.publish(1, self.image(JAMMY, "a", "b"))
        waiting = Deferred.fromCoroutine(self.follower.sync_now())
        self.stopped()
        self.assertEqual(sorted(self.fetches.cancelled), ["file-a", "file-b"])
        self.failureResultOf(waiting)


class SyncNowTests(FollowerCase):
    """An admin who waits."""

    def test_outcome(self) -> None:
        """Whoever asks for a sync is told when it has ended, and what it fetched."""
        digest = self.region.publish(1, self.image(JAMMY, "abc"))
        waiting = Deferred.fromCoroutine(self.follower.sync_now())
        self.assertNoResult(waiting)
        self.fetches.finish_all()
        outcome = self.successResultOf(waiting)
        self.assertEqual((outcome.generation, outcome.held, outcome.fetched_bytes), (1, digest, 3))

    def test_failure(self) -> None:
        """A failed sync is the asker's failure, too."""
        self.region.failure = TransferError("no region")
        waiting = Deferred.fromCoroutine(self.follower.sync_now())
        self.failureResultOf(waiting, TransferError)

    def test_during_a_sync(self) -> None:
        """Asked during a sync, the answer is that of the look after it."""
        self.region.publish(1, self.image(JAMMY, "a"))
        self.follower.trigger()
        waiting = Deferred.fromCoroutine(self.follower.sync_now())
        self.fetches.finish("file-a")
        self.assertEqual(self.successResultOf(waiting).fetched_bytes, 0)

    def test_after_abandoning(self) -> None:
        """A sync that a newer view overtook answers when the newer one is held."""
        self.region.publish(1, self.image(JAMMY, "a"))
        waiting = Deferred.fromCoroutine(self.follower.sync_now())
        digest = self.region.publish(2, self.image(NOBLE, "b"))
        self.follower.trigger()
        self.assertNoResult(waiting)
        self.fetches.finish_all()
        self.assertEqual(self.successResultOf(waiting).held, digest)
