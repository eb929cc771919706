"""The database: work in transactions, on threads of its own.

    database = Database("sqlite:////var/lib/regiond/regiond.db", reactor)
    await database.open()
    blob = await database.read(blobs.find_blob, sha256)
    await database.write(blob_writing.drop_chunks, blob.id, epoch, 0)
    await database.close()

Work functions are synchronous, take a connection first and return values. ``write`` may run
them more than once (a lost race is tried again), so they do nothing but talk to the
connection. One thread writes, four read; no transaction outlives its work function.
"""

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs
from sqlalchemy import Connection, Engine
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from common.disks import demand_writable
from common.durable import Lock
from common.errors import ConfigError, RackferryError, StorageError
from regiond.store import blobs, migrations, postgresql, sqlite
from regiond.store.addresses import checked_address, is_sqlite
from regiond.store.changes import Change
from regiond.store.failures import FAULTS, Fault, Trouble, expected_error, trouble_of
from regiond.store.grouping import GroupedWrites, Written, noted
from regiond.store.log import RESTART_BYTES, Log
from regiond.store.threads import Inline, NamedThreads, Threads

P = ParamSpec("P")
T = TypeVar("T")

READERS = 4
ATTEMPTS = 10
_NOT_OPENED = "put back a copy of it, or move it away and begin anew; racks serve what they hold"


@attrs.define
class _Opened:
    """What exists while the database is open."""

    writer: Engine
    reader: Engine
    appender: Engine
    lock: Lock | None
    durable: GroupedWrites
    file_name: sqlite.FileName | None
    # Two checkpoints at once would find the log busy, and it would only grow.
    checkpointing: threading.Lock = attrs.field(factory=threading.Lock)


class Database:
    """The region's database.

    Args:
        url: ``sqlite:////path`` or ``postgresql://user@host/name``.
        reactor: where answers are delivered; None runs everything in the caller's thread
            (tests).

    Attributes:
        problems: what the check after an unclean end found, for people; usually nothing.
    """

    log = Logger()

    def __init__(self, url: str, reactor: IReactorFromThreads | None) -> None:
        self._url = checked_address(url)
        self._file = Path(self._url.database or "") if is_sqlite(self._url) else None
        self._place = str(self._file or self._url.render_as_string(hide_password=True))
        self._writing: Threads = NamedThreads(reactor, "db-write", 1) if reactor else Inline()
        self._reading: Threads = NamedThreads(reactor, "db-read", READERS) if reactor else Inline()
        self._syncing: Threads = NamedThreads(reactor, "db-sync", 1) if reactor else Inline()
        self._moving: Threads = NamedThreads(reactor, "db-move", 1) if reactor else Inline()
        self.log_file = Log(
            self._sync_log, self._move_log, syncing=self._syncing, moving=self._moving
        )
        self._threads = (self._writing, self._reading, self._syncing, self._moving)
        self._subscribers: list[Callable[[tuple[Change, ...]], None]] = []
        self._opened: _Opened | None = None
        self.problems: tuple[str, ...] = ()

    async def open(self) -> None:
        """Take the database into use: lock, settings, schema, check.

        Raises:
            ConfigError: it cannot be used, in one line that names it.
        """
        for threads in self._threads:
            threads.start()
        try:
            await self._writing.run(self._open)
        except BaseException:
            for threads in self._threads:
                await threads.stop()
            raise

    def open_now(self) -> None:
        """As ``open``, in the caller's thread: for a daemon that is not running yet."""
        for threads in self._threads:
            threads.start()
        self._open()

    async def close(self) -> None:
        """Let running work end, then let go of the database; twice is once."""
        opened, self._opened = self._opened, None
        if opened is None:
            return
        await self._reading.stop()
        await self._syncing.stop()
        await self._moving.stop()
        await self._writing.run(lambda: _let_go(opened))
        await self._writing.stop()

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``work`` in a read-only transaction.

        Raises:
            StorageError, Busy: the database failed; and whatever ``work`` raises.
        """
        opened = self._in_use()
        return await self._reading.run(lambda: self._transact(opened.reader, work, *args, **kwargs))

    async def read_chunk(self, blob_id: int, seq: int) -> bytes:
        """As ``read(blobs.read_chunk, ...)``, for serving images.

        On SQLite without SQLAlchemy's transaction around the one look-up, which was
        measured to cost as much CPU again.

        Raises:
            NotFound: it is not stored.
            StorageError, Busy: the database failed.
        """
        if self._file is None:
            return await self.read(blobs.read_chunk, blob_id, seq)
        opened = self._in_use()
        look_up = partial(sqlite.read_chunk, key=blobs.first_chunk(blob_id) + seq)
        data = await self._reading.run(lambda: self._raw(opened.reader, look_up))
        return blobs.found_chunk(data, blob_id, seq)

    async def write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``work`` in a transaction that is durable when this returns.

        Others that wait for the writer at the same time share the transaction (ADR 9).
        Cancelling abandons the answer; the work still happens, whole or not at all.

        Raises:
            NoSpace, StorageError, Busy: the database failed and nothing was written; and
                whatever ``work`` raises.
        """
        opened = self._in_use()
        self.log_file.check()
        result = await opened.durable.write(lambda conn: work(conn, *args, **kwargs))
        await self._keep_log_short(opened)
        return result

    async def append(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As ``write``, but a loss of power may take it back, and all that was appended since.

        For what is fetched again cheaply. At most ``log.MOST_UNSYNCED_BYTES`` are ever at
        stake; any ``write`` makes all of it durable, and ``log`` says how far it is.
        """
        opened = self._in_use()
        await self.log_file.room()
        self.log_file.check()
        transaction = partial(noted, lambda conn: work(conn, *args, **kwargs))
        written = await self._writing.run(lambda: self._transact(opened.appender, transaction))
        self._committed([written], is_durable=False)
        await self._keep_log_short(opened)
        return written.result

    def _committed(self, written: Sequence[Written[Any]], *, is_durable: bool = True) -> None:
        """A commit ended: the log is longer, and subscribers want to know of its changes."""
        if self._file is not None and written:
            stored_bytes = sum(each.stored_bytes for each in written)
            self.log_file.committed(stored_bytes, is_durable=is_durable)
        changes = tuple(change for each in written for change in each.changes)
        if changes:
            for subscriber in tuple(self._subscribers):
                subscriber(changes)

    async def _keep_log_short(self, opened: _Opened) -> None:
        if self._file is not None and self.log_file.length_bytes >= RESTART_BYTES:
            await self._begin_log_anew(opened)

    def subscribe(self, callback: Callable[[tuple[Change, ...]], None]) -> Callable[[], None]:
        """Call ``callback(changes)`` after each commit that added to the change feed.

        Returns:
            a function that ends the subscription.
        """
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def settle(self) -> None:
        """Nobody waits now: move the log into the file, beside whatever comes next."""
        if self._file is not None:
            self.log_file.start_move()

    def _sync_log(self) -> None:
        if self._file is not None:
            sqlite.sync_log(self._file)

    def _move_log(self) -> None:
        opened = self._opened
        if opened is not None:
            self._checkpoint(opened, opened.appender, sqlite.checkpoint_beside)

    async def give_back(self) -> None:
        """Return free space to the file system, in small steps between other writes."""
        opened = self._in_use()
        if self._file is None:
            return  # PostgreSQL's autovacuum does this
        while await self._writing.run(lambda: self._raw(opened.writer, sqlite.vacuum_step)):
            pass
        await self._begin_log_anew(opened)

    async def free_bytes(self) -> int | None:
        """The free space of the disk below the database; None if it is a server's."""
        if self._file is None:
            return None
        return await self._reading.run(partial(sqlite.free_bytes, self._file))

    async def demand_writable(self) -> None:
        """That what is written now would be kept, as far as that is known without a write.

        Raises:
            StorageError, NoSpace: it would not, or in another file than the next start finds.
        """
        opened = self._in_use()
        self.log_file.check()
        if self._file is not None and opened.file_name is not None:
            await self._reading.run(partial(sqlite.demand_in_place, self._file, opened.file_name))
            await self._reading.run(partial(demand_writable, self._file.parent))

    async def size_bytes(self) -> int:
        """What the database takes: its files, or what its server says."""
        if self._file is None:
            return await self.read(postgresql.size_bytes)
        return await self._reading.run(partial(sqlite.size_bytes, self._file))

    def _in_use(self) -> _Opened:
        if self._opened is None:
            raise StorageError(
                "the database is not open", object=self._place, code="database-closed"
            )
        return self._opened

    def _open(self) -> None:
        lock = sqlite.occupy(self._file) if self._file else None
        unclean = self._file is not None and sqlite.ended_unclean(self._file)
        opened = None
        try:
            file_name = self._make_file(self._file) if self._file else None
            make = sqlite.make_engines if self._file else postgresql.make_engines
            writer, reader = make(self._url)
            appender = sqlite.make_appender(self._url) if self._file else writer
            durable = GroupedWrites(
                self._writing, lambda work: self._transact(writer, work), self._committed
            )
            opened = _Opened(writer, reader, appender, lock, durable, file_name)
            if unclean:
                self._check(opened)
            self._upgrade(opened)
        except BaseException as error:
            if opened is not None:
                _let_go(opened)
            elif lock is not None:
                lock.release()
            if isinstance(error, RackferryError) and not isinstance(error, ConfigError):
                remedy = _NOT_OPENED if error.code == "database-damaged" else error.remedy
                raise ConfigError(
                    error.message, object=self._place, code=error.code, remedy=remedy
                ) from error
            raise
        self._opened = opened

    def _make_file(self, file: Path) -> sqlite.FileName:
        try:
            sqlite.make_file(file)
        except sqlite3.Error as error:
            self._raise_expected(error)
            raise
        return sqlite.FileName.of(file)

    def _upgrade(self, opened: _Opened) -> None:
        if self._file is not None:
            # A step may copy a table and drop the old one, which must not cascade.
            self._raw(
                opened.writer, lambda connection: sqlite.keep_foreign_keys(connection, on=False)
            )
        self._transact(opened.writer, migrations.upgrade, self._place)
        if self._file is not None:
            self._raw(
                opened.writer, lambda connection: sqlite.keep_foreign_keys(connection, on=True)
            )

    def _check(self, opened: _Opened) -> None:
        """After an unclean end: look, say what is wrong, and go on with what verifies."""
        try:
            findings = self._raw(opened.writer, sqlite.quick_check)
        except StorageError as error:
            findings = {"schema": error.message}
        self._found(findings)

    def _found(self, findings: Mapping[str, str]) -> None:
        self.problems = tuple(f"{table}: {finding}" for table, finding in findings.items())
        for problem in self.problems:
            self.log.error("{place}: {problem}", place=self._place, problem=problem)

    async def check(self) -> None:
        """See whether all tables but that of chunks, and the indexes of all, are sound.

        Indexes that are not are made anew; what is wrong then is in ``problems``. A server sees
        to its own. What is read from now on comes from the disk, not from the kernel's memory.

        Raises:
            StorageError: the database failed as a whole.
        """
        opened = self._in_use()
        if self._file is None:
            return
        await self._reading.run(partial(sqlite.forget_cached, self._file))
        look = partial(self._raw, opened.reader, sqlite.full_check)
        findings = await self._reading.run(look)
        if findings:
            anew = partial(sqlite.make_indexes_anew, tables=tuple(findings))
            await self._writing.run(lambda: self._raw(opened.writer, anew))
            findings = await self._reading.run(look)
        self._found(findings)

    def _transact(
        self,
        engine: Engine,
        work: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """In the current thread: one transaction, tried again while it only lost races."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with engine.begin() as conn:
                    return work(conn, *args, **kwargs)
            except FAULTS as error:
                # SQLite has waited for its lock already, as long as is sensible.
                again = trouble_of(error) is Trouble.RETRY and self._file is None
                if again and attempt < ATTEMPTS:
                    continue
                self._raise_expected(error)
                raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _raise_expected(self, error: Fault) -> None:
        """Raise what ``error`` is in our words; return if it is a bug."""
        expected = expected_error(error, self._place)
        if expected is not None:
            raise expected from error

    def _checkpoint(
        self, opened: _Opened, engine: Engine, work: Callable[[sqlite3.Connection], T]
    ) -> T:
        with opened.checkpointing:
            return self._raw(engine, work)

    async def _begin_log_anew(self, opened: _Opened) -> None:
        """The log is too long: let the writer wait until it is moved whole."""
        work = partial(self._checkpoint, opened, opened.writer, sqlite.checkpoint)
        if await self._writing.run(work):
            self.log_file.began_anew()

    def _raw(self, engine: Engine, work: Callable[[sqlite3.Connection], T]) -> T:
        """In the current thread: run ``work`` outside of any transaction."""
        try:
            with closing(engine.raw_connection()) as pooled:
                connection: Any = pooled.driver_connection
                return work(connection)
        except FAULTS as error:
            self._raise_expected(error)
            raise


def _let_go(opened: _Opened) -> None:
    for engine in (opened.reader, opened.appender, opened.writer):
        engine.dispose()
    if opened.lock is not None:
        opened.lock.release()
