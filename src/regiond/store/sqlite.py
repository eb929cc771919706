"""SQLite, the embedded database: how its file is made, opened, synced and shrunk.

Facts behind the settings (https://sqlite.org/pragma.html, measured with the project's bench):

* Pages of 64 KiB make rows of 1 MiB nearly twice as fast as pages of 4 KiB. The page size
  and ``auto_vacuum`` can only be chosen while the file is empty and before WAL mode.
* ``synchronous=FULL`` keeps acknowledged commits through a power loss; with NORMAL most
  simulated power losses lost some. At commits of 4 MiB it costs about a tenth.
* ``secure_delete`` is on in some builds and makes deleting 18 times slower.
* The log is moved into the file by us: readers that overlap all the time would keep
  SQLite's own (PASSIVE) checkpoints from ever starting the log anew. It is moved beside the
  writer, on a thread of its own, after 512 MiB, or when an import is over; after 1.5 GiB
  the writer waits for a checkpoint that begins the log anew (RESTART).
* Chunks of partials are committed without waiting for a sync (``make_appender``). The log is
  synced beside the writer after every 8 MiB, and a stream waits when 16 MiB of its own are
  not synced. Every other commit is durable when it returns, with all before it. ADR 5.
* ``incremental_vacuum`` frees one page per step of its statement, and the driver's
  ``execute`` steps once; ``executescript`` steps to the end.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from common.durable import Lock, lock_file, make_directory, open_for_reading, sync_file
from common.errors import ConfigError, RackferryError, StorageError
from regiond.store.compiled import EXECUTION_OPTIONS, OneOfAKind

PAGE_BYTES = 65536
KEPT_LOG_BYTES = 64 << 20
CHECKPOINT_WAIT_MS = 100
BUSY_WAIT_MS = 5000
VACUUM_PAGES = 128
_MOST_SAID = 300

# Only the writer says these: they take the write lock, and a reader must never need it.
_MAKING = (
    f"PRAGMA page_size={PAGE_BYTES}",
    "PRAGMA auto_vacuum=INCREMENTAL",
    "PRAGMA journal_mode=WAL",
)
_SETTINGS = (
    f"PRAGMA busy_timeout={BUSY_WAIT_MS}",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=OFF",
    "PRAGMA foreign_keys=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA wal_autocheckpoint=0",
    f"PRAGMA journal_size_limit={KEPT_LOG_BYTES}",
    "PRAGMA mmap_size=0",
)
_BLOB = (
    "sha256",
    "size_bytes",
    "state",
    "held_chunks",
    "held_bytes",
    "writer_epoch",
    "digests",
    "digests_sha256",
)
SMALL_DATA_BYTES = 1 << 16


@attrs.frozen
class FileName:
    """Which file it is, wherever it is moved to."""

    device: int
    inode: int

    @classmethod
    def of(cls, file: Path) -> "FileName":
        """That of the file which is at this path now."""
        found = file.stat()
        return cls(found.st_dev, found.st_ino)


def make_file(file: Path) -> None:
    """Make an empty database if there is none.

    Whatever opens the file later makes none: if it is moved away under a daemon, an empty
    one in its place would answer as if all was well.
    """
    sqlite3.connect(f"{_address(file)}?mode=rwc", uri=True).close()


def _address(file: Path) -> str:
    """As SQLite takes it: https://sqlite.org/uri.html."""
    return f"file:{quote(os.fsencode(file.absolute()))}"


def demand_in_place(file: Path, opened: FileName) -> None:
    """That the file which is open is still the one at its path.

    Raises:
        StorageError: code ``database-moved``.
    """
    try:
        is_in_place = FileName.of(file) == opened
    except OSError:
        is_in_place = False
    if not is_in_place:
        raise StorageError(
            "the database is not at its place any more: its file was moved, deleted or replaced",
            object=str(file),
            code="database-moved",
            remedy="stop regiond, put the file and its -wal back, start it again",
        )


class SharedDialect(OneOfAKind, SQLiteDialect_pysqlite):
    """SQLite, by the standard library."""

    supports_statement_cache = True  # asked of this very class


registry.register("sqlite.shared", __name__, SharedDialect.__name__)


def make_engines(url: URL) -> tuple[Engine, Engine]:
    """(writer, reader). The writer begins with the write lock, so that no transaction that
    has read something can fail to write later; the reader cannot write.
    """
    writer = _engine(url, begin="BEGIN IMMEDIATE", settings=(*_MAKING, *_SETTINGS))
    reader = _engine(url, begin="BEGIN", settings=(*_SETTINGS, "PRAGMA query_only=ON"))
    return writer, reader


def make_appender(url: URL) -> Engine:
    """A writer whose commits are in order and whole, and durable with the next durable one.

    What one of them adds (a few chunks) stays in memory until then. Pages that were spilled
    into the log before, and then changed once more, let SQLite read again and sum up again
    all that stands behind them: half of an import.
    """
    settings = (*_SETTINGS, "PRAGMA synchronous=NORMAL", "PRAGMA cache_spill=OFF")
    return _engine(url, begin="BEGIN IMMEDIATE", settings=settings)


def _engine(url: URL, begin: str, settings: tuple[str, ...]) -> Engine:
    existing = url.set(
        drivername="sqlite+shared", database=_address(Path(url.database or ""))
    ).update_query_dict({"mode": "rw", "uri": "true"})
    engine = create_engine(
        existing, pool_size=8, max_overflow=0, execution_options=EXECUTION_OPTIONS
    )

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where the next function says
        for statement in settings:
            connection.execute(statement).fetchall()

    @event.listens_for(engine, "begin")
    def beginning(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def occupy(file: Path) -> Lock:
    """Make the file's directory if need be, and keep other regions off the file.

    Raises:
        ConfigError: another regiond has it, or it cannot be written here; one line.
    """
    try:
        make_directory(file.parent, 0o700)
        return lock_file(file.with_name(file.name + ".lock"))
    except ConfigError as error:
        raise ConfigError(
            f"the database is locked by another regiond ({error.message})",
            object=str(file),
            code="database-locked",
            remedy="stop the other one, or give each a database of its own",
        ) from error
    except RackferryError as error:
        raise ConfigError(
            f"the database cannot be used: {error.message}",
            object=error.object or str(file),
            code="database-unwritable",
            remedy=error.remedy,
        ) from error


def ended_unclean(file: Path) -> bool:
    """Whether the last process that had the file open was killed: its log is still there."""
    log = file.with_name(file.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def forget_cached(file: Path) -> None:
    """Let the kernel forget what it has of an open database: what is read next comes from the disk.

    By SQLite's own descriptor: to close another one of the same file would take its locks away.
    """
    path = file.resolve()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if descriptor.readlink() == path:
                os.posix_fadvise(int(descriptor.name), 0, 0, os.POSIX_FADV_DONTNEED)


def size_bytes(file: Path) -> int:
    """What a database file and its log take."""
    found = 0
    for each in (file, file.with_name(file.name + "-wal")):
        with suppress(FileNotFoundError):  # a log that nobody needs may be gone
            found += each.stat().st_size
    return found


def free_bytes(file: Path) -> int:
    """What may still be written on the disk of a database file.

    Raises:
        StorageError: the disk does not say.
    """
    try:
        return shutil.disk_usage(file.parent).free
    except OSError as error:
        raise StorageError(
            f"the free space is not known: {error.strerror}",
            object=str(file.parent),
            remedy="look whether its disk is there",
        ) from error


def quick_check(connection: sqlite3.Connection) -> dict[str, str]:
    """What is wrong with the structure of tables and indexes, by the table; chunks excepted.

    Chunks are nearly all of the file, and every one is verified by its digest whenever it
    matters; reading them all would keep a large region from starting within seconds.
    """
    return _check(connection, "quick_check")


def full_check(connection: sqlite3.Connection) -> dict[str, str]:
    """As ``quick_check``, and whether indexes say the same as their tables."""
    return _check(connection, "integrity_check")


def _check(connection: sqlite3.Connection, pragma: str) -> dict[str, str]:
    names = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'chunk'"
        " AND name NOT LIKE 'sqlite_%'"
    )
    findings: dict[str, str] = {}
    for (name,) in names.fetchall():
        try:
            rows = connection.execute(f'PRAGMA {pragma}("{name}")').fetchall()
        except sqlite3.DatabaseError as error:
            rows = [(str(error),)]
        said = " ".join("; ".join(str(finding) for (finding,) in rows).split())
        if said != "ok":
            findings[name] = said[:_MOST_SAID]
    return findings


def make_indexes_anew(connection: sqlite3.Connection, tables: Iterable[str]) -> None:
    """Of those of these tables where that can be done: they say nothing that rows do not."""
    for table in tables:
        with suppress(sqlite3.DatabaseError):  # it is checked again
            connection.execute(f'REINDEX "{table}"')


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Move the log into the file, and begin it anew if no reader stands in the way.

    Returns:
        whether the log began anew.
    """
    connection.execute(f"PRAGMA busy_timeout={CHECKPOINT_WAIT_MS}").fetchall()
    try:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_WAIT_MS}").fetchall()
    return not busy


def checkpoint_beside(connection: sqlite3.Connection) -> None:
    """Move what can be moved of the log into the file, while others read and write."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def sync_log(file: Path) -> None:
    """Sync the log of a database file; its commits so far are durable then.

    SQLite locks the file and its index, never the log, so that closing our own descriptor
    of the log takes no lock away.

    Raises:
        StorageError: what was written since the last sync may be lost, whatever comes later.
    """
    log = file.with_name(file.name + "-wal")
    if not log.exists():
        return
    descriptor = open_for_reading(log)
    try:
        sync_file(descriptor, log)
    finally:
        os.close(descriptor)


def insert_blobs(connection: sqlite3.Connection, blobs: Sequence[Mapping[str, Any]]) -> range:
    """Add the rows of complete blobs; their ids.

    By one statement: small blobs come by the thousand, and for each statement this thread
    lets go of Python's lock several times and waits for the reactor's thread to do so.
    """
    if not blobs:
        return range(0)
    added = _insert(connection, "blob", _BLOB, [[row[name] for name in _BLOB] for row in blobs])
    # Each id is one more than any before (AUTOINCREMENT), and nobody else writes now.
    return range(added - len(blobs) + 1, added + 1)


def insert_chunks(connection: sqlite3.Connection, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
    """Add chunk rows: key, running digest, data. Small ones by one statement, as above.

    Data of others by incremental I/O: a third less CPU than as a parameter.
    """
    small = [row for row in rows if len(row[2]) <= SMALL_DATA_BYTES]
    if small:
        _insert(connection, "chunk", ("id", "digest", "data"), small)
    for key, digest, data in rows:
        if len(data) > SMALL_DATA_BYTES:
            statement = "INSERT INTO chunk (id, digest, data) VALUES (?, ?, zeroblob(?))"
            connection.execute(statement, (key, digest, len(data)))
            with connection.blobopen("chunk", "data", key) as blob:
                blob.write(data)


def _insert(
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> int:
    """Insert rows by one statement; the key of the last."""
    places = ",".join([f"({','.join('?' * len(columns))})"] * len(rows))
    statement = f"INSERT INTO {table} ({','.join(columns)}) VALUES {places}"  # noqa: S608 - ours
    return connection.execute(statement, [each for row in rows for each in row]).lastrowid or 0


def read_chunk(connection: sqlite3.Connection, key: int) -> bytes | None:
    """The data of a chunk row, by SQLite's incremental I/O; None if there is no such row.

    A SELECT copies the value once more, and that copy was measured to take 0.1 or 1.2
    seconds of CPU per GiB, by how the addresses happen to lie. This one takes none.
    """
    try:
        with connection.blobopen("chunk", "data", key, readonly=True) as blob:
            return blob.read()
    except sqlite3.OperationalError as error:
        if "no such rowid" in str(error):
            return None
        raise


def vacuum_step(connection: sqlite3.Connection) -> int:
    """Give up to 8 MiB of free pages back to the file system; returns how many are left."""
    connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
    (left,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(left)


def keep_foreign_keys(connection: sqlite3.Connection, *, on: bool) -> None:
    """Whether references are kept; can only change between transactions."""
    connection.execute(f"PRAGMA foreign_keys={int(on)}").fetchall()
