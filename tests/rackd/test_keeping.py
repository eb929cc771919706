"""Older versions on a rack: at hand, shown nowhere, and never in the way."""

from pathlib import Path
from unittest import mock

from twisted.internet.defer import Deferred

from common.errors import NoSpace, TransferError
from common.images import Image
from rackd.follower import INTERVAL_S
from rackd.retention import RETENTION_S
from tests.doubles.following import JAMMY, FollowerCase


class KeepingTests(FollowerCase):
    def setUp(self) -> None:
        super().setUp()
        self.old = self.image(JAMMY, "old", version="1")
        self.new = self.image(JAMMY, "new", version="2")

    def publish(self, generation: int, *images: Image, kept: tuple[Image, ...] = ()) -> str:
        digest = self.region.publish(generation, *images, kept=kept)
        self.follower.trigger()
        return digest

    def cached(self) -> set[str]:
        """The words whose bytes are on the disk."""
        return {path.read_bytes().decode() for path in (self.images_dir / "cache").iterdir()}

    def shown(self) -> set[str]:
        tree = self.images_dir / "current" / "ubuntu"
        return {path.read_bytes().decode() for path in tree.rglob("*") if path.is_file()}

    def test_what_was_replaced_stays_at_hand_and_going_back_fetches_nothing(self) -> None:
        """However long ago it was replaced; the tree shows one version at a time."""
        self.hold(1, self.old)
        self.publish(2, self.new, kept=(self.old,))
        self.fetches.finish_all()
        self.clock.advance(RETENTION_S + INTERVAL_S)
        self.clock.advance(RETENTION_S + INTERVAL_S)
        self.assertEqual((self.shown(), {"old", "new"} - self.cached()), ({"new"}, set()))
        begun = len(self.fetches.begun)
        back = self.publish(3, self.old, kept=(self.new,))
        self.assertEqual(self.library.held_view, back)
        self.assertEqual((self.shown(), len(self.fetches.begun)), ({"old"}, begun))

    def test_it_comes_after_what_is_selected(self) -> None:
        """A new rack is synced, and has said so, before it fetches an older version."""
        digest = self.publish(1, self.new, kept=(self.old,))
        self.assertEqual(self.fetches.begun, ["file-new"])
        self.fetches.finish("file-new")
        self.assertEqual(self.region.syncs[-1], (1, digest, ""))
        self.assertEqual((self.fetches.running, self.follower.status), (["file-old"], "synced"))
        self.fetches.finish_all()
        self.assertTrue({"old", "new"} <= self.cached())

    def test_it_gives_way_to_a_new_view(self) -> None:
        """What was begun is let go of, and gone on with afterwards."""
        self.publish(1, self.new, kept=(self.old,))
        self.fetches.finish("file-new")
        newest = self.image(JAMMY, "newest", version="3")
        self.publish(2, newest, kept=(self.old,))
        self.assertEqual(self.fetches.cancelled, ["file-old"])
        self.assertEqual(self.fetches.running, ["file-newest"])
        self.fetches.finish("file-newest")
        self.assertEqual(self.fetches.running, ["file-old"])
        self.fetches.finish_all()

    def test_the_rack_looks_on_while_it_comes(self) -> None:
        """Whatever time it takes: the region is asked as often as ever."""
        digest = self.publish(1, self.new, kept=(self.old,))
        self.fetches.finish("file-new")
        asked = len(self.region.asked)
        self.clock.advance(INTERVAL_S)
        self.assertEqual(self.region.asked[asked:], [digest])
        self.assertEqual(self.fetches.running, ["file-old"])
        self.fetches.finish_all()

    def test_nothing_to_do_costs_nothing(self) -> None:
        """No document is read and no disk, until things may have changed."""
        self.publish(1, self.new, kept=(self.old,))
        self.fetches.finish_all()
        read = len(self.region.read)
        with mock.patch.object(self.library, "survey", side_effect=AssertionError("disk")):
            self.clock.advance(INTERVAL_S)
        self.assertEqual(len(self.region.read), read)

    def test_what_went_bad_is_fetched_again(self) -> None:
        """A little later: nobody waits for it."""
        self.publish(1, self.new, kept=(self.old,))
        self.fetches.finish_all()
        self.file_of(self.old).unlink()
        self.clock.advance(RETENTION_S)
        self.assertEqual(self.fetches.running, ["file-old"])
        self.fetches.finish_all()

    def test_a_failure_is_no_problem_of_the_rack(self) -> None:
        """It is synced; the status says why not all is here; the next look tries again."""
        self.publish(1, self.new, kept=(self.old,))
        self.fetches.finish("file-new")
        self.fetches.fail("file-old", TransferError("cut", object="file-old"))
        self.assertEqual((self.follower.status, self.follower.problem), ("synced", None))
        self.assertEqual(self.kept()["reason"], "file-old: cut")
        self.clock.advance(INTERVAL_S)
        self.assertEqual(self.fetches.running, ["file-old"])
        self.fetches.finish_all()
        self.assertEqual((self.kept()["complete"], self.kept()["reason"]), (1, ""))

    def test_a_full_disk_is_no_problem_either(self) -> None:
        """What does not fit is not begun; the status says so."""
        with mock.patch("rackd.library.free_bytes", return_value=3):
            self.publish(1, self.new)
            self.fetches.finish_all()
        with mock.patch("rackd.library.free_bytes", return_value=2):
            self.publish(2, self.new, kept=(self.old,))
            self.assertEqual(self.fetches.running, [])
            self.assertIn("no room", self.kept()["reason"])
        self.clock.advance(RETENTION_S)
        self.fetches.fail("file-old", NoSpace("the disk is full"))
        self.assertEqual(self.kept()["reason"], "the disk is full")
        self.assertEqual(self.follower.status, "synced")

    def test_on_a_short_disk_it_goes_first(self) -> None:
        """What is selected is fetched in its place, and the rest of the versions stays."""
        older = self.image(JAMMY, "older", version="0")
        self.publish(1, self.new, kept=(self.old, older))
        self.fetches.finish_all()
        newest = self.image(JAMMY, "newest", version="3")

        def free_bytes(*_: object) -> int:
            return 5 + (0 if (self.file_of(older)).exists() else 5)

        with mock.patch("rackd.library.free_bytes", side_effect=free_bytes):
            digest = self.publish(2, newest, kept=(self.new, self.old, older))
            self.assertFalse(self.file_of(older).exists())
            self.fetches.finish("file-newest")
        self.assertEqual(self.library.held_view, digest)
        self.assertTrue(self.file_of(self.old).exists())
        self.fetches.finish_all()

    def test_a_disk_that_is_full_in_mid_sync_loses_it(self) -> None:
        """A quota knows better than the file system what fits."""
        self.publish(1, self.new, kept=(self.old,))
        self.fetches.finish_all()
        self.publish(2, self.image(JAMMY, "newest", version="3"), kept=(self.old,))
        self.fetches.fail("file-newest", NoSpace("the disk is full"))
        self.assertFalse(self.file_of(self.old).exists())
        self.assertTrue(self.file_of(self.new).exists())

    def test_a_restart_keeps_it(self) -> None:
        """What the record of the tree names is not garbage for a rack without a region."""
        self.publish(1, self.new, kept=(self.old,))
        self.fetches.finish_all()
        self.stopped()
        library = self.reopened()
        assert library.current is not None
        (kept,) = library.current.record.kept
        self.assertEqual((kept.key, kept.version, library.held_bytes(kept)), (JAMMY, "1", 3))
        self.start(library)
        self.follower.connected()
        self.assertTrue(self.file_of(self.old).exists())

    def kept(self) -> dict[str, object]:
        return self.successResultOf(Deferred.fromCoroutine(self.follower.kept()))

    def file_of(self, image: Image) -> Path:
        return self.images_dir / "cache" / image.files[0].sha256
