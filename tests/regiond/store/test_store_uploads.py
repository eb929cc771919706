"""Who may write the blob of an upload: imports and uploads of the same bytes."""

from datetime import date

import attrs
from sqlalchemy import func, select

from common.digests import CHUNK_BYTES
from common.errors import Busy, Conflict, Stale, WrongUsage
from common.images import ImageKey
from regiond.store import (
    blob_writing,
    blobs,
    garbage,
    generations,
    images,
    leases,
    pins,
    publication,
    uploads,
)
from regiond.store.tables import lease
from tests.doubles.stores import (
    DAY_S,
    NOW,
    Content,
    OnPostgreSQL,
    OnSQLite,
    Store,
    content,
    finished,
)

BYTES = content(3 * CHUNK_BYTES, seed=5)
OTHER = content(CHUNK_BYTES + 7, seed=6)
KEY = ImageKey("custom", "amd64", "generic", "ours", "uploaded")
TODAY = date(2026, 11, 22)


class UploadSuite(Store):
    def claim(self, epoch: int) -> blobs.Blob:
        return self.write(blob_writing.claim_blob, BYTES.sha256, BYTES.size_bytes, epoch)

    def append(self, blob: blobs.Blob, epoch: int, first: int) -> None:
        self.write(blob_writing.append_chunks, blob.id, epoch, first, BYTES.rows[first : first + 1])

    def new_epoch(self, now: float = NOW) -> int:
        return self.write(uploads.new_epoch, BYTES.sha256, now)

    def test_a_later_upload_goes_on_where_the_earlier_was(self) -> None:
        """What was sent is held; the earlier sender can write no more."""
        first = self.new_epoch()
        blob = self.claim(first)
        self.append(blob, first, 0)
        second = self.new_epoch()
        self.assertEqual(self.claim(second).held_chunks, 1)
        self.assertRaises(Stale, self.append, blob, first, 1)
        self.append(blob, second, 1)

    def test_an_import_takes_a_blob_over_and_is_not_disturbed(self) -> None:
        """It goes on where the upload was; the upload waits until the import has ended."""
        upload = self.new_epoch()
        blob = self.claim(upload)
        self.append(blob, upload, 0)
        lease = self.take_lease()
        self.assertEqual(self.claim(lease).held_chunks, 1)
        self.assertRaises(Stale, self.append, blob, upload, 1)
        self.append(blob, lease, 1)
        error = self.assertRaises(Busy, self.new_epoch)
        self.assertEqual(error.code, "upload-import")
        self.write(leases.release, publication.IMPORT_LEASE, lease)
        again = self.new_epoch()
        self.assertEqual(self.claim(again).held_chunks, 2)
        self.append(blob, again, 2)
        self.write(blob_writing.complete_blob, blob.id, again, BYTES.digests)

    def test_a_dead_import_is_not_waited_for(self) -> None:
        """A lease that was not renewed in time holds nobody up."""
        lease = self.take_lease()
        self.claim(lease)
        self.assertRaises(Busy, self.new_epoch, NOW + 14.0)
        self.claim(self.new_epoch(NOW + 15.0))
        self.assertRaises(Stale, self.write, blob_writing.drop_chunks, 1, lease)

    def test_an_import_of_other_bytes_is_not_waited_for(self) -> None:
        """A running import holds only what it fetches."""
        self.take_lease()
        self.claim(self.new_epoch())

    def test_one_region_at_a_time(self) -> None:
        """It has the blob until it lets go, or no longer says that it is at it; then none is kept."""

        def claim(region: str, now: float = NOW) -> bool:
            return self.write(uploads.claim, BYTES.sha256, region, now, 6.0)

        self.assertTrue(claim("one"))
        self.assertFalse(claim("two", NOW + 5.0))
        self.assertTrue(claim("one", NOW + 5.0))
        self.assertFalse(claim("two", NOW + 10.0))
        self.assertTrue(claim("two", NOW + 11.0))
        self.write(uploads.let_go, BYTES.sha256, "one")
        self.assertFalse(claim("one", NOW + 11.0))
        self.write(uploads.let_go, BYTES.sha256, "two")
        self.assertTrue(claim("one", NOW + 11.0))
        self.write(uploads.claim, OTHER.sha256, "one", NOW + DAY_S, 6.0)
        count = select(func.count()).where(lease.c.name.startswith("upload of "))
        self.assertEqual(self.read(lambda conn: conn.execute(count).scalar_one()), 1)

    def test_what_is_complete_is_held(self) -> None:
        """Whoever wrote it; a partial one, and another size, are not."""
        epoch = self.new_epoch()
        blob = self.claim(epoch)
        held = (uploads.is_held, BYTES.sha256)
        self.assertFalse(self.write(*held, BYTES.size_bytes))
        self.write(blob_writing.append_chunks, blob.id, epoch, 0, BYTES.rows)
        self.write(blob_writing.complete_blob, blob.id, epoch, BYTES.digests)
        self.assertTrue(self.write(*held, BYTES.size_bytes))
        self.assertFalse(self.write(*held, BYTES.size_bytes + 1))

    def test_what_is_gone_on_with_is_not_garbage(self) -> None:
        """The time of grace begins anew with every chunk; without any, the partial goes."""
        self.take_lease()
        epoch = self.new_epoch(NOW + DAY_S)
        blob = self.claim(epoch)

        def collect(now: float) -> int:
            return finished(garbage.collect(self.database, now, 3600.0))

        self.assertEqual(collect(NOW), 0)
        self.append(blob, epoch, 0)
        self.assertEqual(collect(NOW + 7200.0), 0)
        self.append(blob, epoch, 1)
        self.assertEqual(collect(NOW + 14400.0), 0)
        self.assertEqual(self.read(blobs.held_bytes, BYTES.sha256), 2 * CHUNK_BYTES)
        self.assertEqual(collect(NOW + 18000.0), 1)
        self.assertRaises(Stale, self.append, blob, epoch, 2)


class CreateSuite(Store):
    def new(self, of: Content = BYTES, title: str = "") -> images.NewImage:
        file = images.NeededFile("root-tgz", "root-tgz", of.sha256, of.size_bytes)
        return images.NewImage(KEY, "", [file], type="uploaded", title=title)

    def create(self, new: images.NewImage) -> uploads.Created:
        return self.write(uploads.create_image, new, TODAY, NOW)

    def test_versions_follow_each_other(self) -> None:
        """Published without a lease; the same bytes again are the same image."""
        self.take_lease()
        self.store(BYTES, OTHER)
        first = self.create(self.new(title="Ours"))
        self.assertEqual((first.image.version, first.image.state), ("20261122", "published"))
        again = self.create(self.new())
        self.assertEqual((again.image, again.is_new), (first.image, False))
        second = self.create(self.new(OTHER))
        self.assertEqual(
            (second.image.version, second.image.title, second.is_new), ("20261122.1", "Ours", True)
        )
        self.assertEqual(second.generation, first.generation + 1)

    def test_what_is_not_all_there_leaves_nothing(self) -> None:
        """No image and no generation."""
        error = self.assertRaises(Conflict, self.create, self.new())
        self.assertEqual(error.code, "image-incomplete")
        self.assertEqual(self.read(images.list_images), ())
        self.assertEqual(self.read(generations.current_generation), (0, ""))

    def test_a_pinned_version_is_not_replaced(self) -> None:
        """It is said before anything is sent, and again at the end."""
        self.take_lease()
        self.store(BYTES, OTHER)
        first = self.create(self.new())
        self.write(pins.pin, first.image.id, NOW)
        for refused in (
            lambda: self.read(uploads.demand_unpinned, KEY),
            lambda: self.create(self.new(OTHER)),
        ):
            self.assertEqual(self.assertRaises(Conflict, refused).code, "image-pinned")

    def test_a_name_that_a_source_has_taken_meanwhile(self) -> None:
        """Between the question whether it is free and the image an import may have ended."""
        self.take_lease()
        self.store(BYTES)
        self.publish([OTHER])
        new = attrs.evolve(self.new(), key=attrs.evolve(KEY, release="jammy"))
        self.assertEqual(self.assertRaises(WrongUsage, self.create, new).code, "custom-reserved")
        (there,) = self.read(images.list_images)
        self.assertEqual(there.key.os, "ubuntu")

    def test_names_of_what_came_from_sources(self) -> None:
        """Uploads are not among them."""
        self.take_lease()
        self.store(BYTES)
        self.create(self.new())
        self.publish([OTHER])
        self.assertEqual(self.read(uploads.names_of_sources), {("ubuntu", "jammy")})


class UploadsOnSQLite(UploadSuite, OnSQLite):
    """The embedded database."""


class CreateOnSQLite(CreateSuite, OnSQLite):
    """The embedded database."""


class CreateOnPostgreSQL(CreateSuite, OnPostgreSQL):
    """Several regions on one."""


class UploadsOnPostgreSQL(UploadSuite, OnPostgreSQL):
    """Several regions on one."""
