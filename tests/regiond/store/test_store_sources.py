from functools import partial

import attrs

from common.errors import Conflict, NotFound
from common.images import Selection
from regiond.sources.readings import StoredDocument
from regiond.store import sources
from regiond.store.sources import SourceFields
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, Store

FIELDS = SourceFields("https://images.example/", keyring_data=b"\0key", priority=5)
OTHER = SourceFields("https://other.example/", keyring_filename="/k", unsigned=False)
JAMMY = Selection("ubuntu", "jammy", ("amd64", "arm64"), ("*",), ("stable",))
DOCUMENT = StoredDocument("streams/v1/index.sjson", "ab" * 32, b"text", '"e"', "Mon", 77, "F0")


class SourceSuite(Store):
    def create(self, fields: SourceFields = FIELDS) -> sources.BootSource:
        return self.write(sources.create_source, fields, NOW)

    def select(self, source_id: int, wanted: Selection = JAMMY) -> sources.StoredSelection:
        return self.write(sources.create_selection, source_id, wanted, unchecked=True, now=NOW)

    def test_a_source_is_kept_as_it_was_given(self) -> None:
        """Every field comes back, and ids count from 1."""
        made = self.create()
        self.assertEqual(made.id, 1)
        self.assertEqual(self.read(sources.source, 1), made)
        self.assertEqual(
            SourceFields(*(getattr(made, each.name) for each in attrs.fields(SourceFields))),
            FIELDS,
        )

    def test_a_url_is_given_once(self) -> None:
        """A second source with the same URL is refused and names the first."""
        self.create()
        with self.assertRaises(Conflict) as caught:
            self.create()
        self.assertIn("boot source 1", caught.exception.message)
        self.create(OTHER)
        self.assertRaises(Conflict, self.write, sources.update_source, 2, FIELDS, NOW)

    def test_ids_are_never_given_twice(self) -> None:
        """The id of a deleted source or selection does not come back."""
        self.create()
        self.select(1)
        self.write(sources.delete_source, 1, NOW)
        self.assertEqual(self.create().id, 2)
        self.assertEqual(self.select(2).id, 2)

    def test_deleting_a_source_takes_its_selections_and_documents_along(self) -> None:
        """Nothing refers to a source that is gone; others keep theirs."""
        self.create()
        self.create(OTHER)
        for source_id in (1, 2):
            self.select(source_id)
            self.write(sources.store_documents, source_id, [DOCUMENT], NOW)
        self.write(sources.delete_source, 1, NOW)
        self.assertEqual([each.source_id for each in self.read(sources.list_selections)], [2])
        self.assertEqual(self.read(sources.stored_documents, 1), {})
        self.assertEqual(len(self.read(sources.stored_documents, 2)), 1)
        self.assertRaises(NotFound, self.read, sources.source, 1)
        self.assertRaises(NotFound, self.write, sources.delete_source, 1, NOW)

    def test_selections_come_back_as_they_were_given(self) -> None:
        """Lists keep their order and their globs."""
        self.create()
        made = self.select(1)
        self.assertEqual(self.read(sources.list_selections, 1), (made,))
        self.assertEqual(made.selection, JAMMY)
        self.assertTrue(made.unchecked)
        self.write(sources.mark_checked, made.id)
        self.assertFalse(self.read(sources.list_selections, 1)[0].unchecked)

    def test_an_os_and_release_is_selected_once_per_source(self) -> None:
        """A second selection of the same release is refused."""
        self.create()
        self.create(OTHER)
        self.select(1)
        self.assertRaises(Conflict, self.select, 1)
        self.select(2)

    def test_a_selection_can_be_changed(self) -> None:
        """All fields are replaced, the id stays, and another one's os and release are refused."""
        self.create()
        made, other = self.select(1), self.select(1, attrs.evolve(JAMMY, release="noble"))
        wanted = Selection("ubuntu", "jammy", ("*",), ("hwe-*",), ("daily", "stable"))
        revision = self.read(sources.selection_revision)
        change = partial(self.write, sources.update_selection)
        changed = change(1, made.id, wanted, unchecked=False, now=NOW)
        self.assertEqual((changed.id, changed.selection, changed.unchecked), (1, wanted, False))
        self.assertEqual(self.read(sources.one_selection, 1, made.id), changed)
        self.assertGreater(self.read(sources.selection_revision), revision)
        with self.assertRaises(Conflict) as caught:
            change(1, other.id, wanted, unchecked=False, now=NOW)
        self.assertIn("selection 1", caught.exception.message)
        self.assertEqual(self.read(sources.one_selection, 1, other.id), other)
        self.create(OTHER)
        for place in ((2, made.id), (1, 9), (9, 1)):
            self.assertRaises(NotFound, self.read, sources.one_selection, *place)
            self.assertRaises(NotFound, change, *place, wanted, unchecked=True, now=NOW)

    def test_selections_belong_to_their_source(self) -> None:
        """A selection cannot be deleted through another source, nor made for none."""
        self.create()
        self.create(OTHER)
        made = self.select(1)
        self.assertRaises(NotFound, self.write, sources.delete_selection, 2, made.id, NOW)
        self.write(sources.delete_selection, 1, made.id, NOW)
        self.assertEqual(self.read(sources.list_selections), ())
        self.assertRaises(NotFound, self.select, 9)

    def test_the_revision_changes_with_every_source_and_selection(self) -> None:
        """An import can tell that what it is to do changed meanwhile."""
        seen = [self.read(sources.selection_revision)]
        for change in (
            self.create,
            lambda: self.select(1),
            lambda: self.write(sources.update_source, 1, OTHER, NOW),
            lambda: self.write(sources.delete_selection, 1, 1, NOW),
            lambda: self.write(sources.delete_source, 1, NOW),
        ):
            change()
            seen.append(self.read(sources.selection_revision))
        self.assertEqual(seen, sorted(set(seen)))

    def test_reading_and_success_do_not_change_the_revision(self) -> None:
        """Bookkeeping of an import does not look like a change of what it is to do."""
        self.create()
        before = self.read(sources.selection_revision)
        self.write(sources.note_success, 1, NOW + 5)
        self.write(sources.store_documents, 1, [DOCUMENT], NOW)
        self.assertEqual(self.read(sources.source, 1).last_success_at, NOW + 5)
        self.assertEqual(self.read(sources.selection_revision), before)

    def test_documents_are_kept_by_path(self) -> None:
        """A changed document replaces its predecessor; the others stay as they are."""
        self.create()
        second = attrs.evolve(DOCUMENT, path="streams/v1/x.sjson", updated=None)
        self.write(sources.store_documents, 1, [DOCUMENT, second], NOW)
        newer = attrs.evolve(DOCUMENT, payload=b"newer", updated=78)
        self.write(sources.store_documents, 1, [newer], NOW)
        self.assertEqual(
            self.read(sources.stored_documents, 1), {newer.path: newer, second.path: second}
        )
        self.assertEqual(self.write(sources.forget_documents, 1, [newer.path]), 1)
        self.assertEqual(self.read(sources.stored_documents, 1), {newer.path: newer})
        self.assertRaises(NotFound, self.write, sources.store_documents, 9, [newer], NOW)

    def test_documents_are_forgotten_with_the_trust_that_verified_them(self) -> None:
        """Another URL or keyring: everything is fetched and verified again."""
        self.create()
        for fields, kept in (
            (attrs.evolve(FIELDS, priority=9), 1),
            (attrs.evolve(FIELDS, keyring_data=b"other"), 0),
            (attrs.evolve(FIELDS, keyring_data=b"other", url="https://moved.example/"), 0),
        ):
            self.write(sources.store_documents, 1, [DOCUMENT], NOW)
            self.write(sources.update_source, 1, fields, NOW)
            self.assertEqual(len(self.read(sources.stored_documents, 1)), kept)

    def test_the_default_source_is_made_once(self) -> None:
        """Its deletion is remembered; a database that had sources never gets it."""
        make = (self.write, sources.make_default_source, FIELDS, JAMMY, NOW)
        made = make[0](*make[1:])
        self.assertEqual((made.id, made.url), (1, FIELDS.url))
        self.assertEqual(len(self.read(sources.list_selections)), 1)
        self.write(sources.delete_source, 1, NOW)
        self.assertIsNone(make[0](*make[1:]))
        self.assertEqual(self.read(sources.list_sources), ())

    def test_no_default_source_beside_others(self) -> None:
        """An admin who was first is not given a second source."""
        self.create(OTHER)
        self.assertIsNone(self.write(sources.make_default_source, FIELDS, JAMMY, NOW))
        self.assertEqual(len(self.read(sources.list_sources)), 1)


class SourcesOnSQLite(SourceSuite, OnSQLite):
    pass


class SourcesOnPostgreSQL(SourceSuite, OnPostgreSQL):
    pass
