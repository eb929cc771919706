"""What is compiled once for all engines."""

from sqlalchemy import func, select

from regiond.store import blobs
from regiond.store.compiled import EXECUTION_OPTIONS
from regiond.store.database import Database
from tests.doubles.stores import OnPostgreSQL, OnSQLite, Store, finished


class CompiledSuite(Store):
    def known(self) -> int:
        return len(EXECUTION_OPTIONS["compiled_cache"])

    def test_readers_take_what_the_writer_compiled(self) -> None:
        """And so does the next database of that kind; another kind never does."""
        statement = select(func.max(blobs.blob.c.size_bytes).label("largest_of_all"))
        known = self.known()
        for ask in (self.write, self.read):
            self.assertIsNone(ask(lambda conn: conn.execute(statement).scalar_one()))
            self.assertEqual(self.known(), known + 1)
        again = Database(self.url, None)
        finished(self.database.close())
        finished(again.open())
        self.addCleanup(lambda: finished(again.close()))
        known = self.known()
        finished(again.read(lambda conn: conn.execute(statement).scalar_one()))
        self.assertEqual(self.known(), known)


class CompiledOnSQLite(CompiledSuite, OnSQLite):
    pass


class CompiledOnPostgreSQL(CompiledSuite, OnPostgreSQL):
    pass
