"""Sources."""

import attrs

from common.errors import Conflict, NotFound
from regiond.store import selections, source_documents, sources
from regiond.store.sources import SourceFields
from tests.doubles.stored_sources import DOCUMENT, FIELDS, OTHER, SourceStore
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite


class SourceSuite(SourceStore):
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

    def test_a_place_is_given_once_however_it_is_spelt(self) -> None:
        """Whoever comes second is refused, in the transaction that would have added it."""
        self.create()
        base = FIELDS.url.rstrip("/")
        for url in (base, f"{base}/streams/v1/index.sjson", f"{base}/?".rstrip("?")):
            fields = attrs.evolve(FIELDS, url=url)
            error = self.assertRaises(Conflict, self.create, fields)
            self.assertEqual(error.code, "source-exists", url)
        unsigned = attrs.evolve(FIELDS, url=f"{base}/streams/v1/index.json", unsigned=True)
        self.create(unsigned)
        spelt = {"url": f"{base}/streams/v1/index.sjson", "unsigned": False}
        self.assertRaises(Conflict, self.write, sources.update_source, 2, spelt, NOW)
        self.write(sources.update_source, 1, {"url": base}, NOW)
        self.assertEqual(len(self.read(sources.list_sources)), 2)

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
        self.assertEqual([each.source_id for each in self.read(selections.list_selections)], [2])
        self.assertEqual(self.read(source_documents.stored_documents, 1), {})
        self.assertEqual(len(self.read(source_documents.stored_documents, 2)), 1)
        self.assertRaises(NotFound, self.read, sources.source, 1)
        self.assertRaises(NotFound, self.write, sources.delete_source, 1, NOW)

    def test_two_admins_change_two_things(self) -> None:
        """What is not named stays as somebody else has made it meanwhile."""
        self.create()
        self.write(sources.update_source, 1, {"priority": 9}, NOW)
        made = self.write(sources.update_source, 1, {"enabled": False}, NOW)
        self.assertEqual((made.priority, made.enabled), (9, False))

    def test_secrets_stand_in_no_repr(self) -> None:
        """Whatever ends up in a log by accident."""
        fields = attrs.evolve(FIELDS, url="http://u:geheim@h/", password="geheim",
                              bearer_token="geheim", proxy="http://u:geheim@p:1")  # fmt: skip
        self.assertNotIn("geheim", repr(fields) + repr(self.create(fields)))


class SourcesOnSQLite(SourceSuite, OnSQLite):
    pass


class SourcesOnPostgreSQL(SourceSuite, OnPostgreSQL):
    pass
