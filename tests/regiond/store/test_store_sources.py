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

    def keep(
        self,
        source_id: int,
        *documents: StoredDocument,
        paths: tuple[str, ...] = (),
        now: float = NOW,
    ) -> None:
        read = self.read(sources.source, source_id)
        kept = paths or [each.path for each in documents]
        self.write(sources.keep_documents, read, documents, kept, now)

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
        taken = {"url": FIELDS.url}
        self.assertRaises(Conflict, self.write, sources.update_source, 2, taken, NOW)

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
            self.keep(source_id, DOCUMENT)
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
            lambda: self.write(sources.update_source, 1, {"priority": 6}, NOW),
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
        self.keep(1, DOCUMENT, now=NOW + 5)
        self.assertEqual(self.read(sources.source, 1).last_success_at, NOW + 5)
        self.assertEqual(self.read(sources.selection_revision), before)

    def test_documents_are_kept_by_path(self) -> None:
        """A changed document replaces its predecessor; the others stay as they are."""
        self.create()
        second = attrs.evolve(DOCUMENT, path="streams/v1/x.sjson", updated=None)
        self.keep(1, DOCUMENT, second)
        newer = attrs.evolve(DOCUMENT, payload=b"newer", updated=78)
        self.keep(1, newer, paths=(newer.path, second.path))
        self.assertEqual(
            self.read(sources.stored_documents, 1), {newer.path: newer, second.path: second}
        )
        self.keep(1, paths=(newer.path,))
        self.assertEqual(self.read(sources.stored_documents, 1), {newer.path: newer})

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
            self.assertEqual(len(self.read(sources.stored_documents, 1)), kept)
            self.assertEqual(made.last_success_at, NOW if kept else None)
            self.assertEqual(made.updated_at, NOW + 9)

    def test_two_admins_change_two_things(self) -> None:
        """What is not named stays as somebody else has made it meanwhile."""
        self.create()
        self.write(sources.update_source, 1, {"priority": 9}, NOW)
        made = self.write(sources.update_source, 1, {"enabled": False}, NOW)
        self.assertEqual((made.priority, made.enabled), (9, False))

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
                self.write(sources.keep_documents, read, [DOCUMENT], [DOCUMENT.path], NOW)
            self.assertEqual(caught.exception.code, "source-changed")
            self.assertEqual(self.read(sources.stored_documents, read.id), {})
            if change is not None:
                self.assertIsNone(self.read(sources.source, read.id).last_success_at)
                self.write(sources.delete_source, read.id, NOW)

    def test_what_does_not_matter_for_trust_may_change_meanwhile(self) -> None:
        """A priority or a password is no reason to read everything again."""
        read = self.create()
        self.write(sources.update_source, 1, {"priority": 1, "username": "u"}, NOW)
        self.write(sources.keep_documents, read, [DOCUMENT], [DOCUMENT.path], NOW)
        self.assertEqual(len(self.read(sources.stored_documents, 1)), 1)

    def test_secrets_stand_in_no_repr(self) -> None:
        """Whatever ends up in a log by accident."""
        fields = attrs.evolve(FIELDS, url="http://u:geheim@h/", password="geheim",
                              bearer_token="geheim", proxy="http://u:geheim@p:1")  # fmt: skip
        self.assertNotIn("geheim", repr(fields) + repr(self.create(fields)))

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
