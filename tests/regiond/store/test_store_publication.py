"""What is published in place of what, and what is retired."""

from common.digests import sha256_hex
from common.errors import Conflict, NotFound, Stale
from regiond.store import blob_writing, generations, images, publication
from tests.doubles.publishing import KERNEL, NEWER, SQUASHFS, PublishedStore
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, key


class PublicationSuite(PublishedStore):
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
        blob = self.write(blob_writing.claim_blob, SQUASHFS.sha256, SQUASHFS.size_bytes, self.epoch)
        self.write(blob_writing.append_chunks, blob.id, self.epoch, 0, SQUASHFS.rows[:1])
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
        published = self.write(publication.publish_images, ids, self.epoch, NOW)
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
        self.assertRaises(Stale, self.write, publication.retire_images, [image], stale, NOW)
        self.assertEqual(self.read(generations.current_generation)[0], 1)

    def test_retiring_takes_images_out_of_the_view(self) -> None:
        """One generation for all of them together; none if nothing was published."""
        first = self.publish([KERNEL])
        second = self.publish([KERNEL], of=key("noble"))
        staged = self.stage([KERNEL], of=key("focal"))
        number = self.write(publication.retire_images, [first, second, staged], self.epoch, NOW)
        self.assertEqual((number, self.view().images), (3, {}))
        self.assertEqual(self.read(images.list_images), ())
        again = self.write(publication.retire_images, [first], None, NOW)
        self.assertEqual(again, 3)

    def test_an_image_is_deleted_once(self) -> None:
        """The second who does it, or asks for one that never was, is told so."""
        first = self.publish([KERNEL])
        staged = self.stage([KERNEL], of=key("focal"))
        for image in (first, staged):
            self.assertEqual(self.write(publication.delete_image, image, NOW), 2)
            with self.assertRaises(NotFound) as caught:
                self.write(publication.delete_image, image, NOW)
            self.assertEqual(caught.exception.code, "image-unknown")
        self.assertRaises(NotFound, self.write, publication.delete_image, 77, NOW)

    def test_a_retired_image_is_not_published(self) -> None:
        """What was given up does not come back by a late publish."""
        image = self.publish([KERNEL])
        self.write(publication.retire_images, [image], self.epoch, NOW)
        self.assertRaises(Conflict, self.publish_staged, image)


class PublicationOnSQLite(PublicationSuite, OnSQLite):
    pass


class PublicationOnPostgreSQL(PublicationSuite, OnPostgreSQL):
    pass
