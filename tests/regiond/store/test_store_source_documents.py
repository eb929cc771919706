"""The last good documents of each source."""

import attrs

from common.errors import Conflict
from regiond.store import source_documents, sources
from tests.doubles.stored_sources import DOCUMENT, SourceStore
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite


class DocumentSuite(SourceStore):
    def test_documents_are_kept_by_path(self) -> None:
        """A changed document replaces its predecessor; the others stay as they are."""
        self.create()
        second = attrs.evolve(DOCUMENT, path="streams/v1/x.sjson", updated=None)
        self.keep(1, DOCUMENT, second)
        newer = attrs.evolve(DOCUMENT, payload=b"newer", updated=78)
        self.keep(1, newer, paths=(newer.path, second.path))
        self.assertEqual(
            self.read(source_documents.stored_documents, 1),
            {newer.path: newer, second.path: second},
        )
        self.keep(1, paths=(newer.path,))
        self.assertEqual(self.read(source_documents.stored_documents, 1), {newer.path: newer})

    def test_documents_are_forgotten_with_the_trust_that_verified_them(self) -> None:
        """Another URL or keyring: everything is fetched and verified again."""
        self.create()
        for change, kept in (
            ({"priority": 9, "username": "u", "proxy": None}, 1),
            ({"keyring_data": b"other"}, 0),
            ({"url": "https://moved.example/"}, 0),
            ({"keyring_data": None, "unsigned": True}, 0),
        ):
            self.keep(1, DOCUMENT)
            made = self.write(sources.update_source, 1, change, NOW + 9)
            self.assertEqual({name: getattr(made, name) for name in change}, change)
            self.assertEqual(len(self.read(source_documents.stored_documents, 1)), kept)
            self.assertEqual(made.last_success_at, NOW if kept else None)
            self.assertEqual(made.updated_at, NOW + 9)

    def test_what_was_read_of_another_place_is_not_kept(self) -> None:
        """A source that changed while it was read: neither its documents nor its success."""
        for change in ({"url": "https://moved.example/"}, {"keyring_data": b"k"},
                       {"unsigned": True}, {"enabled": False}, None):  # fmt: skip
            read = self.create()
            self.write(sources.demand_unchanged, read)
            if change is None:
                self.write(sources.delete_source, read.id, NOW)
            else:
                self.write(sources.update_source, read.id, change, NOW)
            with self.assertRaises(Conflict) as caught:
                self.write(source_documents.keep_documents, read, [DOCUMENT], [DOCUMENT.path], NOW)
            self.assertEqual(caught.exception.code, "source-changed")
            self.assertEqual(self.read(source_documents.stored_documents, read.id), {})
            if change is not None:
                self.assertIsNone(self.read(sources.source, read.id).last_success_at)
                self.write(sources.delete_source, read.id, NOW)

    def test_what_does_not_matter_for_trust_may_change_meanwhile(self) -> None:
        """A priority or a password is no reason to read everything again."""
        read = self.create()
        self.write(sources.update_source, 1, {"priority": 1, "username": "u"}, NOW)
        self.write(source_documents.keep_documents, read, [DOCUMENT], [DOCUMENT.path], NOW)
        self.assertEqual(len(self.read(source_documents.stored_documents, 1)), 1)


class DocumentsOnSQLite(DocumentSuite, OnSQLite):
    pass


class DocumentsOnPostgreSQL(DocumentSuite, OnPostgreSQL):
    pass
