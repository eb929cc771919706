"""The own stream's key and documents, on both engines."""

import attrs
from sqlalchemy import update

from common.digests import sha256_hex
from regiond.store import blobs, garbage, own_stream, promotions, racks
from regiond.store.tables import blob
from regiond.stream_documents import Draft, Written
from regiond.stream_signing import SigningKey
from tests.doubles.stores import DAY_S, NOW, OnPostgreSQL, OnSQLite, Store, content, finished, key

INDEX, OTHER = "streams/v1/index.sjson", "streams/v1/other.sjson"
HOUR_S = 3600.0
KEY = SigningKey("F0", b"secret", b"public")


def draft(text: bytes, updated: int = 1) -> tuple[Draft, bytes]:
    """A draft, and as it is served."""
    return Draft(sha256_hex(text), updated, text, True), b"signed " + text


class OwnStreamSuite(Store):
    def keep(self, number: int, *paths: str, **new: bytes) -> bool:
        """Documents of a generation: new ones by the last part of their names."""
        drafts = {f"streams/v1/{name}.sjson": draft(text) for name, text in new.items()}
        return self.write(own_stream.keep_documents, number, drafts, {*drafts, *paths}, NOW)

    def served(self, path: str = INDEX) -> bytes | None:
        blob = self.read(own_stream.find_document, path)
        return None if blob is None else self.read(blobs.read_chunk, blob.id, 0)

    def test_what_is_published(self) -> None:
        """The images of the generation, since when, and the documents that there are."""
        self.take_lease()
        self.assertEqual(self.read(own_stream.published), own_stream.Published(0, 0.0, (), {}))
        self.publish([content(10)], of=key("jammy"), now=NOW)
        self.stage([content(11)], of=key("noble"))
        self.keep(1, index=b"text")
        found = self.read(own_stream.published)
        self.assertEqual((found.generation, found.at), (1, NOW))
        self.assertEqual([each.key.release for each in found.images], ["jammy"])
        self.assertEqual(found.documents, {INDEX: Written(sha256_hex(b"text"), 1)})

    def test_others_get_what_racks_hold_that_are_no_canaries(self) -> None:
        """A version that has yet to prove itself is not handed on."""
        self.take_lease()
        self.write(lambda conn: racks._active_rack(conn, "canary", NOW))
        self.publish([content(10)], "1")
        self.write(promotions.change, ("canary",), HOUR_S, NOW)
        self.publish([content(11)], "2")
        self.assertEqual(self.versions(), ["1"])
        self.write(promotions.change, None, None, NOW, promotes=True)
        self.assertEqual(self.versions(), ["2"])

    def versions(self) -> list[str]:
        return [each.version for each in self.read(own_stream.published).images]

    def test_documents_are_replaced_together(self) -> None:
        """What is not named any more goes; what did not change stays."""
        self.assertTrue(self.keep(1, index=b"1", other=b"1"))
        self.assertTrue(self.keep(2, OTHER, index=b"2"))
        self.assertEqual((self.served(), self.served(OTHER)), (b"signed 2", b"signed 1"))
        self.assertTrue(self.keep(3, index=b"3"))
        self.assertEqual((self.served(), self.served(OTHER)), (b"signed 3", None))

    def test_what_is_replaced_gives_no_import_something_to_do(self) -> None:
        """It is noted as garbage at once, and due only when its grace time is over."""
        self.keep(1, index=b"1")
        self.keep(2, index=b"2")
        self.assertFalse(self.read(garbage.is_due, NOW, HOUR_S))
        self.assertTrue(self.read(garbage.is_due, NOW + HOUR_S, HOUR_S))

    def test_a_document_whose_bytes_are_not_whole_is_none(self) -> None:
        """It is made anew."""
        self.keep(1, index=b"1", other=b"1")
        damaged = update(blob).where(blob.c.sha256 == sha256_hex(b"signed 1"))
        self.write(lambda conn: conn.execute(damaged.values(state="partial")) and None)
        self.assertEqual(self.read(own_stream.published).documents, {})
        self.assertIsNone(self.served())
        self.assertTrue(self.keep(1, index=b"1", other=b"1"))
        self.assertEqual((self.served(), self.served(OTHER)), (b"signed 1", b"signed 1"))

    def test_an_earlier_state_replaces_nothing(self) -> None:
        """Another region was quicker, and looked later."""
        self.keep(2, index=b"2")
        self.assertFalse(self.keep(1, index=b"1", other=b"1"))
        self.assertEqual((self.served(), self.served(OTHER)), (b"signed 2", None))

    def test_documents_are_no_garbage_while_they_are_shown(self) -> None:
        """Who is reading an old one may end; then it goes."""
        self.keep(1, index=b"1")
        old = self.read(own_stream.find_document, INDEX)
        self.assertEqual(finished(garbage.collect(self.database, NOW + DAY_S, HOUR_S)), 0)
        self.keep(2, index=b"2")
        self.assertEqual(finished(garbage.collect(self.database, NOW, HOUR_S)), 0)
        self.assertEqual(self.read(blobs.find_complete, old.sha256), old)
        self.assertEqual(finished(garbage.collect(self.database, NOW + HOUR_S, HOUR_S)), 1)
        self.assertEqual(self.served(), b"signed 2")

    def test_the_first_key_is_the_key(self) -> None:
        """All regions of one database sign with the same."""
        self.assertIsNone(self.read(own_stream.signing_key))
        self.assertEqual(self.write(own_stream.keep_key, KEY, NOW), KEY)
        other = attrs.evolve(KEY, fingerprint="F1")
        self.assertEqual(self.write(own_stream.keep_key, other, NOW), KEY)
        self.assertEqual(self.read(own_stream.signing_key), KEY)


class OwnStreamOnSQLite(OwnStreamSuite, OnSQLite):
    pass


class OwnStreamOnPostgreSQL(OwnStreamSuite, OnPostgreSQL):
    pass
