from common.digests import CHUNK_BYTES, sha256_hex
from common.errors import Conflict, Stale
from common.images import Image, View
from regiond.store import blobs, changes, generations, images
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, Store, content, key

KERNEL = content(10, seed=1)
SQUASHFS = content(CHUNK_BYTES + 10, seed=2)
NEWER = content(11, seed=3)


class GenerationSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.take_lease()

    def view(self) -> View:
        _, digest = self.read(generations.current_generation)
        return View.from_document(self.read(generations.read_document, digest))

    def image_document(self) -> Image:
        (entry,) = self.view().images.values()
        document = self.read(generations.read_document, entry.document_sha256)
        self.assertEqual(sha256_hex(document), entry.document_sha256)
        return Image.from_document(document)

    def test_before_the_first_publish_there_is_generation_zero(self) -> None:
        """Nothing published is a state of its own, with no view."""
        self.assertEqual(self.read(generations.current_generation), (0, ""))

    def test_a_published_image_is_described_completely(self) -> None:
        """View and image document name every byte, and the digest list of every file."""
        self.publish([KERNEL, SQUASHFS])
        self.assertEqual(self.read(generations.current_generation)[0], 1)
        self.assertEqual(self.view().generation, 1)
        self.assertEqual(list(self.view().images), [str(key())])
        image = self.image_document()
        self.assertEqual((image.key, image.version), (key(), "20261101"))
        self.assertEqual(
            [(file.name, file.sha256, file.size_bytes, file.digests_sha256, file.source)
             for file in image.files],
            [(f"file-{n}", each.sha256, each.size_bytes, sha256_hex(each.digests), 1)
             for n, each in enumerate((KERNEL, SQUASHFS))],
        )  # fmt: skip

    def test_an_image_with_a_missing_file_is_not_published(self) -> None:
        """One file of several incomplete: no generation, no change, the old version stays."""
        self.publish([KERNEL], version="1")
        before = self.read(generations.current_generation)
        image = self.stage([NEWER, SQUASHFS], version="2")
        self.store(NEWER)
        blob = self.write(blobs.claim_blob, SQUASHFS.sha256, SQUASHFS.size_bytes, self.epoch)
        self.write(blobs.append_chunks, blob.id, self.epoch, 0, SQUASHFS.rows[:1])
        with self.assertRaises(Conflict) as caught:
            self.publish_staged(image)
        self.assertEqual(caught.exception.code, "image-incomplete")
        self.assertIn("file-1", caught.exception.message)
        self.assertEqual(self.read(generations.current_generation), before)
        self.assertEqual(self.image_document().version, "1")

    def test_an_image_without_files_is_not_published(self) -> None:
        """Nothing to hold is not a complete image."""
        image = self.stage([])
        self.assertRaises(Conflict, self.publish_staged, image)

    def test_a_newer_version_takes_the_place_of_the_older(self) -> None:
        """The view names one version per image; the older one is retired."""
        old = self.publish([KERNEL], version="1")
        self.publish([NEWER], version="2")
        self.assertEqual(self.image_document().version, "2")
        self.assertEqual(self.read(generations.current_generation)[0], 2)
        self.assertEqual(self.read(images.image_details, old).state, "retired")

    def test_other_bytes_under_the_same_version_are_a_new_image(self) -> None:
        """What racks hold is told apart by content, not by the version's name."""
        self.publish([KERNEL], version="1")
        first = self.view()
        self.publish([NEWER], version="1")
        self.assertNotEqual(self.view().images, first.images)
        self.assertEqual(self.image_document().files[0].sha256, NEWER.sha256)

    def test_publishing_twice_is_once(self) -> None:
        """A repeated publish makes no second generation."""
        image = self.publish([KERNEL])
        self.assertEqual(self.publish_staged(image), 1)
        self.assertEqual(self.read(generations.current_generation)[0], 1)

    def test_images_that_are_complete_together_are_one_generation(self) -> None:
        """One that is not complete, or unknown, costs the others nothing."""
        first, second = self.stage([KERNEL]), self.stage([KERNEL], of=key("noble"))
        late = self.stage([NEWER], of=key("focal"))
        self.store(KERNEL)
        ids = [first, second, late, 99]
        published = self.write(generations.publish_images, ids, self.epoch, NOW)
        self.assertEqual((published.generation, set(self.view().images)), (
            1, {str(key()), str(key("noble"))}))  # fmt: skip
        self.assertEqual({each: why.code for each, why in published.refused.items()}, {
            late: "image-incomplete", 99: "image-unknown"})  # fmt: skip

    def test_a_stale_import_publishes_and_retires_nothing(self) -> None:
        """Whoever lost the lease cannot change what racks hold."""
        image = self.publish([KERNEL])
        staged = self.stage([KERNEL], of=key("noble"))
        stale = self.epoch
        self.take_lease()
        self.assertRaises(Stale, self.publish_staged, staged, stale)
        self.assertRaises(Stale, self.write, generations.retire_images, [image], stale, NOW)
        self.assertEqual(self.read(generations.current_generation)[0], 1)

    def test_retiring_takes_images_out_of_the_view(self) -> None:
        """One generation for all of them together; none if nothing was published."""
        first = self.publish([KERNEL])
        second = self.publish([KERNEL], of=key("noble"))
        staged = self.stage([KERNEL], of=key("focal"))
        number = self.write(generations.retire_images, [first, second, staged], self.epoch, NOW)
        self.assertEqual((number, self.view().images), (3, {}))
        self.assertEqual(self.read(images.list_images), ())
        again = self.write(generations.retire_images, [first], None, NOW)
        self.assertEqual(again, 3)

    def test_a_retired_image_is_not_published(self) -> None:
        """What was given up does not come back by a late publish."""
        image = self.publish([KERNEL])
        self.write(generations.retire_images, [image], self.epoch, NOW)
        self.assertRaises(Conflict, self.publish_staged, image)

    def test_every_generation_is_told_through_the_change_feed(self) -> None:
        """Subscribers hear of a publish after its commit, and the feed keeps it."""
        heard: list[changes.Change] = []
        unsubscribe = self.database.subscribe(heard.extend)
        self.publish([KERNEL])
        self.assertEqual([(each.kind, each.object) for each in heard], [("generation", "1")])
        self.assertEqual(self.read(changes.since, 0), tuple(heard))
        unsubscribe()
        self.publish([NEWER], version="2")
        self.assertEqual(len(heard), 1)
        self.assertEqual(self.read(changes.last_id), 2)

    def test_each_generation_names_one_view_per_rack(self) -> None:
        """Older generations can still be looked up by number."""
        self.publish([KERNEL])
        first = self.read(generations.current_generation)
        self.publish([NEWER], version="2")
        self.assertEqual(self.read(generations.view_for, 1, "rack-1"), first[1])
        self.assertIsNone(self.read(generations.view_for, 9, "rack-1"))

    def test_pruning_keeps_whatever_somebody_may_still_ask_for(self) -> None:
        """Documents of the current view and of the grace time stay; older ones go."""
        self.publish([KERNEL], version="1")
        old_view = self.read(generations.current_generation)[1]
        self.publish([NEWER], version="2", now=NOW + 1)
        self.assertEqual(self.write(generations.prune, NOW + 2), 0)
        self.write(images.forget_retired, NOW + images.GRACE_S + 1)
        self.assertEqual(self.write(generations.prune, NOW + images.GRACE_S + 1), 2)
        self.assertIsNone(self.read(generations.read_document, old_view))
        self.assertEqual(self.image_document().version, "2")
        self.assertEqual(self.read(generations.current_generation)[0], 2)


class GenerationsOnSQLite(GenerationSuite, OnSQLite):
    pass


class GenerationsOnPostgreSQL(GenerationSuite, OnPostgreSQL):
    pass
