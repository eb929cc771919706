"""When the log of an embedded database is synced and moved into its file (ADR 5).

Commits of chunks do not wait for the disk: the log is synced beside the writer, and only when
too much is at stake does the writer wait. What is in the log is durable and read from there;
moving it into the file is for when nobody waits, or the log has grown too long.

All methods run on the reactor's thread; what blocks runs on threads of its own.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from common.errors import StorageError
from regiond.store.threads import Threads

SYNC_EVERY_BYTES = 8 << 20
# For all streams of an import; each keeps to 16 MiB of its own (``regiond.chunk_rows``).
MOST_UNSYNCED_BYTES = 64 << 20
MOVE_BYTES = 512 << 20
RESTART_BYTES = 1536 << 20
# What a commit without chunks adds to the log, more or less: a few pages.
SMALL_COMMIT_BYTES = 256 << 10


class Log:
    """The log of one database.

    Args:
        sync: makes it durable; blocks.
        move: moves it into the file, while others read and write; blocks.
        syncing: where ``sync`` runs.
        moving: where ``move`` runs.
    """

    log = Logger()

    def __init__(
        self,
        sync: Callable[[], None],
        move: Callable[[], None],
        *,
        syncing: Threads,
        moving: Threads,
    ) -> None:
        self._sync = sync
        self._move = move
        self._syncing = syncing
        self._moving = moving
        self._appended_bytes = 0
        self._synced_bytes = 0
        self._unmoved_bytes = 0
        self._is_moving = False
        self._waiting: list[Deferred[None]] | None = None
        self._failure: StorageError | None = None
        self.length_bytes = 0

    @property
    def unsynced_bytes(self) -> int:
        """How much a loss of power would take back now, at most."""
        return self._appended_bytes - self._synced_bytes

    @property
    def position(self) -> int:
        """How far the log was written: what is there now is durable once this is synced."""
        return self._appended_bytes

    @property
    def synced_position(self) -> int:
        """How far the log is durable."""
        return self._synced_bytes

    async def room(self) -> None:
        """Wait until so little is at stake that more may be appended.

        Raises:
            StorageError: a sync failed, so that nothing in the log can be relied on.
        """
        await self.synced(self._appended_bytes - MOST_UNSYNCED_BYTES)

    async def synced(self, position: int) -> None:
        """Wait until the log is durable up to ``position``.

        Raises:
            StorageError: as ``room``.
        """
        while self._synced_bytes < position:
            self.check()
            self._start_sync()
            if self._waiting is not None:
                over: Deferred[None] = Deferred()
                self._waiting.append(over)
                await over
        self.check()

    def check(self) -> None:
        """Refuse to go on after a failed sync.

        Raises:
            StorageError: as it failed.
        """
        if self._failure is not None:
            raise self._failure

    def committed(self, stored_bytes: int, *, is_durable: bool) -> None:
        """A commit ended; a durable one covers all before it."""
        self._appended_bytes += stored_bytes
        self._unmoved_bytes += stored_bytes + SMALL_COMMIT_BYTES
        self.length_bytes += stored_bytes + SMALL_COMMIT_BYTES
        if is_durable:
            self._synced_bytes = self._appended_bytes
        if self.unsynced_bytes >= SYNC_EVERY_BYTES:
            self._start_sync()
        if self._unmoved_bytes >= MOVE_BYTES:
            self.start_move()

    def began_anew(self) -> None:
        """The log was moved whole, and is written from its beginning again."""
        self.length_bytes = self._unmoved_bytes = 0

    def _start_sync(self) -> None:
        if self._waiting is not None:
            return
        self._waiting = []
        upto = self._appended_bytes
        running = self._syncing.run(self._sync)
        running.addCallbacks(lambda _: self._synced(upto), self._not_synced)

    def _synced(self, upto: int) -> None:
        self._synced_bytes = max(self._synced_bytes, upto)
        self._wake()

    def _not_synced(self, failure: Failure) -> None:
        # What was lost is unknown and a later sync would not say: stop relying on the file.
        error = failure.value
        self.log.failure("the log of the database was not synced", failure)
        self._failure = error if isinstance(error, StorageError) else StorageError(str(error))
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting or [], None
        for each in waiting:
            each.callback(None)

    def start_move(self) -> None:
        """Move the log beside the writer, unless that is being done or there is little of it."""
        if self._is_moving or not self._unmoved_bytes:
            return
        self._is_moving = True
        self._unmoved_bytes = 0
        self._moving.run(self._move).addBoth(self._moved)

    def _moved(self, outcome: object) -> None:
        self._is_moving = False
        if isinstance(outcome, Failure):
            self.log.failure("the log was not moved into the database", outcome)
