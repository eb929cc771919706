import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from unittest import SkipTest
from urllib.parse import quote

from sqlalchemy import Connection, text
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

import common
from common.digests import CHUNK_BYTES
from common.errors import ConfigError, IntegrityError, NoSpace, StorageError
from regiond.store import blob_writing, blobs, settings
from regiond.store import database as database_module
from regiond.store.database import Database
from tests.doubles import postgres
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, Store, content, finished

BIG = content(8 * CHUNK_BYTES)
SMALL = content(CHUNK_BYTES + 1, seed=1)

KEEP_OPEN = """
import sys
from twisted.internet.defer import Deferred
from regiond.store.database import Database
database = Database(sys.argv[1], None)
Deferred.fromCoroutine(database.open()).addErrback(lambda why: sys.exit(str(why.value)))
print("open", flush=True)
sys.stdin.read()
"""


def pragma(conn: Connection, name: str) -> object:
    return conn.exec_driver_sql(f"PRAGMA {name}").scalar_one()


class DatabaseSuite(Store):
    def test_reads_cannot_write_on_sqlite_nor_be_seen_half_done(self) -> None:
        """A failing write leaves nothing of itself behind."""

        def half(conn: Connection) -> None:
            settings.put(conn, "a", 1, NOW)
            raise IntegrityError("half done")

        self.assertRaises(IntegrityError, self.write, half)
        self.assertIsNone(self.read(settings.get, "a"))

    def test_a_bug_is_not_taken_for_an_expected_failure(self) -> None:
        """Wrong SQL comes out as it is."""
        with self.assertRaises(Exception) as caught:
            self.read(lambda conn: conn.execute(text("SELECT nonsense")))
        self.assertNotIsInstance(caught.exception, StorageError)

    def test_a_closed_database_says_so(self) -> None:
        """Work that comes too late is refused, not lost in silence."""
        other = Database(self.url, None)
        self.assertRaises(StorageError, finished, other.read(settings.everything))

    def test_its_size_is_known(self) -> None:
        """And that it can be written."""
        self.assertGreater(finished(self.database.size_bytes()), 0)
        finished(self.database.demand_writable())


class DatabaseOnSQLite(DatabaseSuite, OnSQLite):
    def test_the_file_is_made_as_the_design_says(self) -> None:
        """Page size, vacuum, journal and sync are what durability and speed were measured with."""
        wanted = {
            "page_size": 65536,
            "auto_vacuum": 2,
            "journal_mode": "wal",
            "synchronous": 2,
            "secure_delete": 0,
            "foreign_keys": 1,
            "mmap_size": 0,
        }
        for run in (self.read, self.write):
            self.assertEqual({name: run(pragma, name) for name in wanted}, wanted)

    def test_a_reader_cannot_write(self) -> None:
        """Writing outside of ``write`` is stopped by the database itself."""
        self.assertRaises(StorageError, self.read, settings.put, "a", 1, NOW)

    def test_a_full_database_is_no_space_and_goes_on_when_there_is_some(self) -> None:
        """Nothing of the failed write stays, reads go on, and a later write succeeds."""
        self.take_lease()
        blob = self.write(blob_writing.claim_blob, BIG.sha256, BIG.size_bytes, self.epoch)
        self.write(blob_writing.append_chunks, blob.id, self.epoch, 0, BIG.rows[:1])
        pages = self.write(pragma, "page_count")
        self.write(lambda conn: pragma(conn, f"max_page_count={pages + 20}") and None)
        append = (self.write, blob_writing.append_chunks, blob.id, self.epoch, 1, BIG.rows[1:])
        with self.assertRaises(NoSpace) as caught:
            append[0](*append[1:])
        self.assertEqual(caught.exception.object, str(self.file))
        self.assertEqual(self.read(blobs.held_bytes, BIG.sha256), CHUNK_BYTES)
        self.write(lambda conn: pragma(conn, "max_page_count=1000000") and None)
        append[0](*append[1:])
        self.assertEqual(self.read(blobs.held_bytes, BIG.sha256), BIG.size_bytes)

    def test_the_log_does_not_grow_with_what_is_imported(self) -> None:
        """It begins anew when it has reached its limit, whatever is written."""
        self.patch(database_module, "RESTART_BYTES", 64 * CHUNK_BYTES)
        self.take_lease()
        for seed in range(10, 34):
            self.store(content(8 * CHUNK_BYTES, seed))
        log = self.file.with_name(self.file.name + "-wal")
        self.assertGreater(self.file.stat().st_size, 100 * CHUNK_BYTES)
        self.assertLess(log.stat().st_size, 90 * CHUNK_BYTES)

    def test_another_process_is_refused_in_one_line(self) -> None:
        """A second regiond on the same file stops at once and names the file."""
        with self.assertRaises(ConfigError) as caught:
            finished(Database(self.url, None).open())
        self.assertEqual(caught.exception.code, "database-locked")
        self.assertIn("locked by another regiond", caught.exception.message)
        self.assertEqual(caught.exception.object, str(self.file))
        self.assertNotIn("\n", caught.exception.line())

    def test_a_damaged_page_costs_what_is_on_it(self) -> None:
        """After an unclean end with a broken page the database starts, says what is wrong,
        and serves what is not on that page.
        """
        self.take_lease()
        self.store(SMALL)
        kept = self.write(lambda conn: _rootpage(conn, "event"))
        finished(self.database.close())
        with self.file.open("r+b") as file:
            file.seek((kept - 1) * 65536)
            file.write(b"\xff" * 4096)
        self.file.with_name(self.file.name + "-wal").write_bytes(b"\0" * 32)
        finished(self.database.open())
        self.assertIn("event", " ".join(self.database.problems))
        blob = self.read(blobs.find_blob, SMALL.sha256)
        self.assertEqual(self.read(blobs.read_chunk, blob.id, 0), SMALL.chunks[0])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_check_reads_what_is_on_the_disk(self) -> None:
        """The kernel forgets the file, and no other; nobody else gets at it for that."""
        forgotten: list[Path] = []
        self.patch(
            os,
            "posix_fadvise",
            lambda fd, *_: forgotten.append(Path(f"/proc/self/fd/{fd}").readlink()),
        )
        finished(self.database.check())
        self.assertEqual(set(forgotten), {self.file.resolve()})
        with self.assertRaises(ConfigError):
            finished(Database(self.url, None).open())
        self.assertEqual(self.read(settings.everything), {})

    def test_what_nobody_wrote_is_damage(self) -> None:
        """Text that is no text, JSON that is no JSON: no bug, but a database that is damaged."""
        for value in ("'[1,'", "CAST(x'22ff22' AS TEXT)"):
            insert = f"INSERT OR REPLACE INTO setting (name, value) VALUES ('bad', {value})"
            self.write(lambda conn, insert=insert: conn.exec_driver_sql(insert) and None)
            with self.assertRaises(StorageError) as caught:
                self.read(settings.everything)
            self.assertEqual(caught.exception.code, "database-damaged")

    def test_a_schema_that_is_not_what_it_says_is_refused(self) -> None:
        """In one line, with what to do; nothing is changed."""
        for change in (
            "DELETE FROM alembic_version",
            "INSERT INTO alembic_version VALUES ('0001')",
        ):
            self.write(lambda conn, change=change: conn.exec_driver_sql(change) and None)
            finished(self.database.close())
            with self.assertRaises(ConfigError) as caught:
                finished(self.database.open())
            self.assertEqual(caught.exception.code, "database-damaged")
            self.assertIn("put back a copy of it", caught.exception.remedy)
            self.assertNotIn("\n", caught.exception.line())
            with closing(sqlite3.connect(self.file)) as connection, connection:
                connection.execute("DELETE FROM alembic_version")
                connection.execute("INSERT INTO alembic_version VALUES ('0002')")
            finished(self.database.open())

    def test_a_clean_end_needs_no_check(self) -> None:
        """Nothing is checked, and nothing reported, when the last end was in order."""
        finished(self.database.close())
        finished(self.database.open())
        self.assertEqual(self.database.problems, ())


def _rootpage(conn: Connection, table: str) -> int:
    query = text("SELECT rootpage FROM sqlite_schema WHERE name = :name")
    return conn.execute(query, {"name": table}).scalar_one()


class DatabaseOnPostgreSQL(DatabaseSuite, OnPostgreSQL):
    def test_a_lost_race_is_run_again(self) -> None:
        """Two that count at the same time both count."""
        other = Database(self.url, None)
        finished(other.open())
        self.addCleanup(lambda: finished(other.close()))
        met = threading.Barrier(2, timeout=20)
        attempts: list[str] = []

        def count(conn: Connection, who: str) -> int:
            before = settings.get(conn, "n", 0)
            if who not in attempts:
                attempts.append(who)
                met.wait()
            else:
                attempts.append(who)
            return settings.add(conn, "n") - before

        rival = threading.Thread(target=lambda: finished(other.write(count, "b")))
        self.write(settings.add, "n", 5)
        rival.start()
        self.assertEqual(self.write(count, "a"), 1)
        rival.join()
        self.assertEqual(self.read(settings.get, "n"), 7)
        self.assertGreater(len(attempts), 2)

    def test_a_lost_connection_is_named(self) -> None:
        """When the server ends a connection in mid-work the failure says so."""

        def suicide(conn: Connection) -> None:
            conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

        with self.assertRaises(StorageError) as caught:
            self.write(suicide)
        self.assertEqual(caught.exception.code, "database-unreachable")
        self.assertEqual(self.read(settings.get, "n", 0), 0)

    def test_a_server_that_does_not_answer_is_a_configuration_error(self) -> None:
        """One line with the address, without the password."""
        database = Database("postgresql://me:secret@/db?host=/nonexistent", None)
        with self.assertRaises(ConfigError) as caught:
            finished(database.open())
        self.assertNotIn("secret", caught.exception.line())
        self.assertNotIn("\n", caught.exception.line())


class OpeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rf-open-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def assert_refused(self, url: str) -> ConfigError:
        with self.assertRaises(ConfigError) as caught:
            finished(Database(url, None).open())
        self.assertNotIn("\n", caught.exception.line())
        self.assertTrue(caught.exception.remedy)
        return caught.exception

    def test_missing_directories_are_made(self) -> None:
        """A first start needs nothing but a writable parent; what it makes is private."""
        file = self.directory / "a" / "b" / "regiond.db"
        database = Database(f"sqlite:///{file}", None)
        finished(database.open())
        finished(database.close())
        self.assertTrue(file.exists())
        self.assertEqual(file.parent.stat().st_mode & 0o777, 0o700)

    def test_addresses_that_mean_nothing_are_refused(self) -> None:
        """Neither another kind of database nor none at all."""
        for url in ("", "nonsense", "mysql://x/y", "sqlite://", "postgresql://host"):
            with self.assertRaises(ConfigError):
                Database(url, None)

    def test_an_unwritable_place_is_named(self) -> None:
        """A directory where no file can be made gives one line with the path."""
        in_the_way = self.directory / "file"
        in_the_way.write_bytes(b"")
        error = self.assert_refused(f"sqlite:///{in_the_way}/regiond.db")
        self.assertIn(str(in_the_way), error.line())

    def test_a_file_that_is_moved_away_is_missed(self) -> None:
        """Nobody makes another in its place; put back, all is well."""
        strange = self.directory / "a #?%41 b"
        file, aside = strange / "regiond.db", self.directory / "aside"
        database = Database(f"sqlite:///{quote(str(file))}", None)
        finished(database.open())
        self.addCleanup(lambda: finished(database.close()))
        finished(database.demand_writable())
        file.rename(aside)
        opened = database._opened
        assert opened is not None
        for engine in (opened.reader, opened.appender, opened.writer):
            engine.dispose()  # as if each thread came for its first connection
        for work in (database.read, database.write):
            self.assertRaises(StorageError, finished, work(settings.get, "a"))
        self.assertFalse(file.exists())
        self.assert_moved(database)
        file.write_bytes(b"")
        self.assert_moved(database)
        aside.rename(file)
        finished(database.demand_writable())
        self.assertIsNone(finished(database.read(settings.get, "a")))

    def assert_moved(self, database: Database) -> None:
        with self.assertRaises(StorageError) as caught:
            finished(database.demand_writable())
        self.assertEqual(caught.exception.code, "database-moved")

    def test_something_else_at_that_path_is_left_alone(self) -> None:
        """A file that is no database is refused and not touched."""
        file = self.directory / "regiond.db"
        file.write_bytes(b"something else entirely, and long enough to have a header" * 100)
        before = file.read_bytes()
        error = self.assert_refused(f"sqlite:///{file}")
        self.assertEqual(error.code, "database-damaged")
        self.assertEqual(file.read_bytes(), before)

    def test_a_directory_at_that_path_is_refused(self) -> None:
        """As any other thing that cannot be opened."""
        (self.directory / "regiond.db").mkdir()
        self.assert_refused(f"sqlite:///{self.directory}/regiond.db")

    def test_a_read_only_file_is_refused(self) -> None:
        """A database that cannot be written is no use to a region."""
        if os.geteuid() == 0:
            raise SkipTest("root may write everything: this test needs another user")
        file = self.directory / "regiond.db"
        sqlite3.connect(file).execute("CREATE TABLE t (x)").connection.close()
        file.chmod(0o400)
        self.assert_refused(f"sqlite:///{file}")

    def test_a_second_process_is_refused_until_the_first_is_gone(self) -> None:
        """The lock is a process's own, and ends with it however it ends."""
        url = f"sqlite:///{self.directory}/regiond.db"
        source = Path(common.__file__).parent.parent
        with subprocess.Popen(
            [sys.executable, "-c", KEEP_OPEN, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(source)},
        ) as first:
            self.assertEqual(first.stdout.readline(), b"open\n")
            error = self.assert_refused(url)
            first.kill()
        self.assertEqual(error.code, "database-locked")
        self.assertIn(str(first.pid), error.message)
        database = Database(url, None)
        finished(database.open())
        self.assertEqual(database.problems, ())
        finished(database.close())


class ThreadedTests(TestCase):
    """With the real reactor and real threads."""

    async def opened(self) -> Database:
        directory = Path(tempfile.mkdtemp(prefix="rf-threads-"))
        self.addCleanup(shutil.rmtree, directory)
        database = Database(f"sqlite:///{directory}/regiond.db", reactor)
        await database.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(database.close()))
        return database

    def test_work_runs_on_named_threads_and_answers_on_the_reactors(self) -> None:
        """Writers on one thread, readers on others, subscribers on the reactor's."""

        async def scenario() -> None:
            database = await self.opened()
            told: list[str] = []
            database.subscribe(lambda _: told.append(threading.current_thread().name))
            name = lambda _conn: threading.current_thread().name  # noqa: E731
            self.assertIn("db-write", await database.write(name))
            self.assertIn("db-read", await database.read(name))
            await database.write(settings.put, "a", 1, NOW)
            self.assertEqual(told, [threading.current_thread().name])
            await database.close()

        return Deferred.fromCoroutine(scenario())

    def test_readers_do_not_wait_for_the_writer(self) -> None:
        """While a write is under way, the state before it can be read."""

        async def scenario() -> None:
            database = await self.opened()
            inside, go_on = threading.Event(), threading.Event()

            def slow(conn: Connection) -> None:
                settings.put(conn, "a", 1, NOW)
                inside.set()
                go_on.wait(5)

            writing = Deferred.fromCoroutine(database.write(slow))
            found = await database.read(lambda conn: (inside.wait(5), settings.get(conn, "a")))
            go_on.set()
            await writing
            self.assertEqual(found, (True, None))
            self.assertEqual(await database.read(settings.get, "a"), 1)
            await database.close()

        return Deferred.fromCoroutine(scenario())

    def test_cancelling_abandons_the_answer_and_not_the_work(self) -> None:
        """A write whose caller gave up is whole; closing waits for it."""

        async def scenario() -> None:
            database = await self.opened()
            inside, go_on = threading.Event(), threading.Event()

            def slow(conn: Connection) -> None:
                inside.set()
                go_on.wait(5)
                settings.put(conn, "a", 1, NOW)

            writing = Deferred.fromCoroutine(database.write(slow))
            await database.read(lambda _: inside.wait(5))
            writing.cancel()
            closing = Deferred.fromCoroutine(database.close())
            go_on.set()
            await closing
            with self.assertRaises(CancelledError):
                await writing
            await database.open()
            self.assertEqual(await database.read(settings.get, "a"), 1)
            await database.close()

        return Deferred.fromCoroutine(scenario())

    def test_many_at_once_all_get_their_own_answer(self) -> None:
        """Concurrent reads and writes do not mix."""

        async def scenario() -> None:
            database = await self.opened()
            writes = [
                Deferred.fromCoroutine(database.write(settings.put, str(n), n, NOW))
                for n in range(20)
            ]
            await gatherResults(writes)
            reads = [Deferred.fromCoroutine(database.read(settings.get, str(n))) for n in range(20)]
            self.assertEqual(await gatherResults(reads), list(range(20)))
            await database.close()

        return Deferred.fromCoroutine(scenario())

    def test_a_failed_open_leaves_no_threads(self) -> None:
        """A daemon that cannot use its database can end."""

        async def scenario() -> None:
            database = Database("sqlite:////proc/nowhere/regiond.db", reactor)
            before = threading.active_count()
            with self.assertRaises(ConfigError):
                await database.open()
            self.assertLessEqual(threading.active_count(), before)

        return Deferred.fromCoroutine(scenario())


class PostgresFixtureTests(SynchronousTestCase):
    def test_a_missing_server_skips(self) -> None:
        """Without binaries the tests say so instead of failing."""
        self.patch(postgres, "binaries", lambda: None)
        self.assertRaises(SkipTest, postgres.server_url.__wrapped__)
