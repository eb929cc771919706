"""The scrub of a region: reads every complete blob of the database, slowly, and finds what went bad.

Once a week by itself, and when an admin says so. It goes on after a restart with the blob
that it was at; of several regions of one database one scrubs at a time. It reads a chunk at
a time, never faster than a limit, as any reader of the database does: imports, racks and the
reactor do not wait for it.

A blob in which something is wrong is read once more, since cables and memory err, too. If it
is bad, it is not complete any more from the first bad chunk on, and an event; imports and
uploads go on there. Digests that are wrong while the bytes are right are made anew. Before
all that the tables and indexes around the chunks are checked (SQLite alone).
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from common.bell import Bell
from common.digests import chunk_count
from common.errors import Conflict, NoDaemon, NotFound, RackferryError, StorageError, bug
from common.events import Event, Severity
from common.pools import Threads
from common.scrub_record import ScrubRecord
from regiond.damage import note_damage
from regiond.damaged_blobs import about, blob_damaged
from regiond.examination import Examination
from regiond.store import blobs, events, leases, scrubs
from regiond.store.blobs import Blob
from regiond.store.database import Database

START_S = 60.0
"""How long after a start before anything is read: racks that come back are first."""

LOOK_S = 3600.0
LOOK_REPAIRED_S = 30.0
SAVE_EVERY_S = 10.0
OBJECT = "scrub"


class Scrub(Service):
    """See the module.

    Args:
        database: what is read.
        hashing: runs hashing away from the reactor.
        holder: this region's name, for the lease.
        clock: for pauses.
        now: seconds since the epoch.
        random: gives a number in [0, 1).
        limit_bytes_s: how fast it reads at most.
        repair: is told that something went bad: an import may fetch it again.
    """

    log = Logger()

    def __init__(
        self,
        database: Database,
        hashing: Threads,
        *,
        holder: str,
        clock: IReactorTime,
        now: Callable[[], float],
        random: Callable[[], float],
        limit_bytes_s: float,
        repair: Callable[[], None],
    ) -> None:
        self._database = database
        self._hashing = hashing
        self._holder = holder
        self._clock = clock
        self._now = now
        self._random = random
        self._limit_bytes_s = limit_bytes_s
        self._repair = repair
        self._bell = Bell(clock)
        self._record = ScrubRecord()
        self._token: int | None = None  # of the lease, while this region scrubs
        self._kept_at_s = 0.0
        self._read_bytes = 0  # of the blob that is being read
        self._is_asked = False
        self._waiters: list[Deferred[None]] = []
        self._looping: Deferred[None] | None = None

    # What can be asked

    def start(self) -> None:
        """Begin now; one that is not over goes on."""
        if self._token is None:
            self._is_asked = True
            self._bell.ring()

    async def wait(self) -> dict[str, Any]:
        """Begin now, and return how it is when it is over.

        Raises:
            Conflict: code ``scrub-elsewhere``; another region of this database scrubs.
            NoDaemon: regiond is stopped before.
            StorageError: the database failed.
        """
        waiter: Deferred[None] = Deferred(self._waiters.remove)
        self._waiters.append(waiter)
        self.start()
        await waiter
        return await self.status()

    async def status(self) -> dict[str, Any]:
        """How it is: a running one (of whatever region), the last whole one, and the next."""
        record = self._record
        if self._token is None:
            record = await self._database.read(scrubs.record)
        total_bytes = await self._database.read(scrubs.complete_bytes) if record.is_running else 0
        row = record.row(total_bytes, is_asked=self._is_asked)
        if record.is_running:
            row["checked_bytes"] += self._read_bytes
        return row

    # Life

    def startService(self) -> None:
        """Begin to look when it is due (called by Twisted)."""
        super().startService()
        self._looping = Deferred.fromCoroutine(self._loop())
        self._looping.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def stopService(self) -> Deferred[None]:
        """Stop; fires when how far it is has been kept (called by Twisted)."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        looping, self._looping = self._looping, None
        if looping is not None:
            looping.cancel()
            await looping
        self._fail_waiters(NoDaemon("regiond is being stopped"))

    async def _loop(self) -> None:
        await self._bell.wait(START_S)
        while True:
            pause_s = await self._guarded(self._turn)
            await self._bell.wait(pause_s)

    async def _guarded(self, turn: Callable[[], Coroutine[Any, Any, float]]) -> float:
        """A failure is named and ends this attempt; nothing ends the loop."""
        try:
            return await turn()
        except CancelledError:
            raise
        except RackferryError as error:
            self.log.warn("the scrub is put off: {why}", why=error.line())
            if not isinstance(error, Conflict):
                await self._note_failure(error)
            self._fail_waiters(error)
        except Exception as error:  # noqa: BLE001  (see above)
            self.log.failure("a bug in the scrub")
            self._fail_waiters(bug(error, OBJECT, "failed"))
        self._is_asked = False
        return LOOK_S

    async def _note_failure(self, error: RackferryError) -> None:
        event = Event(
            error.code, Severity.WARNING, OBJECT, f"put off: {error.message}", error.remedy
        )
        try:
            await self._database.write(events.settle, (event,), {OBJECT}, self._now())
        except RackferryError as why:
            self.log.warn("nor can that be recorded: {why}", why=why.line())

    def _fail_waiters(self, error: RackferryError) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.errback(error)

    async def _turn(self) -> float:
        """Scrub if it is due or asked for; how long to pause."""
        self._record = await self._database.read(scrubs.record)
        if self._record.planned(self._now(), 0.0) != self._record:
            self._record = await self._database.write(scrubs.plan, self._now(), self._random())
        if self._is_asked or self._record.is_due(self._now()):
            await self._scrub()
        if await self._clear_repaired():
            return LOOK_REPAIRED_S
        if self._record.is_due(self._now()):  # another region is at it
            return LOOK_S
        return min(LOOK_S, self._record.next_at - self._now())

    async def _clear_repaired(self) -> bool:
        """Clear the events of blobs that are whole again; whether others are open."""
        known = await self._database.read(events.list_events, code="blob-damaged")
        is_open = {
            each.event.object.removeprefix(about("")) for each in known if not each.cleared_at
        }
        over = await self._database.read(scrubs.whole_or_gone, is_open) if is_open else set()
        if over:
            await self._database.write(events.settle, (), set(map(about, over)), self._now())
        return is_open != over

    # A pass

    async def _scrub(self) -> None:
        """All complete blobs, from where the last attempt ended.

        Raises:
            Conflict: code ``scrub-elsewhere``.
        """
        now = self._now()
        token = await self._database.write(
            leases.acquire, scrubs.LEASE, self._holder, now, scrubs.LEASE_TTL_S
        )
        if token is None:
            if not self._is_asked:
                return
            raise Conflict(
                "another region of this database scrubs",
                object=OBJECT,
                code="scrub-elsewhere",
                remedy="rackferry status says how far it is",
            )
        self._token, self._is_asked = token, False
        self._record = (await self._database.read(scrubs.record)).begun(now)
        try:
            await self._keep(token)
            await self._read_all(token)
        finally:
            self._token, self._read_bytes = None, 0
            await self._leave(token)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    async def _read_all(self, token: int) -> None:
        await self._database.check()
        await note_damage(self._database, self._now())
        while blob := await self._database.read(scrubs.next_complete, self._record.after):
            is_damaged = await self._check(blob, token)
            self._read_bytes = 0
            self._record = self._record.passed(blob.sha256, blob.size_bytes, is_damaged=is_damaged)
            await self._keep_in_time(token)
        self._record = self._record.ended(self._now(), self._random())
        await self._database.write(events.settle, (), {OBJECT}, self._now())

    async def _check(self, blob: Blob, token: int) -> bool:
        """Read one blob, and do what has to be done about it; whether it was bad."""
        found = await self._examine(blob, token)
        if not found.is_whole:
            found = await self._examine(blob, token)
        if not found.is_whole:
            return await self._withdraw(blob, found, token)
        wrong = found.wrong_digests
        if wrong is not None:
            self.log.warn("{blob}: digests were wrong, its bytes are right", blob=blob.sha256)
            await self._database.write(scrubs.correct_digests, blob, found.digests, wrong, token)
        return False

    async def _examine(self, blob: Blob, token: int) -> Examination:
        self._read_bytes = 0
        found = Examination(blob.sha256, blob.size_bytes, await self._listed(blob))
        for seq in range(chunk_count(blob.size_bytes)):
            began_s = self._clock.seconds()
            try:
                row = await self._database.read(blobs.read_chunk_row, blob.id, seq)
            except NotFound:
                found.lose("is missing")
                break
            except StorageError as error:
                found.lose(f"cannot be read ({_demand_damage(error).message})")
                break
            await self._hashing(partial(found.add, row.data, row.digest))
            self._read_bytes += len(row.data)
            await self._pace(len(row.data), began_s, token)
        return found

    async def _listed(self, blob: Blob) -> bytes:
        """A blob's digest list; what cannot be read of it is made anew."""
        try:
            return await self._database.read(blobs.digest_list, blob.sha256) or b""
        except StorageError as error:
            _demand_damage(error)
            return b""

    async def _withdraw(self, blob: Blob, found: Examination, token: int) -> bool:
        """A bad blob is not complete any more; False if it is gone meanwhile."""
        write, describe = self._database.write, partial(blob_damaged, blob.sha256)
        try:
            event = await write(
                scrubs.withdraw,
                blob,
                found.first_bad,
                partial(describe, f"{found.fault}; found by the scrub"),
                token=token,
                now=self._now(),
            )
        except StorageError as error:
            fault = f"{found.fault}, and cannot be removed ({_demand_damage(error).message})"
            event = await write(
                scrubs.abandon,
                blob,
                partial(describe, f"{fault}; found by the scrub"),
                token=token,
                now=self._now(),
            )
        if event is None:
            return False
        self.log.error("{object}: {cause}", object=event.object, cause=event.cause)
        self._repair()
        return True

    async def _pace(self, size_bytes: int, began_s: float, token: int) -> None:
        """Let as much time pass as the limit wants, and keep the lease meanwhile."""
        until_s = began_s + size_bytes / self._limit_bytes_s
        while (rest_s := until_s - self._clock.seconds()) > 0:
            await deferLater(self._clock, min(rest_s, SAVE_EVERY_S))
            await self._keep_in_time(token)
        await self._keep_in_time(token)

    # The record

    async def _keep_in_time(self, token: int) -> None:
        if self._clock.seconds() - self._kept_at_s >= SAVE_EVERY_S:
            await self._keep(token)

    async def _keep(self, token: int) -> None:
        self._kept_at_s = self._clock.seconds()
        await self._database.write(scrubs.keep, self._record, token, self._now())

    async def _leave(self, token: int) -> None:
        """Keep how far it is for whoever goes on; why it ended is worth more than why this fails."""
        try:
            await self._database.write(scrubs.leave, self._record, token, self._now())
        except RackferryError as error:
            self.log.warn("the scrub's record was not kept: {why}", why=error.line())


def _demand_damage(error: StorageError) -> StorageError:
    """Let pass what is wrong with the bytes; raise what is wrong with the database as a whole."""
    if error.code != "database-damaged":
        raise error
    return error
