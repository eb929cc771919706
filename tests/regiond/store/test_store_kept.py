"""Versions that are kept, and those that are too many."""

from common.errors import Conflict
from common.images import View
from regiond.housekeeping import GARBAGE_GRACE_S
from regiond.store import blobs, garbage, generations, images, publication, settings
from regiond.store.kept import VERSIONS, retire_surplus, surplus_images
from tests.doubles.stores import DAY_S, NOW, OnPostgreSQL, OnSQLite, Store, content, finished, key

CONTENTS = [content(10, seed=each) for each in range(5)]


class KeptSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.take_lease()

    def keep(self, versions: int) -> None:
        self.write(settings.put, VERSIONS, versions, NOW)

    def publish_versions(self, count: int) -> list[int]:
        return [self.publish([CONTENTS[each]], version=str(each)) for each in range(count)]

    def states(self, ids: list[int]) -> list[str]:
        return [self.read(images.image_details, each).state for each in ids]

    def test_one_version_is_kept_unless_more_are_wanted(self) -> None:
        """By default the older one goes when the newer is published."""
        self.assertEqual(self.states(self.publish_versions(2)), ["retired", "published"])

    def test_the_newest_versions_are_kept(self) -> None:
        """The oldest beyond the setting is retired by the publish that makes it too many."""
        self.keep(3)
        ids = self.publish_versions(4)
        self.assertEqual(self.states(ids), ["retired", "kept", "kept", "published"])
        self.assertEqual([each.id for each in self.read(images.list_images)], ids[1:])

    def test_other_images_do_not_count(self) -> None:
        """Each image has its own versions."""
        self.keep(2)
        ids = self.publish_versions(2)
        ids.append(self.publish([CONTENTS[4]], version="9", of=key("noble")))
        self.assertEqual(self.states(ids), ["kept", "published", "published"])

    def test_an_importing_version_takes_no_place(self) -> None:
        """Only what is complete counts."""
        self.keep(2)
        ids = self.publish_versions(2)
        self.stage([CONTENTS[3]], version="3")
        self.assertEqual(self.write(retire_surplus, NOW), 0)
        self.assertEqual(self.states(ids), ["kept", "published"])

    def test_a_lower_setting_retires_the_surplus(self) -> None:
        """Once, in one generation in which racks let go of them."""
        self.keep(3)
        ids = self.publish_versions(3)
        self.assertEqual(self.read(surplus_images), ())
        self.assertEqual(self.view().kept, self.documents(ids[:2]))
        self.keep(1)
        self.assertEqual(self.read(surplus_images), tuple(ids[:2]))
        self.assertEqual(self.write(generations.let_surplus_go, NOW), 4)
        self.assertEqual(self.write(generations.let_surplus_go, NOW), 4)
        self.assertEqual(self.states(ids), ["retired", "retired", "published"])
        self.assertEqual(self.view().kept, ())

    def view(self) -> View:
        _, digest = self.read(generations.current_generation)
        return View.from_document(self.read(generations.read_document, digest) or b"")

    def documents(self, ids: list[int]) -> tuple[str, ...]:
        found = [self.read(images.image_details, each).document_sha256 for each in ids]
        return tuple(sorted(map(str, found)))

    def test_kept_bytes_are_no_garbage_until_their_version_goes(self) -> None:
        """What is kept could be published again without fetching anything."""
        self.keep(2)
        self.publish_versions(2)
        later = NOW + GARBAGE_GRACE_S
        finished(garbage.collect(self.database, NOW, GARBAGE_GRACE_S))
        finished(garbage.collect(self.database, later, GARBAGE_GRACE_S))
        self.assertEqual(self.read(blobs.held_bytes, CONTENTS[0].sha256), 10)
        self.keep(1)
        self.write(retire_surplus, NOW)
        self.write(images.forget_retired, NOW + images.GRACE_S)
        finished(garbage.collect(self.database, NOW, GARBAGE_GRACE_S))
        finished(garbage.collect(self.database, later, GARBAGE_GRACE_S))
        self.assertEqual(self.read(blobs.held_bytes, CONTENTS[0].sha256), 0)
        self.assertEqual(self.read(blobs.held_bytes, CONTENTS[1].sha256), 10)

    def test_one_kept_version_can_be_let_go(self) -> None:
        """Exactly that one, on racks, too."""
        self.keep(3)
        ids = self.publish_versions(3)
        self.assertEqual(self.write(publication.retire_images, ids[:1], None, NOW), 4)
        self.assertEqual(self.states(ids), ["retired", "kept", "published"])
        self.assertEqual(self.view().kept, self.documents(ids[1:2]))

    def test_an_older_version_that_is_offered_again_is_held_once(self) -> None:
        """A mirror went back: it is published, and the newer one is kept."""
        self.keep(2)
        old, new = self.publish_versions(2)
        again = self.publish([CONTENTS[0]], version="0")
        self.assertEqual(self.states([old, new, again]), ["retired", "kept", "published"])

    def test_a_rack_may_finish_what_was_just_replaced(self) -> None:
        """A version's bytes are served while it is kept, then for the grace time."""
        self.keep(2)
        self.publish_versions(2)
        self.assertTrue(self.may_fetch(10 * DAY_S))
        self.keep(1)
        self.write(generations.let_surplus_go, NOW)
        may = [self.may_fetch(since_s) for since_s in (images.GRACE_S - 1, images.GRACE_S)]
        self.assertEqual(may, [True, False])

    def may_fetch(self, since_s: float) -> bool:
        return self.read(images.is_blob_in_view, CONTENTS[0].sha256, None, NOW + since_s)

    def test_a_kept_version_is_not_published_by_accident(self) -> None:
        """A late publish of what was replaced is refused."""
        self.keep(2)
        old, _ = self.publish_versions(2)
        self.assertRaises(Conflict, self.publish_staged, old)


class KeptOnSQLite(KeptSuite, OnSQLite):
    pass


class KeptOnPostgreSQL(KeptSuite, OnPostgreSQL):
    pass
