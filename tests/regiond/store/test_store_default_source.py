"""The source that an empty database gets."""

from regiond.store import default_source, selections, sources
from tests.doubles.stored_sources import FIELDS, JAMMY, OTHER, SourceStore
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite


class DefaultSuite(SourceStore):
    def test_the_default_source_is_made_once(self) -> None:
        """Its deletion is remembered; a database that had sources never gets it."""
        make = (self.write, default_source.make_default_source, FIELDS, JAMMY, NOW)
        made = make[0](*make[1:])
        self.assertEqual((made.id, made.url), (1, FIELDS.url))
        self.assertEqual(len(self.read(selections.list_selections)), 1)
        self.write(sources.delete_source, 1, NOW)
        self.assertIsNone(make[0](*make[1:]))
        self.assertEqual(self.read(sources.list_sources), ())

    def test_no_default_source_beside_others(self) -> None:
        """An admin who was first is not given a second source."""
        self.create(OTHER)
        self.assertIsNone(self.write(default_source.make_default_source, FIELDS, JAMMY, NOW))
        self.assertEqual(len(self.read(sources.list_sources)), 1)


class DefaultOnSQLite(DefaultSuite, OnSQLite):
    pass


class DefaultOnPostgreSQL(DefaultSuite, OnPostgreSQL):
    pass
