from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from twisted.trial.unittest import SynchronousTestCase

from common.errors import ConfigError
from regiond.store import sources
from regiond.store.database import Database
from regiond.store.tables import metadata
from tests.doubles import postgres
from tests.doubles.stores import OnPostgreSQL, OnSQLite, Store, finished


def _differences(conn: Connection) -> list[object]:
    return compare_metadata(MigrationContext.configure(conn), metadata)


class MigrationSuite(Store):
    def reopen(self) -> None:
        finished(self.database.close())
        finished(self.database.open())

    def test_all_steps_lead_to_the_tables_that_the_code_knows(self) -> None:
        """Nothing is missing in the migrations, and nothing is in them that is not used."""
        self.assertEqual(self.write(_differences), [])

    def test_opening_again_changes_nothing(self) -> None:
        """A database of this version is used as it is."""
        fields = sources.SourceFields("https://images.example/", keyring_filename="/k")
        made = self.write(sources.create_source, fields, 1.0)
        self.reopen()
        self.assertEqual(self.read(sources.list_sources), (made,))

    def test_a_newer_database_is_refused_and_left_alone(self) -> None:
        """An older regiond says in one line what to do, and writes nothing."""
        version = text("UPDATE alembic_version SET version_num = :to")
        self.write(lambda conn: conn.execute(version, {"to": "9999"}) and None)
        finished(self.database.close())
        again = Database(self.url, None)
        with self.assertRaises(ConfigError) as caught:
            finished(again.open())
        self.assertEqual(caught.exception.code, "database-newer")
        self.assertNotIn("\n", caught.exception.line())
        self.give_back_version()

    def give_back_version(self) -> None:
        """Let the next test find a usable database."""


class MigrationsOnSQLite(MigrationSuite, OnSQLite):
    pass


class MigrationsOnPostgreSQL(MigrationSuite, OnPostgreSQL):
    def give_back_version(self) -> None:
        postgres.without_schema()

    def test_chunk_data_is_stored_uncompressed(self) -> None:
        """Chunks are kept out of line as they are: images do not compress."""
        storage = text(
            "SELECT attstorage FROM pg_attribute"
            " WHERE attrelid = 'chunk'::regclass AND attname = 'data'"
        )
        found = self.read(lambda conn: conn.execute(storage).scalar_one())
        self.assertIn(found, ("e", b"e"))


class NamingTests(SynchronousTestCase):
    def test_every_table_and_column_is_explained(self) -> None:
        """Each has a comment, which PostgreSQL shows, too."""
        unexplained = [
            str(each)
            for table in metadata.tables.values()
            for each in (table, *table.columns)
            if not each.comment
        ]
        self.assertEqual(unexplained, [])
