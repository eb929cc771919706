"""Writes that wait together share a transaction, and nothing else (ADR 9)."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from twisted.internet.defer import Deferred

from common.errors import Conflict, IntegrityError, NoSpace, StorageError
from regiond.store import changes, settings
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, SlowDisk, Store


class GroupSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.transactions = 0
        opened = self.database._opened
        assert opened is not None
        self.durable = opened.durable
        transact = self.durable._transact

        def counted(work: Callable[[Connection], Any]) -> Any:
            self.transactions += 1
            return transact(work)

        self.durable._transact = counted
        self.thread = SlowDisk()
        self.durable._writing = self.thread

    def ask(self, work: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.database.write(work, *args))

    def turn(self) -> None:
        """The writer's thread gets to work until nothing waits."""
        while self.thread.waiting:
            self.thread.waiting.pop(0).callback(None)

    def together(self, *works: Sequence[Any]) -> list[Any]:
        """All at once: the result of each, or its failure."""
        asked = [self.ask(*work) for work in works]
        for each in asked:
            self.assertNoResult(each)
        self.turn()
        outcomes: list[Any] = []
        for each in asked:
            each.addBoth(lambda told: outcomes.append(getattr(told, "value", told)))
        self.assertEqual(len(outcomes), len(works))
        return outcomes

    def everything(self) -> dict[str, Any]:
        return self.read(settings.everything)

    def test_those_that_wait_share_one_transaction(self) -> None:
        """Each has its own result, and all are there."""
        found = self.together(*((settings.add, "n", by) for by in (1, 2, 3)))
        self.assertEqual((found, self.transactions), ([1, 3, 6], 1))
        self.assertEqual(self.everything(), {"n": 6})

    def test_nobody_is_told_before_the_commit(self) -> None:
        """An answer is a promise: it comes when all of the transaction is durable."""
        asked = self.ask(settings.put, "a", 1, NOW)
        self.assertNoResult(asked)
        self.assertEqual(self.everything(), {})
        self.turn()
        self.successResultOf(asked)

    def test_one_that_fails_takes_back_nothing_but_itself(self) -> None:
        """What it had written is gone, what the others wrote is there."""

        def half(conn: Connection) -> None:
            settings.put(conn, "half", 1, NOW)
            raise Conflict("half done")

        first, failed, last = self.together(
            (settings.put, "a", 1, NOW), (half,), (settings.put, "b", 2, NOW)
        )
        self.assertEqual((first, last, self.transactions), (None, None, 1))
        self.assertIsInstance(failed, Conflict)
        self.assertEqual(self.everything(), {"a": 1, "b": 2})

    def test_what_the_database_refuses_costs_the_others_nothing(self) -> None:
        """They are done again, each by itself."""
        wrong = lambda conn: conn.execute(text("INSERT INTO setting (name) VALUES ('x')"))  # noqa: E731
        first, failed, last = self.together((settings.add, "n"), (wrong,), (settings.add, "n"))
        self.assertEqual((first, last), (1, 2))
        self.assertIsInstance(failed, Exception)
        self.assertEqual(self.everything(), {"n": 2})

    def test_nothing_is_done_again_when_nobody_knows_whether_it_was_done(self) -> None:
        """A commit whose outcome is lost fails for all of them, once."""
        lost = StorageError("the connection is lost", code="database-unreachable")
        lost.__cause__ = self.refusal()

        def broken(work: Callable[[Connection], Any]) -> Any:
            self.transactions += 1
            raise lost

        self.durable._transact = broken
        self.assertEqual(self.together((settings.add, "n"), (settings.add, "n")), [lost, lost])
        self.assertEqual(self.transactions, 1)

    def refusal(self) -> Exception:
        """What the driver says when the outcome of a commit is unknown."""
        raise NotImplementedError

    def test_a_full_database_refuses_only_what_does_not_fit(self) -> None:
        """Whoever needs no more room still gets on."""
        full = NoSpace("the disk is full", code="no-space")

        def large(conn: Connection) -> None:
            raise full

        found = self.together((settings.add, "n"), (large,), (settings.add, "n"))
        self.assertEqual(found, [1, full, 2])

    def test_subscribers_hear_of_all_of_them_and_of_nothing_that_failed(self) -> None:
        """Once for a transaction, in the order of the writes."""
        heard: list[tuple[str, ...]] = []
        self.database.subscribe(lambda told: heard.append(tuple(each.object for each in told)))

        def half(conn: Connection) -> None:
            changes.record(conn, "setting", "half", NOW)
            raise IntegrityError("half done")

        self.together((settings.put, "a", 1, NOW), (half,), (settings.put, "b", 2, NOW))
        self.assertEqual(heard, [("a", "b")])

    def test_who_gives_up_waiting_stops_nothing(self) -> None:
        """The write happens, and the others get their answers."""
        first, second = self.ask(settings.add, "n"), self.ask(settings.add, "n")
        first.addErrback(lambda _: None)
        first.cancel()
        self.turn()
        self.assertEqual(self.successResultOf(second), 2)


class GroupOnSQLite(GroupSuite, OnSQLite):
    def refusal(self) -> Exception:
        import sqlite3  # noqa: PLC0415 - as the driver says it

        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        return error

    @hypothesis(max_examples=30)
    @given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(["", "said", "refused"]))))
    def test_together_is_as_one_after_the_other(self, works: list[tuple[int, str]]) -> None:
        """Whatever fails in whatever way, each result is that of a sequence of writes."""

        def add(conn: Connection, by: int, fails: str) -> int:
            total = settings.add(conn, "n", by)
            if fails == "said":
                raise Conflict("refused after it was written")
            if fails == "refused":
                conn.execute(text("SELECT nonsense"))
            return total

        before = self.everything().get("n", 0)
        expected, total = [], before
        for by, fails in works:
            total += 0 if fails else by
            expected.append(None if fails else total)
        found = self.together(*((add, by, fails) for by, fails in works))
        self.assertEqual(
            [None if isinstance(each, Exception) else each for each in found], expected
        )
        self.assertEqual(self.everything().get("n", 0), total)


class GroupOnPostgreSQL(GroupSuite, OnPostgreSQL):
    def refusal(self) -> Exception:
        from psycopg import OperationalError  # noqa: PLC0415 - an optional dependency
        from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

        return DBAPIError("COMMIT", {}, OperationalError("server closed the connection"))
