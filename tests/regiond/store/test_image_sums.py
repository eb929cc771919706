"""Images, summed up by the database."""

import attrs

from common.digests import CHUNK_BYTES
from regiond.store import blob_writing, image_sums, images
from tests.doubles.stores import (
    OnPostgreSQL,
    OnSQLite,
    Store,
    content,
    key,
)

KERNEL = content(10, seed=1)
SQUASHFS = content(CHUNK_BYTES + 10, seed=2)


class SumSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.take_lease()

    def test_only_what_is_begun_and_not_whole_is_on_its_way(self) -> None:
        """Of each such image it is told how much is here, by key, and of no more than asked."""
        self.stage([KERNEL], of=key("whole"))
        self.stage([content(5, seed=3)], of=key("not-begun"))
        self.stage([KERNEL, SQUASHFS], of=key("noble"))
        self.stage([SQUASHFS], of=key("jammy"))
        self.store(KERNEL)
        blob = self.write(blob_writing.claim_blob, SQUASHFS.sha256, SQUASHFS.size_bytes, self.epoch)
        self.write(blob_writing.append_chunks, blob.id, self.epoch, 0, SQUASHFS.rows[:1])
        begun = (
            image_sums.BegunImage(key("jammy"), "20261101", CHUNK_BYTES + 10, CHUNK_BYTES),
            image_sums.BegunImage(key("noble"), "20261101", CHUNK_BYTES + 20, CHUNK_BYTES + 10),
        )
        self.assertEqual(self.read(image_sums.begun_images, 9), begun)
        self.assertEqual(self.read(image_sums.begun_images, 1), begun[:1])

    def test_a_list_says_the_same_without_files(self) -> None:
        """Of an image that is published, one on its way, and one of which nothing is here."""
        self.publish([KERNEL])
        self.stage([KERNEL, SQUASHFS], of=key("noble"))
        blob = self.write(blob_writing.claim_blob, SQUASHFS.sha256, SQUASHFS.size_bytes, self.epoch)
        self.write(blob_writing.append_chunks, blob.id, self.epoch, 0, SQUASHFS.rows[:1])
        self.stage([content(7, seed=9)], of=key("focal"))
        self.stage([], of=key("bionic"))
        names = [field.name for field in attrs.fields(image_sums.ListedImage)]
        stored = [
            {name: getattr(each, name) for name in names} for each in self.read(images.list_images)
        ]
        listed = [attrs.asdict(each, recurse=False) for each in self.read(image_sums.image_list)]
        self.assertEqual(listed, stored)
        self.assertEqual([each["complete_bytes"] for each in listed], [0, 0, 10, CHUNK_BYTES + 10])


class SumsOnSQLite(SumSuite, OnSQLite):
    pass


class SumsOnPostgreSQL(SumSuite, OnPostgreSQL):
    pass
