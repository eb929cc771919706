"""What may be taken back by a loss of power, and what may not (ADR 5)."""

import ast
import sqlite3
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from common.digests import CHUNK_BYTES, RunningDigest
from common.errors import NotFound, StorageError
from regiond.store import blob_writing, blobs, sqlite
from regiond.store import database as database_module
from regiond.store import log as log_module
from regiond.store.log import MOST_UNSYNCED_BYTES, SYNC_EVERY_BYTES
from tests.doubles.stores import OnSQLite, SlowDisk, Store, finished

T = TypeVar("T")

SOURCE = Path(__file__).resolve().parents[3] / "src"


class AppendingTests(Store, OnSQLite):
    def setUp(self) -> None:
        super().setUp()
        self.durable: list[bool] = []
        opened = self.database._opened
        assert opened is not None
        transact = self.database._transact

        def noted(engine: object, *args: object, **kwargs: object) -> object:
            self.durable.append(engine is opened.writer)
            return transact(engine, *args, **kwargs)  # type: ignore[arg-type]  # as it came

        self.patch(self.database, "_transact", noted)

    def append(self, blob_id: int, seq: int, running: RunningDigest) -> None:
        data = bytes([seq % 251]) * CHUNK_BYTES
        rows = [(data, running.add(data))]
        finished(self.database.append(blob_writing.append_chunks, blob_id, 1, seq, rows))

    def test_the_writer_waits_when_too_much_is_at_stake(self) -> None:
        """However slow the disk is, only so much and one commit are not on it."""
        disk = SlowDisk()
        log = self.database.log_file
        log._syncing = disk
        chunks = 96
        blob = finished(
            self.database.write(blob_writing.claim_blob, "a" * 64, chunks * CHUNK_BYTES, 1)
        )
        running = RunningDigest()
        most = 0
        for seq in range(chunks):
            data = bytes([seq]) * CHUNK_BYTES
            rows = [(data, running.add(data))]
            appending = Deferred.fromCoroutine(
                self.database.append(blob_writing.append_chunks, blob.id, 1, seq, rows)
            )
            most = max(most, log.unsynced_bytes)
            while not appending.called:
                disk.waiting.pop(0).callback(None)
            self.successResultOf(appending)
        self.assertEqual(most, MOST_UNSYNCED_BYTES + CHUNK_BYTES)

    def test_nothing_goes_on_after_a_failed_sync(self) -> None:
        """What a failed sync lost nobody knows: no later write is acknowledged."""
        blob = finished(self.database.write(blob_writing.claim_blob, "a" * 64, 64 * CHUNK_BYTES, 1))

        def refuse() -> None:
            raise StorageError("the disk refused", code="storage-sync")

        self.patch(self.database.log_file, "_sync", refuse)
        running = RunningDigest()
        for seq in range(SYNC_EVERY_BYTES // CHUNK_BYTES):
            self.append(blob.id, seq, running)
        self.assertEqual(len(self.flushLoggedErrors(StorageError)), 1)
        for work in (self.database.append, self.database.write):
            with self.assertRaises(StorageError):
                finished(work(blob_writing.claim_blob, "b" * 64, 5, 1))

    def test_the_log_is_synced_beside_the_writer(self) -> None:
        """Each 8 MiB of chunks start a sync of the log's own file."""
        synced: list[Path] = []
        self.patch(sqlite, "sync_file", lambda _, path: synced.append(path))
        blob = finished(self.database.write(blob_writing.claim_blob, "a" * 64, 64 * CHUNK_BYTES, 1))
        running = RunningDigest()
        for seq in range(2 * SYNC_EVERY_BYTES // CHUNK_BYTES):
            self.append(blob.id, seq, running)
        self.assertEqual([path.name[-4:] for path in synced], ["-wal", "-wal"])

    def test_a_long_log_is_moved_and_begins_anew(self) -> None:
        """The log never grows for ever: it is moved beside, and the writer waits if need be."""
        self.patch(log_module, "MOVE_BYTES", 4 * CHUNK_BYTES)
        self.patch(database_module, "RESTART_BYTES", 8 * CHUNK_BYTES)
        moved: list[str] = []
        for name in ("checkpoint", "checkpoint_beside"):
            real = getattr(sqlite, name)

            def noted(connection: sqlite3.Connection, name: str = name, real: Any = real) -> Any:
                moved.append(name)
                return real(connection)

            self.patch(sqlite, name, noted)
        blob = finished(self.database.write(blob_writing.claim_blob, "a" * 64, 64 * CHUNK_BYTES, 1))
        running = RunningDigest()
        for seq in range(16):
            self.append(blob.id, seq, running)
        self.assertIn("checkpoint_beside", moved)
        self.assertEqual(moved.count("checkpoint"), 2)
        self.assertLess(self.database.log_file.length_bytes, 8 * CHUNK_BYTES)

    def test_every_write_is_durable(self) -> None:
        """What is written, not appended, is on the disk when the answer comes, with all before it."""
        blob = finished(self.database.write(blob_writing.claim_blob, "a" * 64, 4 * CHUNK_BYTES, 1))
        self.append(blob.id, 0, RunningDigest())
        self.durable.clear()
        finished(self.database.write(blob_writing.drop_chunks, blob.id, 1, 1))
        self.assertEqual(self.durable, [True])
        self.assertEqual(self.database.log_file.unsynced_bytes, 0)

    def test_the_connections_are_set_so(self) -> None:
        """The writer syncs every commit (FULL), the appender those of checkpoints (NORMAL)."""
        opened = self.database._opened
        assert opened is not None
        for engine, level in ((opened.writer, 2), (opened.reader, 2), (opened.appender, 1)):
            with engine.begin() as conn:
                found = conn.exec_driver_sql("PRAGMA synchronous").scalar_one()
            self.assertEqual(found, level)

    def test_no_page_of_an_append_is_written_twice(self) -> None:
        """Whatever the size of SQLite's cache: the log gets each changed page once, at the end."""
        opened = self.database._opened
        assert opened is not None
        with opened.appender.begin() as conn:
            self.assertEqual(conn.exec_driver_sql("PRAGMA cache_spill").scalar_one(), 0)

    def test_only_chunks_are_appended(self) -> None:
        """Nothing that is a promise to anybody goes through ``append``."""
        calls = [
            node
            for path in SOURCE.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        ]
        appended = [
            ast.unparse(call.args[0])
            for call in calls
            if call.func.attr == "append" and "database" in ast.unparse(call.func.value)  # type: ignore[attr-defined]  # an Attribute
        ]
        self.assertEqual(appended, ["blob_writing.append_chunks"])

    def test_chunks_come_back_as_they_were(self) -> None:
        """Incremental I/O reads what was stored, and knows what was not."""
        blob = finished(self.database.write(blob_writing.claim_blob, "a" * 64, CHUNK_BYTES + 5, 1))
        data = [b"\x00\xff" * (CHUNK_BYTES // 2), b"short"]
        running = RunningDigest()
        rows = [(each, running.add(each)) for each in data]
        finished(self.database.append(blob_writing.append_chunks, blob.id, 1, 0, rows))
        for seq, each in enumerate(data):
            self.assertEqual(self.read(blobs.read_chunk, blob.id, seq), each)
            self.assertEqual(finished(self.database.read_chunk(blob.id, seq)), each)
        with self.assertRaises(NotFound):
            self.read(blobs.read_chunk, blob.id, 2)
        with self.assertRaises(NotFound):
            finished(self.database.read_chunk(blob.id, 2))

    def test_the_log_begins_anew(self) -> None:
        """A checkpoint says whether the log began anew; a reader in the way is no failure."""
        connection = sqlite3.connect(self.database._file or "", isolation_level=None)
        self.addCleanup(connection.close)
        self.assertTrue(sqlite.checkpoint(connection))
        reader = sqlite3.connect(self.database._file or "", isolation_level=None)
        self.addCleanup(reader.close)
        finished(self.database.write(blob_writing.claim_blob, "a" * 64, 5, 1))
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM blob").fetchall()
        finished(self.database.write(blob_writing.claim_blob, "b" * 64, 5, 1))
        self.assertFalse(sqlite.checkpoint(connection))
