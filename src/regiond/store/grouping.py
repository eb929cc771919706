"""Group commit: the writes that wait for the writer's thread share its next transaction.

A durable commit waits for the disk, however little it writes; those that come meanwhile
need not wait one after the other (ADR 9). Each is in a savepoint of its own: one that fails
takes back nothing but itself. When the database itself refuses one, the transaction may be
lost; nothing of it was committed then, and each is done again by itself.
"""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import attrs
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from regiond.store import blob_writing
from regiond.store.changes import Change, take_recorded
from regiond.store.failures import FAULTS, Trouble, trouble_of
from regiond.store.threads import Threads

T = TypeVar("T")
Work = Callable[[Connection], T]
Transact = Callable[[Work[Any]], Any]


@attrs.frozen
class Written(Generic[T]):
    """What a transaction came to: its result, and what it added."""

    result: T
    changes: tuple[Change, ...]
    stored_bytes: int


def noted(work: Work[T], conn: Connection) -> Written[T]:
    """Do ``work`` and note what it added."""
    take_recorded(conn)  # those of an attempt that was rolled back
    blob_writing.take_stored_bytes(conn)
    result = work(conn)
    return Written(result, take_recorded(conn), blob_writing.take_stored_bytes(conn))


@attrs.define(eq=False)
class _Waiting:
    """A write that waits for its transaction, and for whoever asked for it."""

    work: Work[Any]
    answer: Deferred[Any] = attrs.field(factory=Deferred)


class GroupedWrites:
    """The durable writes of one database.

    Args:
        writing: the writer's thread.
        transact: runs one transaction in it; durable when it returns.
        committed: is told on the reactor's thread what was committed, before anybody else.
    """

    def __init__(
        self,
        writing: Threads,
        transact: Transact,
        committed: Callable[[Sequence[Written[Any]]], None],
    ) -> None:
        self._writing = writing
        self._transact = transact
        self._committed = committed
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def write(self, work: Work[T]) -> Deferred[T]:
        """Do ``work`` in the next transaction; fires when that is durable."""
        waiting = _Waiting(work)
        with self._lock:
            self._waiting.append(waiting)
            is_first = len(self._waiting) == 1
        if is_first:
            self._writing.run(self._commit_waiting).addCallback(self._tell)
        return waiting.answer

    def _commit_waiting(self) -> list[tuple[_Waiting, Written[Any] | Failure]]:
        """In the writer's thread: all that waits by now."""
        with self._lock:
            group, self._waiting = self._waiting, []
        return list(zip(group, self._commit([each.work for each in group]), strict=True))

    def _commit(self, group: Sequence[Work[Any]]) -> list[Written[Any] | Failure]:
        together = self._commit_together(group) if len(group) > 1 else None
        return together or [self._commit_alone(work) for work in group]

    def _commit_together(self, group: Sequence[Work[Any]]) -> list[Written[Any] | Failure] | None:
        """None: nothing was committed, and whose fault it is shows when each is done alone."""
        try:
            together: list[Written[Any] | Failure] = self._transact(
                lambda conn: [_shielded(work, conn) for work in group]
            )
        except Exception as error:  # noqa: BLE001 - for whoever asked for it
            failure = Failure()
            return [failure for _ in group] if _is_ambiguous(error) else None
        return together

    def _commit_alone(self, work: Work[Any]) -> Written[Any] | Failure:
        try:
            alone: Written[Any] = self._transact(partial(noted, work))
        except Exception:  # noqa: BLE001 - for whoever asked for it
            return Failure()
        return alone

    def _tell(self, outcomes: list[tuple[_Waiting, Written[Any] | Failure]]) -> None:
        self._committed([each for _, each in outcomes if isinstance(each, Written)])
        for waiting, outcome in outcomes:
            told = outcome.result if isinstance(outcome, Written) else outcome
            waiting.answer.callback(told)  # a Failure goes to the errbacks


def _is_ambiguous(error: Exception) -> bool:
    """Whether it is unknown what was committed, so that nothing may be done again."""
    cause = error.__cause__
    return isinstance(cause, DBAPIError | sqlite3.Error) and (
        trouble_of(cause) in {Trouble.LOST, Trouble.REFUSED}
    )


def _shielded(work: Work[T], conn: Connection) -> Written[T] | Failure:
    """One of several in a transaction: what it did is taken back if it fails."""
    driver: Any = conn.connection.driver_connection  # SQLAlchemy takes ten times as long
    driver.execute("SAVEPOINT one_of_several")
    try:
        outcome: Written[T] | Failure = noted(work, conn)
    except FAULTS:
        raise  # the whole transaction may be lost by now
    except Exception:  # noqa: BLE001 - for whoever asked for it
        outcome = Failure()
        driver.execute("ROLLBACK TO SAVEPOINT one_of_several")
    driver.execute("RELEASE SAVEPOINT one_of_several")
    return outcome
