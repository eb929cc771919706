from common.digests import CHUNK_BYTES
from common.errors import NotFound
from regiond.holdings import read_holdings
from regiond.import_plan import HeldState
from regiond.store import blob_writing, images, pins, publication
from tests.doubles.stores import (
    NOW,
    OnPostgreSQL,
    OnSQLite,
    Store,
    content,
    finished,
    key,
)

KERNEL = content(10, seed=1)
SQUASHFS = content(CHUNK_BYTES + 10, seed=2)


class ImageSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.take_lease()

    def test_an_image_says_how_much_of_it_is_here(self) -> None:
        """The sizes of its files add up, and what is held of each counts."""
        image = self.stage([KERNEL, SQUASHFS])
        self.store(KERNEL)
        blob = self.write(blob_writing.claim_blob, SQUASHFS.sha256, SQUASHFS.size_bytes, self.epoch)
        self.write(blob_writing.append_chunks, blob.id, self.epoch, 0, SQUASHFS.rows[:1])
        (found,) = self.read(images.list_images)
        self.assertEqual(
            (found.id, found.name, found.architecture, found.state, found.type),
            (image, "ubuntu/jammy", "amd64/ga-22.04", "importing", "synced"),
        )
        self.assertEqual(found.size_bytes, CHUNK_BYTES + 20)
        self.assertEqual(found.complete_bytes, CHUNK_BYTES + 10)
        self.assertEqual(found, self.read(images.image_details, image))

    def test_pinned_versions(self) -> None:
        """Of published images alone."""
        found = self.publish([KERNEL], version="7")
        self.publish([SQUASHFS], of=key("noble"))
        self.write(pins.pin, found, NOW)
        self.assertEqual(self.read(images.pinned_versions), {key("jammy"): "7"})

    def test_staging_the_same_again_goes_on_with_it(self) -> None:
        """An import that was interrupted finds its image again."""
        self.assertEqual(self.stage([KERNEL, SQUASHFS]), self.stage([KERNEL, SQUASHFS]))

    def test_staging_another_version_or_other_files_replaces_the_staged_one(self) -> None:
        """There is one importing image per key, and ids are never given twice."""
        first = self.stage([KERNEL], version="1")
        second = self.stage([SQUASHFS], version="1")
        third = self.stage([SQUASHFS], version="2")
        self.assertEqual(len({first, second, third}), 3)
        self.assertEqual([each.id for each in self.read(images.list_images)], [third])
        self.assertRaises(NotFound, self.read, images.image_details, first)

    def test_staging_leaves_the_published_version_alone(self) -> None:
        """The old version stays while the new one is being imported."""
        old = self.publish([KERNEL], version="1")
        new = self.stage([SQUASHFS], version="2")
        states = {each.id: each.state for each in self.read(images.list_images)}
        self.assertEqual(states, {old: "published", new: "importing"})

    def test_racks_may_have_the_bytes_of_published_images_only(self) -> None:
        """Bytes of staged, unknown and long retired images are outside of every view."""
        image = self.stage([KERNEL])
        self.store(KERNEL, SQUASHFS)
        may = (self.read, images.is_blob_in_view, KERNEL.sha256, None)
        self.assertFalse(may[0](*may[1:], NOW))
        self.publish_staged(image)
        self.assertTrue(may[0](*may[1:], NOW))
        self.assertFalse(self.read(images.is_blob_in_view, SQUASHFS.sha256, None, NOW))
        self.write(publication.retire_images, [image], self.epoch, NOW)
        self.assertTrue(may[0](*may[1:], NOW + images.GRACE_S - 1))
        self.assertFalse(may[0](*may[1:], NOW + images.GRACE_S))

    def test_retired_images_are_forgotten_after_the_grace_time(self) -> None:
        """Until then their blobs are referenced."""
        image = self.publish([KERNEL])
        self.write(publication.retire_images, [image], self.epoch, NOW)
        self.assertEqual(self.write(images.forget_retired, NOW + images.GRACE_S - 1), 0)
        self.assertEqual(self.write(images.forget_retired, NOW + images.GRACE_S), 1)
        self.assertRaises(NotFound, self.read, images.image_details, image)

    def test_holdings_are_what_a_plan_needs(self) -> None:
        """Images with their state and files, blobs with what is held of each."""
        image = self.publish([KERNEL])
        self.stage([SQUASHFS], of=key("noble"))
        self.write(blob_writing.claim_blob, SQUASHFS.sha256, SQUASHFS.size_bytes, self.epoch)
        held = finished(read_holdings(self.database))
        states = {each.key.release: each.state for each in held.images}
        self.assertEqual(states, {"jammy": HeldState.PUBLISHED, "noble": HeldState.IMPORTING})
        self.assertEqual(held.images[0].id, image)
        self.assertEqual(held.images[0].files, {("file-0", KERNEL.sha256)})
        self.assertTrue(held.blobs[KERNEL.sha256].complete)
        self.assertEqual(held.blobs[SQUASHFS.sha256].held_bytes, 0)


class ImagesOnSQLite(ImageSuite, OnSQLite):
    pass


class ImagesOnPostgreSQL(ImageSuite, OnPostgreSQL):
    pass
