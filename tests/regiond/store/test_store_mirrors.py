"""What mirrors show, on both engines: documents and the images they name change together."""

from common.digests import CHUNK_BYTES, digest_list, sha256_hex
from common.errors import Stale
from common.images import SourceDocument, View
from regiond.sources.readings import FetchedDocument
from regiond.store import (
    blob_writing,
    blobs,
    garbage,
    generations,
    images,
    mirrors,
    publication,
    source_documents,
    sources,
)
from tests.doubles.stores import DAY_S, NOW, OnPostgreSQL, OnSQLite, Store, content, finished, key

INDEX = "streams/v1/index.sjson"
STABLE = "streams/v1/com.ubuntu.maas:stable:v3:download.sjson"
OLD, NEW, NEWEST = content(10, seed=1), content(11, seed=2), content(12, seed=3)
JAMMY, NOBLE = key("jammy"), key("noble")
HOUR_S = 3600.0


def fetched(path: str, raw: bytes) -> FetchedDocument:
    """A document as it comes from a source; its text does not matter here."""
    return FetchedDocument(path, raw, b"{}", sha256_hex(raw), "", "", None, "F0")


class MirrorSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.take_lease()
        fields = sources.SourceFields("https://images.example/", unsigned=True)
        self.source = self.write(sources.create_source, fields, NOW)

    def keep(self, **raw: bytes) -> dict[str, str]:
        """Documents as an import keeps them; path -> SHA-256."""
        documents = [fetched(f"streams/v1/{name}.sjson", each) for name, each in raw.items()]
        known = self.read(source_documents.stored_documents, 1)
        paths = {*known, *(each.path for each in documents)}
        self.write(mirrors.keep_documents, self.source, documents, paths, NOW)
        return {each.path: each.sha256 for each in documents}

    def show(self, documents: dict[str, str], *, is_complete: bool = True) -> int:
        complete = {1} if is_complete else set()
        read = {self.source: documents}
        return self.write(publication.show_documents, read, complete, self.epoch, NOW)

    def view(self) -> View:
        _, digest = self.read(generations.current_generation)
        return View.from_document(self.read(generations.read_document, digest))

    def shown(self) -> dict[str, str]:
        """What the current view's documents are; path -> SHA-256."""
        return {path: each.sha256 for path, each in self.view().documents.get("1", {}).items()}

    def document_of(self, image_id: int) -> str:
        return self.read(images.image_details, image_id).document_sha256 or ""

    def may_fetch(self, sha256: str, now: float = NOW) -> bool:
        return self.read(images.is_blob_in_view, sha256, None, now)

    # What is kept

    def test_a_document_is_kept_byte_for_byte_as_a_blob(self) -> None:
        """Complete, chunked, with its digest list; keeping it again changes nothing."""
        raw = bytes(range(256)) * (CHUNK_BYTES // 256) + b"the rest"
        for _ in range(2):
            (sha256,) = self.keep(index=raw).values()
        blob = self.read(blobs.find_blob, sha256)
        chunks = [raw[:CHUNK_BYTES], raw[CHUNK_BYTES:]]
        self.assertTrue(blob.is_complete)
        self.assertEqual([self.read(blobs.read_chunk, blob.id, n) for n in range(2)], chunks)
        self.assertEqual(self.read(blobs.digest_list, sha256), digest_list(chunks))

    def test_a_begun_transfer_of_the_same_bytes_gives_way(self) -> None:
        """The blob is complete, and the transfer finds itself stale."""
        raw = b"x" * CHUNK_BYTES + b"y"
        blob = self.write(blob_writing.claim_blob, sha256_hex(raw), len(raw), self.epoch)
        self.keep(index=raw)
        self.assertTrue(self.read(blobs.find_blob, sha256_hex(raw)).is_complete)
        self.assertRaises(
            Stale, self.write, blob_writing.append_chunks, blob.id, self.epoch, 0, OLD.rows
        )

    def test_a_document_whose_bytes_are_not_held_says_so(self) -> None:
        """An older database kept the text only: it has to be read again."""
        self.keep(index=b"signed")
        document = fetched(STABLE, b"never kept as sent").to_stored()
        paths = (INDEX, STABLE)
        self.write(source_documents.keep_documents, self.source, [document], paths, NOW)
        stored = self.read(source_documents.stored_documents, 1)
        self.assertTrue(stored[INDEX].is_raw_held)
        self.assertFalse(stored[STABLE].is_raw_held)

    def test_documents_are_no_garbage_while_they_are_stored_or_shown(self) -> None:
        """Replaced ones stay for the grace times of racks and of garbage, and then go."""
        self.publish([OLD], of=JAMMY)
        first, second = self.keep(index=b"first"), None
        self.show(first)
        second = self.keep(index=b"second")
        self.assertEqual(self.collect(NOW + DAY_S), 0)  # still shown
        self.show(second)
        self.assertEqual(self.collect(NOW + HOUR_S), 0)
        self.assertTrue(self.may_fetch(first[INDEX], NOW + HOUR_S))
        self.assertTrue(self.read(garbage.is_due, NOW + 3 * HOUR_S, HOUR_S))
        self.assertFalse(self.may_fetch(first[INDEX], NOW + 3 * HOUR_S))
        self.collect(NOW + 3 * HOUR_S)
        self.assertEqual(self.collect(NOW + 5 * HOUR_S), 1)
        self.assertIsNone(self.read(blobs.find_blob, first[INDEX]))
        self.assertTrue(self.read(blobs.find_blob, second[INDEX]).is_complete)

    def collect(self, now: float) -> int:
        self.write(images.forget_retired, now)
        self.write(mirrors.forget_retired, now)
        return finished(garbage.collect(self.database, now, HOUR_S))

    # What is shown

    def test_what_is_shown_can_be_fetched_and_verified(self) -> None:
        """The view names each document by path, with its size and digest list."""
        self.publish([OLD], of=JAMMY)
        self.show(self.keep(index=b"signed"))
        digests = sha256_hex(digest_list([b"signed"]))
        self.assertEqual(
            self.view().documents,
            {"1": {INDEX: SourceDocument(sha256_hex(b"signed"), 6, digests)}},
        )
        self.assertTrue(self.may_fetch(sha256_hex(b"signed")))

    def test_what_is_not_shown_is_not_served_to_racks(self) -> None:
        """A document that was kept for the next flip is in no view yet."""
        self.keep(index=b"signed")
        self.assertFalse(self.may_fetch(sha256_hex(b"signed")))

    def test_showing_the_same_again_is_no_new_generation(self) -> None:
        """A generation is a change of what racks hold."""
        self.publish([OLD], of=JAMMY)
        documents = self.keep(index=b"signed")
        self.assertEqual(self.show(documents), 2)
        self.assertEqual(self.show(documents), 2)

    def test_nothing_is_shown_of_a_source_without_images(self) -> None:
        """No selection, no mirror; when the last image goes, the documents go."""
        documents = self.keep(index=b"signed")
        self.assertEqual(self.show(documents), 0)
        image = self.publish([OLD], of=JAMMY)
        self.show(documents)
        self.write(publication.retire_images, [image], self.epoch, NOW)
        self.show(documents)
        self.assertEqual(self.view().documents, {})

    def test_documents_change_only_with_every_image(self) -> None:
        """While one is missing the old ones stay; the first ones are shown in any case."""
        self.publish([OLD], of=JAMMY)
        first = self.keep(index=b"first")
        self.show(first, is_complete=False)
        self.assertEqual(self.shown(), first)
        second = self.keep(index=b"second")
        self.show(second, is_complete=False)
        self.assertEqual(self.shown(), first)
        self.show(second)
        self.assertEqual(self.shown(), second)

    def test_documents_that_are_not_all_held_are_not_shown(self) -> None:
        """A set with a hole in it would be no mirror."""
        self.publish([OLD], of=JAMMY)
        self.show(self.keep(index=b"signed") | {STABLE: sha256_hex(b"nowhere")})
        self.assertEqual(self.view().documents, {})

    def test_paths_that_are_gone_are_shown_no_more(self) -> None:
        """The shown set is replaced whole."""
        self.publish([OLD], of=JAMMY)
        both = self.keep(index=b"signed", other=b"other")
        self.show(both)
        self.show({INDEX: both[INDEX]})
        self.assertEqual(self.shown(), {INDEX: both[INDEX]})
        self.show(both)  # and back again
        self.assertEqual(self.shown(), both)

    def test_a_source_that_was_changed_shows_what_it_did(self) -> None:
        """Documents of another place, or trust, are not shown under its name."""
        self.publish([OLD], of=JAMMY)
        first = self.keep(index=b"first")
        self.show(first)
        second = self.keep(index=b"second")
        self.write(sources.update_source, 1, {"url": "https://moved.example/"}, NOW)
        self.show(second)
        self.assertEqual(self.shown(), first)

    def test_a_stale_import_shows_nothing(self) -> None:
        """Whoever lost the lease cannot change what mirrors show."""
        self.publish([OLD], of=JAMMY)
        documents = self.keep(index=b"signed")
        before = self.read(generations.current_generation)
        read, epoch = {self.source: documents}, self.epoch - 1
        self.assertRaises(Stale, self.write, publication.show_documents, read, {1}, epoch, NOW)
        self.assertEqual(self.read(generations.current_generation), before)

    def test_a_deleted_source_is_no_mirror_from_that_moment_on(self) -> None:
        """In a generation of its own: no view names documents that no rack may fetch."""
        self.publish([OLD], of=JAMMY)
        documents = self.keep(index=b"signed")
        before = self.show(documents)
        self.assertEqual(self.write(generations.delete_source, 1, NOW), before + 1)
        self.assertEqual(self.view().documents, {})
        self.show(documents)  # by an import that began before
        self.assertEqual(self.view().documents, {})

    def test_a_rack_may_finish_with_the_documents_of_a_deleted_source(self) -> None:
        """It began when its view still named them."""
        self.publish([OLD], of=JAMMY)
        (sha256,) = self.keep(index=b"signed").values()
        self.show(self.keep(index=b"signed"))
        self.write(generations.delete_source, 1, NOW)
        self.assertTrue(self.may_fetch(sha256))
        self.write(mirrors.forget_retired, NOW + 2 * HOUR_S)
        self.assertFalse(self.may_fetch(sha256, NOW + 2 * HOUR_S))

    # What stands at a path (here all files stand at "a")

    def found(self, path: str = "a", now: float = NOW) -> str | None:
        blob = self.read(mirrors.find_mirrored, 1, path, now)
        return None if blob is None else blob.sha256

    def test_a_path_leads_to_what_is_shown(self) -> None:
        """To a document, or to a file of an image; of a source that shows something."""
        self.stage([OLD], of=JAMMY)
        self.assertIsNone(self.found())
        self.publish([OLD], of=JAMMY)
        documents = self.keep(index=b"signed")
        self.assertEqual((self.found(), self.found(INDEX)), (None, None))
        self.show(documents)
        self.assertEqual((self.found(), self.found(INDEX)), (OLD.sha256, documents[INDEX]))
        self.assertIsNone(self.found("b"))
        self.assertIsNone(self.read(mirrors.find_mirrored, 2, "a", NOW))

    def test_a_replaced_file_stays_under_its_path_for_the_grace_time(self) -> None:
        """Behind a published one that claims the same path."""
        _, new = self.supersede()
        self.show(self.keep(index=b"second"))
        self.assertEqual(self.found(), NEW.sha256)
        self.write(publication.retire_images, [new], self.epoch, NOW + HOUR_S)
        other = self.publish([NEWEST], of=NOBLE, now=NOW + HOUR_S)
        self.show(self.keep(index=b"third"))
        self.assertEqual(self.found(), NEWEST.sha256)
        self.write(publication.retire_images, [other], self.epoch, NOW + HOUR_S)
        self.assertIn(self.found(), {NEW.sha256, OLD.sha256})
        self.assertIsNone(self.found(now=NOW + 4 * HOUR_S))

    # Superseded images

    def supersede(self) -> tuple[int, int]:
        """Jammy is shown, then replaced; the documents are still the old ones. Both ids."""
        old = self.publish([OLD], "1", JAMMY)
        self.show(self.keep(index=b"first"))
        new = self.publish([NEW], "2", JAMMY)
        return old, new

    def test_a_superseded_image_stays_until_the_documents_change(self) -> None:
        """In one generation the old version and the documents that name it go."""
        old, new = self.supersede()
        view = self.view()
        self.assertEqual(view.images[str(JAMMY)].document_sha256, self.document_of(new))
        self.assertEqual(view.mirror_only, (self.document_of(old),))
        self.assertEqual(self.write(images.forget_retired, NOW + DAY_S), 0)
        self.assertTrue(self.may_fetch(OLD.sha256, NOW + DAY_S))
        second = self.keep(index=b"second")
        number = self.show(second)
        view = self.view()
        self.assertEqual((view.generation, view.mirror_only), (number, ()))
        self.assertEqual(self.shown(), second)
        self.assertTrue(self.may_fetch(OLD.sha256, NOW + HOUR_S))
        self.assertEqual(self.write(images.forget_retired, NOW + DAY_S), 1)

    def test_there_is_at_most_one_extra_version(self) -> None:
        """What no shown document ever named is not kept for mirrors."""
        old, _ = self.supersede()
        self.publish([NEWEST], "3", JAMMY)
        self.assertEqual(self.view().mirror_only, (self.document_of(old),))

    def test_an_image_that_was_never_shown_is_not_kept(self) -> None:
        """Without documents there is nothing that names it."""
        self.publish([OLD], "1", JAMMY)
        self.publish([NEW], "2", JAMMY)
        self.assertEqual(self.view().mirror_only, ())

    def test_what_is_taken_away_is_gone_at_once(self) -> None:
        """By an admin, or by a selection: every version of it leaves the mirrors."""
        for epoch in (None, self.epoch):
            _, new = self.supersede()
            self.write(publication.retire_images, [new], epoch, NOW)
            self.assertEqual((self.view().images, self.view().mirror_only), ({}, ()))

    def test_deleting_one_version_takes_no_other_out(self) -> None:
        """The superseded version goes alone; it is not the one that racks boot from."""
        old, new = self.supersede()
        other = self.publish([NEWEST], "3", JAMMY)
        self.write(publication.retire_images, [new], None, NOW)
        self.assertEqual(self.view().mirror_only, (self.document_of(old),))
        self.write(publication.retire_images, [old], None, NOW)
        self.assertEqual(self.view().mirror_only, ())
        self.assertEqual(self.view().images[str(JAMMY)].document_sha256, self.document_of(other))

    def test_giving_up_an_import_takes_nothing_from_the_mirrors(self) -> None:
        """A version that was still on its way was no part of any mirror."""
        old, _ = self.supersede()
        staged = self.stage([NEWEST], "3", JAMMY)
        self.write(publication.retire_images, [staged], self.epoch, NOW)
        self.assertEqual(self.view().mirror_only, (self.document_of(old),))

    def test_a_release_that_has_a_successor_stays_with_mirrors(self) -> None:
        """``latest-lts`` moved on; the shown documents still mean the old release by it."""
        old = self.publish([OLD], of=JAMMY)
        self.publish([NEW], of=NOBLE)
        self.show(self.keep(index=b"first"))
        self.write(publication.retire_images, [old], self.epoch, NOW, stay_mirrored=True)
        self.assertEqual(self.view().mirror_only, (self.document_of(old),))
        self.show(self.keep(index=b"second"))
        self.assertEqual(self.view().mirror_only, ())


class MirrorsOnSQLite(MirrorSuite, OnSQLite):
    pass


class MirrorsOnPostgreSQL(MirrorSuite, OnPostgreSQL):
    pass
