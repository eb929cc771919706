"""Checks of finished blobs: before the first serve, and what follows when one is wrong.

A small file (a kernel, an initrd, a bootloader) is verified before it is served for the
first time since the machine started, once, however many machines ask for it at that moment.
Large ones would keep a machine waiting; they are the scrub's (``rackd.scrub``).

A blob that is wrong is put aside, and out of every tree, in one step. Whoever asks for it is
told so until it has been fetched again.
"""

from collections.abc import Callable, Collection
from pathlib import Path

from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from common.errors import RackferryError, StorageError
from common.events import Event, Severity
from common.pools import Threads
from common.unbroken import unbroken
from rackd.boot_record import BootRecord
from rackd.event_log import EventLog
from rackd.examination import Examination
from rackd.library import Library, blob_damaged
from rackd.records import HeldFile
from rackd.survey import foreign_file

SMALL_BYTES = 256 << 20
"""A file up to this size is verified before its first serve: half a second of hashing."""
_MOST_NAMED = 5

_log = Logger()


class Checks:
    """See the module.

    Args:
        library: the blobs.
        verified: what needs no check.
        on_check: runs the checks, apart from the threads that serve.
        events: where what is wrong, and wanted by nobody any more, is named.
        on_damage: is told of a blob that machines see and that is to be fetched again.
    """

    def __init__(
        self,
        library: Library,
        verified: BootRecord,
        *,
        on_check: Threads,
        events: EventLog,
        on_damage: Callable[[StorageError], None],
    ) -> None:
        self._library = library
        self._verified = verified
        self._on_check = on_check
        self._events = events
        self._on_damage = on_damage
        self._turns: dict[str, DeferredLock] = {}

    async def before_serving(self, file: HeldFile) -> bool:
        """Return when ``file`` may be served; whether it had to be read for that.

        Raises:
            StorageError: it is gone, or is not what its name says.
        """
        sha256 = file.sha256
        if file.size_bytes > SMALL_BYTES or sha256 in self._verified:
            return False
        turn = self._turns.setdefault(sha256, DeferredLock())
        await turn.acquire()
        try:
            if sha256 in self._verified:
                return False
            await self._check(sha256)
            return True
        finally:
            turn.release()
            if not turn.locked:
                self._turns.pop(sha256, None)

    async def _check(self, sha256: str) -> None:
        path = self._library.cache / sha256

        def read() -> Examination:
            examination = Examination(path, past_cache=False)
            try:
                examination.read_all()
            finally:
                examination.close()
            return examination

        try:
            examination = await unbroken(self._on_check(read))
        except StorageError as unread:
            if not isinstance(unread.__cause__, FileNotFoundError):
                self._events.raise_problem(unread, lasts=True)
            raise
        error = await self.conclude(sha256, examination, "before it was served")
        if error is not None:
            raise error

    async def conclude(
        self, sha256: str, examination: Examination, found: str
    ) -> StorageError | None:
        """Act on what a whole reading of a blob has shown.

        Args:
            sha256: the blob.
            examination: the reading.
            found: when, for people.

        Returns:
            What is wrong with it; None if it is right, or was replaced meanwhile.

        Raises:
            StorageError, NoSpace: it is wrong, and could not be put aside.
        """
        self._events.end([str(self._library.cache / sha256)])
        if not examination.fault:
            await self._remember(sha256, examination.seen.st_size)
            return None
        record = self._library.current.record if self._library.current else None
        put_aside = await unbroken(
            self._on_check(lambda: self._library.condemn(sha256, examination.seen))
        )
        if put_aside is None:
            return None
        await self._kept(lambda: self._verified.remove(sha256))
        paths = record.paths_of(sha256) if record else []
        where = f" ({', '.join(paths)})" if paths else ""
        error = blob_damaged(
            put_aside.path,
            f"{examination.fault}{where}; found {found}, moved to {put_aside.now}",
        )
        if record is not None and sha256 in record.blobs:
            self._on_damage(error)
        else:
            self._events.note(Event.of(error, Severity.WARNING))
        return error

    async def compare_tree(self) -> None:
        """See to it that TFTP and web servers, which read past us, find what they should.

        Our own answers come from the blobs alone, whatever became of the tree.
        """
        try:
            wrong, put_aside = await unbroken(self._on_check(self._library.compare_tree))
        except RackferryError as error:  # the blobs can be read all the same
            self._events.note(Event.of(error, Severity.WARNING))
            return
        for each in put_aside:
            self._events.note(foreign_file(each))
        if wrong:
            more = ", ..." if len(wrong) > _MOST_NAMED else ""
            self._on_damage(
                StorageError(
                    f"{len(wrong)} of its files are gone or were replaced: "
                    f"{', '.join(wrong[:_MOST_NAMED])}{more}",
                    object=str(self._library.images_dir / "current"),
                    code="tree-damaged",
                    remedy="nothing; the tree is made anew as soon as a region answers",
                )
            )

    async def forget_all_but(self, finished: Collection[str]) -> None:
        """Of blobs that are not on the disk any more nothing need be known."""
        gone = [
            each.object for each in self._events.lasting if Path(each.object).name not in finished
        ]
        self._events.end(gone)
        await self._kept(lambda: self._verified.retain(finished))

    async def _remember(self, sha256: str, size_bytes: int) -> None:
        if size_bytes <= SMALL_BYTES and sha256 not in self._verified:
            await self._kept(lambda: self._verified.add(sha256))

    async def _kept(self, change: Callable[[], None]) -> None:
        """What cannot be kept is not lost: it costs one more check after a restart of rackd."""
        try:
            await unbroken(self._on_check(change))
        except RackferryError as error:
            _log.warn("not kept: {line}", line=error.line())
