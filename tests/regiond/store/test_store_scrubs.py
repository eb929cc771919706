"""The scrub in the store: leases, how far it is, and blobs that are not whole any more."""

from sqlalchemy import func, select, update

from common.digests import CHUNK_BYTES
from common.errors import NotFound, Stale
from common.events import Event, Severity
from common.scrub_record import WEEK_S, ScrubRecord
from regiond.damaged_blobs import Uses
from regiond.rows import image_row
from regiond.store import (
    blob_writing,
    blobs,
    changes,
    events,
    images,
    leases,
    revisions,
    scrubs,
    settings,
)
from regiond.store.blobs import Blob
from regiond.store.tables import blob, chunk
from tests.doubles.stores import NOW, Content, OnPostgreSQL, OnSQLite, Store, content, key

ONE, TWO = sorted((content(3 * CHUNK_BYTES + 5, 1), content(9, 2)), key=lambda each: each.sha256)
BAD = Event("blob-damaged", Severity.ERROR, "blob", "went bad")
BIG = max(ONE, TWO, key=lambda each: each.size_bytes)


def said(_: Uses) -> Event:
    """Whatever needs it."""
    return BAD


class ScrubSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.take_lease()

    def begun(self, holder: str = "region-1", now: float = NOW) -> int | None:
        return self.write(leases.acquire, scrubs.LEASE, holder, now, scrubs.LEASE_TTL_S)

    def blob(self, of: Content = BIG) -> Blob:
        found = self.read(blobs.find_blob, of.sha256)
        assert found is not None
        return found

    def chunks_held(self) -> int:
        return self.read(lambda conn: conn.execute(select(func.count(chunk.c.id))).scalar_one())

    # How far it is

    def test_the_first_is_planned_once(self) -> None:
        """A moment of the week, which stays when somebody else plans, too."""
        self.assertEqual(self.read(scrubs.record), ScrubRecord())
        planned = self.write(scrubs.plan, NOW, 0.5)
        self.assertEqual(planned.next_at, NOW + WEEK_S / 2)
        self.assertEqual(self.write(scrubs.plan, NOW + 9, 0.1), planned)
        self.assertEqual(self.read(scrubs.record), planned)

    def test_how_far_it_is_is_kept_by_whoever_has_the_lease(self) -> None:
        """And by nobody else, not even by one who had it and slept."""
        token = self.begun()
        assert token is not None
        record = ScrubRecord().begun(NOW).passed("ab", 7, is_damaged=True)
        self.write(scrubs.keep, record, token, NOW + 50)
        self.assertEqual(self.read(scrubs.record), record)
        self.assertIsNone(self.begun("region-2", NOW + 100))
        other = self.begun("region-2", NOW + 111)
        assert other is not None
        self.store(BIG)
        for late in (
            lambda: self.write(scrubs.keep, ScrubRecord(), token, NOW + 111),
            lambda: self.write(scrubs.leave, ScrubRecord(), token, NOW + 111),
            lambda: self.write(scrubs.withdraw, self.blob(), 0, said, token=token, now=NOW + 111),
            lambda: self.write(scrubs.abandon, self.blob(), said, token=token, now=NOW + 111),
            lambda: self.write(scrubs.correct_digests, self.blob(), b"", {}, token),
        ):
            self.assertRaises(Stale, late)
        self.assertEqual(self.read(scrubs.record), record)
        self.assertTrue(self.blob().is_complete)
        self.write(scrubs.leave, record, other, NOW + 112)
        self.assertIsNotNone(self.begun("region-1", NOW + 113))

    def test_a_record_that_is_none_is_as_if_there_was_none(self) -> None:
        """What went bad in it costs some reading."""
        self.write(settings.put, "scrub", "went bad", NOW)
        self.assertEqual(self.read(scrubs.record), ScrubRecord())
        self.assertEqual(self.write(scrubs.plan, NOW, 0.5).next_at, NOW + WEEK_S / 2)

    def test_keeping_it_is_news_to_nobody(self) -> None:
        """No subscriber is woken every few seconds."""
        token, last = self.begun(), self.read(changes.last_id)
        self.write(scrubs.keep, ScrubRecord(), token, NOW)
        self.assertEqual(self.read(changes.last_id), last)

    # What is read

    def test_complete_blobs_in_the_order_of_their_names(self) -> None:
        """Partial ones are left out."""
        self.store(ONE, TWO)
        self.write(blob_writing.claim_blob, "ff" * 32, 9, self.epoch)
        first = self.read(scrubs.next_complete, "")
        assert first is not None
        second = self.read(scrubs.next_complete, first.sha256)
        assert second is not None
        self.assertEqual([first.sha256, second.sha256], [ONE.sha256, TWO.sha256])
        self.assertIsNone(self.read(scrubs.next_complete, second.sha256))
        self.assertEqual(self.read(scrubs.complete_bytes), ONE.size_bytes + TWO.size_bytes)

    # What is done

    def test_what_is_withdrawn_is_partial_and_goes_on_where_it_broke(self) -> None:
        """The chunks before stay; a writer adds the rest, and it is complete again."""
        self.store(BIG)
        token, revision = self.begun(), self.read(revisions.selection_revision)
        self.assertEqual(
            self.write(scrubs.withdraw, self.blob(), 2, said, token=token, now=NOW), BAD
        )
        held = self.blob()
        self.assertEqual((held.state, held.held_chunks, held.held_bytes), ("partial", 2, 2 << 20))
        self.assertEqual(self.chunks_held(), 2)
        self.assertIsNone(self.read(blobs.digest_list, BIG.sha256))
        self.assertRaises(NotFound, self.read, blobs.read_chunk, held.id, 2)
        self.assertGreater(self.read(revisions.selection_revision), revision)
        self.assertEqual(
            [(each.kind, each.object) for each in self.read(changes.since, 0)][-2],
            ("blob", str(held.id)),
        )
        self.assertEqual([each.event.code for each in self.read(events.list_events)], [BAD.code])
        self.assertIsNone(self.write(scrubs.withdraw, held, 0, said, token=token, now=NOW))
        self.write(blob_writing.claim_blob, BIG.sha256, BIG.size_bytes, self.epoch)
        self.write(blob_writing.append_chunks, held.id, self.epoch, 2, BIG.rows[2:])
        self.write(blob_writing.complete_blob, held.id, self.epoch, BIG.digests)
        self.assertTrue(self.blob().is_complete)

    def test_what_is_abandoned_is_unknown_and_its_rows_are_nobodys(self) -> None:
        """It can be stored anew, beside what cannot be removed."""
        self.store(BIG)
        token = self.begun()
        old = self.blob()
        self.assertEqual(self.write(scrubs.abandon, old, said, token=token, now=NOW), BAD)
        self.assertIsNone(self.write(scrubs.abandon, old, said, token=token, now=NOW))
        self.assertIsNone(self.read(blobs.find_blob, BIG.sha256))
        self.assertEqual(self.chunks_held(), 4)
        self.store(BIG)
        self.assertNotEqual(self.blob().id, old.id)
        self.assertEqual(self.read(blobs.read_chunk, self.blob().id, 3), BIG.chunks[3])

    def test_digests_are_corrected(self) -> None:
        """In the list and beside the chunk; the bytes are left alone."""
        self.store(BIG)
        token, held = self.begun(), self.blob()
        seq_1 = blobs.first_chunk(held.id) + 1
        self.write(lambda conn: conn.execute(
            update(chunk).where(chunk.c.id == seq_1).values(digest=b"x" * 32)) and None)  # fmt: skip
        self.write(lambda conn: conn.execute(update(blob).values(digests=b"y" * 128)) and None)
        self.write(scrubs.correct_digests, held, BIG.digests, {1: BIG.digests[32:64]}, token)
        self.assertEqual(self.read(blobs.digest_list, BIG.sha256), BIG.digests)
        row = self.read(blobs.read_chunk_row, held.id, 1)
        self.assertEqual((row.data, row.digest), BIG.rows[1])

    # What is missing

    def test_what_images_lack(self) -> None:
        """Of published and kept ones; an image that is on its way lacks nothing."""
        image = self.publish([BIG, content(9, 2)])
        self.stage([content(5, 7)], of=key("focal"))
        self.assertEqual(self.read(scrubs.lost_files), ())
        token = self.begun()
        uses: list[Uses] = []
        describe = lambda found: uses.append(found) or BAD  # noqa: E731
        self.write(scrubs.withdraw, self.blob(), 1, describe, token=token, now=NOW)
        (lost,) = self.read(scrubs.lost_files)
        self.assertEqual(
            (lost.id, lost.key, lost.version, lost.ftype, lost.sha256, lost.size_bytes),
            (image, key(), "20261101", "boot-kernel", BIG.sha256, BIG.size_bytes),
        )
        self.assertEqual((lost.source_id, lost.upstream_path), (1, "a"))
        self.assertEqual(image_row(self.read(images.image_details, image))["state"], "damaged")
        self.assertEqual(uses, [Uses((lost,))])

    def test_what_is_whole_again(self) -> None:
        """Complete; or gone, and needed by nothing."""
        self.publish([BIG])
        token = self.begun()
        self.write(scrubs.abandon, self.blob(), said, token=token, now=NOW)
        names = {BIG.sha256, "00" * 32}
        self.assertEqual(self.read(scrubs.whole_or_gone, names), {"00" * 32})
        self.store(BIG)
        self.assertEqual(self.read(scrubs.whole_or_gone, names), names)


class ScrubOnSQLite(ScrubSuite, OnSQLite):
    pass


class ScrubOnPostgreSQL(ScrubSuite, OnPostgreSQL):
    pass
