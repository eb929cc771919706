"""Telling hooks of events: a real database, and a hook that does what the test says."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from common.errors import TransferError
from common.events import Event, Severity
from regiond.hooks import RETRY_CAP_S, Teller, Telling, forget_failure
from regiond.store import events
from regiond.telling import GIVE_UP_S, HOOK_FAILED, MOST_WAITING, Hook
from tests.doubles.stores import OnPostgreSQL, OnSQLite, Store, finished

START = 1_800_000_000.0


class _Hook:
    """Remembers what it is told; fails, or waits, if the test wants that."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.tried = 0
        self.bad: set[str] = set()
        self.hold: Deferred[None] | None = None

    async def deliver(self, message: Any) -> None:
        self.tried += 1
        if self.hold is not None:
            await self.hold
        if self.bad & {message["object"], "*"}:
            raise TransferError("no")
        self.told.append((message["object"], message["state"]))


class HooksSuite(Store):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.clock.advance(START)
        self.hook = _Hook()
        self.tellers: list[Teller] = []

    def start(
        self, hook: Hook = Hook.PROGRAM, name: str = "region-1", to: _Hook | None = None
    ) -> Teller:
        telling = Telling(self.database, name, self.clock, self.clock.seconds, lambda: 1.0)
        teller = Teller(hook, (to or self.hook).deliver, Severity.ERROR, telling)
        teller.startService()
        self.tellers.append(teller)
        self.addCleanup(self.stop, teller)
        self.clock.advance(0)
        return teller

    def stop(self, teller: Teller) -> None:
        if teller.running:
            ended = teller.stopService()
            assert ended is not None
            self.successResultOf(ended)

    def raise_event(self, about: str, severity: Severity = Severity.ERROR) -> None:
        self.clock.advance(1)
        self.write(events.raise_event, Event("x", severity, about, "why"), self.clock.seconds())
        self.clock.advance(0)

    def clear(self, about: str) -> None:
        self.clock.advance(1)
        self.write(events.clear_event, "x", about, self.clock.seconds())
        self.clock.advance(0)

    def is_failing(self) -> bool:
        found = self.read(events.list_events)
        return any(each.event.code == HOOK_FAILED for each in found)

    def test_an_event_is_told_when_it_opens_and_when_it_is_over(self) -> None:
        """Once each, however often it repeats meanwhile; below the level nothing is told."""
        self.start()
        self.raise_event("a")
        self.raise_event("a")
        self.raise_event("b", Severity.WARNING)
        self.clear("a")
        self.clear("b")
        self.assertEqual(self.hook.told, [("a", "open"), ("a", "cleared")])
        self.assertFalse(self.is_failing())

    def test_what_happened_while_nobody_told_is_told_at_the_start(self) -> None:
        """What is open, and what was over during the last day; facts only once."""
        self.raise_event("ancient")
        self.clear("ancient")
        self.raise_event("open")
        self.clock.advance(GIVE_UP_S)
        self.raise_event("over")
        self.clear("over")
        fact = Event("y", Severity.ERROR, "fact", "why")
        self.write(events.record_fact, fact, self.clock.seconds())
        self.clock.advance(1)
        self.start()
        told = [("open", "open"), ("over", "cleared"), ("fact", "happened")]
        self.assertEqual(self.hook.told, told)
        self.stop(self.tellers[0])
        self.start()
        self.assertEqual(self.hook.told, told)

    def test_an_event_that_is_over_while_it_is_told_is_told_as_over_too(self) -> None:
        """The second message is not lost between reading and marking."""
        self.start()
        self.hook.hold = Deferred()
        self.raise_event("a")
        self.clear("a")
        hold, self.hook.hold = self.hook.hold, None
        hold.callback(None)
        self.clock.advance(0)
        self.assertEqual(self.hook.told[-1], ("a", "cleared"))

    def test_a_hook_that_fails_is_an_event_and_tried_again(self) -> None:
        """Later and later; the event is told to nobody and clears when the hook works."""
        self.start()
        self.hook.bad = {"*"}
        self.raise_event("a")
        self.assertTrue(self.is_failing())
        self.assertEqual(self.hook.tried, 1)
        self.raise_event("b")
        self.assertEqual(self.hook.tried, 1, "an event is no reason to hurry")
        for _ in range(3):
            self.clock.advance(RETRY_CAP_S)
        self.hook.bad = set()
        self.clock.advance(RETRY_CAP_S)
        self.clock.advance(0)
        self.assertEqual(sorted(self.hook.told), [("a", "open"), ("b", "open")])
        self.assertFalse(self.is_failing())

    def test_one_message_that_always_fails_stops_no_other(self) -> None:
        """The others are told, and after a day it is let go."""
        self.start()
        self.hook.bad = {"poison"}
        self.raise_event("poison")
        self.raise_event("a")
        self.clock.advance(RETRY_CAP_S)
        self.raise_event("b")
        self.clock.advance(RETRY_CAP_S)
        self.assertEqual(self.hook.told, [("a", "open"), ("b", "open")])
        for _ in range(60):
            self.clock.advance(RETRY_CAP_S)
        tried = self.hook.tried
        self.clock.advance(GIVE_UP_S)
        self.assertEqual(self.hook.tried, tried)

    def test_what_failed_is_told_after_a_restart(self) -> None:
        """The database knows what is still to be told, and that the hook was failing."""
        self.hook.bad = {"*"}
        first = self.start()
        self.raise_event("a")
        self.stop(first)
        self.hook.bad = set()
        self.start()
        self.assertEqual(self.hook.told, [("a", "open")])
        self.assertFalse(self.is_failing())

    def test_a_stopped_teller_leaves_nothing_behind(self) -> None:
        """What is on its way is cut off, the lease is free, and it is told later."""
        first = self.start()
        self.hook.hold = Deferred()
        self.raise_event("a")
        self.stop(first)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.hook.hold = None
        self.start(name="region-2")
        self.assertEqual(self.hook.told, [("a", "open")])

    def test_only_one_region_tells(self) -> None:
        """While one is at it the other waits, and finds nothing left to tell."""
        other = _Hook()
        self.start()
        self.start(name="region-2", to=other)
        self.hook.hold = Deferred()
        self.raise_event("a")
        hold, self.hook.hold = self.hook.hold, None
        hold.callback(None)
        self.clock.pump([60.0, 60.0, 60.0])
        self.assertEqual((self.hook.told, other.told), ([("a", "open")], []))

    def test_program_and_webhook_are_told_by_themselves(self) -> None:
        """One that fails keeps nothing from the other."""
        other = _Hook()
        other.bad = {"*"}
        self.start()
        self.start(Hook.WEBHOOK, to=other)
        self.raise_event("a")
        self.assertEqual((self.hook.told, other.told), ([("a", "open")], []))
        other.bad = set()
        self.clock.advance(RETRY_CAP_S)
        self.assertEqual((self.hook.told, other.told), ([("a", "open")],) * 2)

    def test_a_storm_is_one_message(self) -> None:
        """Of more than a hundred one message tells, and none of them is told again."""
        for number in range(MOST_WAITING + 1):
            self.raise_event(str(number))
        self.start()
        self.assertEqual(self.hook.told, [("events", "happened")])

    def test_a_hook_that_is_no_more_leaves_no_problem(self) -> None:
        """What is not configured cannot be failing."""
        self.hook.bad = {"*"}
        teller = self.start()
        self.raise_event("a")
        self.stop(teller)
        finished(forget_failure(self.database, Hook.PROGRAM, self.clock.seconds()))
        self.assertFalse(self.is_failing())


class HooksOnSQLite(HooksSuite, OnSQLite):
    pass


class HooksOnPostgreSQL(HooksSuite, OnPostgreSQL):
    pass
