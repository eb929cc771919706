"""Tests of what a rack's socket answers."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from common.answering import Answers
from common.errors import TransferError, WrongUsage
from common.events import Event, Severity
from common.vocabulary import VERBS, Place, Question
from rackd.admin import Admin
from rackd.rack_settings import RackSettings
from tests.doubles.disks import at_once
from tests.doubles.following import JAMMY
from tests.doubles.golden import golden, shape_of
from tests.doubles.scrubbing import ScrubbingCase


class AdminTests(ScrubbingCase):
    """A rack that follows a region in memory."""

    def setUp(self) -> None:
        super().setUp()
        scrub = self.begun()
        self.settings = RackSettings(
            (),
            self.images_dir.parent / "settings",
            clock=self.clock,
            now=self.clock.seconds,
            on_disk=at_once,
        )
        self.admin = Admin(
            "rack-1",
            self.library,
            self.follower,
            scrub,
            settings=self.settings,
            events=self.events,
            clock=self.clock,
            now=self.clock.seconds,
            on_disk=at_once,
        )
        self.told: list[object] = []

    def ask(
        self, noun: str, verb: str = "", *flags: str, ids: tuple[str, ...] = (), **parameters: str
    ) -> "Deferred[object]":
        question = Question(noun, verb, ids, parameters, flags)
        return Deferred.fromCoroutine(self.admin.answer(question, self.told.append))

    def test_every_word(self) -> None:
        """Every word that the vocabulary gives to racks is answered, and no other."""
        for verb in VERBS:
            keys = {"bandwidth": "1 MiB/s"} if verb.open_keys else {}
            asking = self.ask(verb.noun, verb.verb, ids=("bandwidth",) * len(verb.ids), **keys)
            if Place.RACK in verb.places:
                answer = self.successResultOf(asking)
                if answer and verb.noun != "boot-resources":
                    kept = golden(Place.RACK, verb)
                    self.assertEqual(shape_of(answer, "scrub"), shape_of(kept, "scrub"), verb.name)
            else:
                self.failureResultOf(asking, WrongUsage)

    def test_status(self) -> None:
        """Status says what is held, what is wanted, and what is wrong."""
        digest = self.hold(3, self.image(JAMMY, "kernel"))
        self.region.failure = TransferError("no region", code="region-unreachable", remedy="x")
        self.follower.trigger()
        status = self.successResultOf(self.ask("status"))
        assert isinstance(status, dict)
        self.assertEqual(
            (status["name"], status["held"], status["generation"], status["images"]),
            ("rack-1", digest, 3, 1),
        )
        self.assertEqual([row["code"] for row in status["problems"]], ["region-unreachable"])
        self.assertGreater(status["free_bytes"], 0)

    def test_config(self) -> None:
        """The limit is changed and shown; what waits for its hours says so."""
        (row,) = self.successResultOf(self.ask("config", "set", bandwidth="0 00:00-24:00"))  # type: ignore[misc]  # a list
        self.assertEqual((row["value"], row["default"]), ("0", "unlimited"))
        self.assertEqual(self.successResultOf(self.ask("config", "get", ids=("bandwidth",))), row)
        self.assertEqual(self.successResultOf(self.ask("config", "list")), [row])
        status = self.successResultOf(self.ask("status"))
        assert isinstance(status, dict)
        self.assertEqual((status["bandwidth"], status["waiting"]), ("0", ""))
        self.failureResultOf(self.ask("config", "set", bandwidth="fast"), WrongUsage)
        self.failureResultOf(self.ask("config", "set"), WrongUsage)

    def test_images(self) -> None:
        """Images are listed with the documented keys."""
        self.hold(3, self.image(JAMMY, "kernel", version="20261121"))
        (row,) = self.successResultOf(self.ask("boot-resources", "read"))  # type: ignore[misc]  # a list
        self.assertEqual(
            [row[key] for key in ("id", "name", "architecture", "label", "version", "state")],
            [1, "ubuntu/jammy", "amd64/ga-22.04", "stable", "20261121", "complete"],
        )
        self.assertEqual(row["size_bytes"], row["complete_bytes"])
        self.assertEqual(
            self.successResultOf(self.ask("boot-resources", "read", type="uploaded")), []
        )
        self.failureResultOf(self.ask("boot-resources", "read", type="odd"), WrongUsage)

    def test_older_versions_at_hand(self) -> None:
        """They are listed as kept, and the status says how much of them is here."""
        new, old = self.image(JAMMY, "new", version="2"), self.image(JAMMY, "old")
        self.region.publish(3, new, kept=[old])
        self.follower.trigger()
        self.fetches.finish("file-new")
        rows = self.successResultOf(self.ask("boot-resources", "read"))
        assert isinstance(rows, list)
        told = [(row["version"], row["state"], row["complete_bytes"]) for row in rows]
        self.assertEqual(told, [("2", "complete", 3), ("1", "kept", 0)])
        self.fetches.finish_all()
        status = self.successResultOf(self.ask("status"))
        assert isinstance(status, dict)
        self.assertEqual(
            status["kept"], {"images": 1, "complete": 1, "size_bytes": 3, "reason": ""}
        )

    def test_scrub(self) -> None:
        """A scrub can be asked for and waited for; status says how it is."""
        self.hold(3, self.image(JAMMY, "kernel"))
        started = self.successResultOf(self.ask("scrub"))
        assert isinstance(started, dict)
        self.assertEqual(started["outcome"], "started")
        waiting = self.ask("scrub", "", "wait")
        self.clock.pump([1] * 10)
        ended = self.successResultOf(waiting)
        assert isinstance(ended, dict)
        self.assertEqual((ended["outcome"], ended["damaged"]), ("checked", 0))
        self.assertEqual(self.told[0].keys(), {"phase", "checked_bytes", "total_bytes"})  # type: ignore[attr-defined]  # a dict
        status = self.successResultOf(self.ask("status"))
        assert isinstance(status, dict)
        self.assertEqual(status["scrub"]["checked_bytes"], ended["checked_bytes"])
        self.assertGreater(status["scrub"]["next_at"], self.clock.seconds())

    def test_import(self) -> None:
        """Import with wait tells how far it is and how it ended; without, it only begins."""
        self.region.publish(1, self.image(JAMMY, "kernel"))
        waiting = self.ask("boot-resources", "import", "wait")
        self.fetches.tell("file-kernel", 3)
        self.clock.advance(1)
        part = {"name": "ubuntu/jammy amd64/ga-22.04", "state": "1"}
        whole = {"fetched_bytes": 3, "total_bytes": 6}
        self.assertEqual(
            self.told[-1], {"phase": "fetching", **whole, "parts": [{**part, **whole}]}
        )
        self.fetches.finish_all()
        outcome = self.successResultOf(waiting)
        assert isinstance(outcome, dict)
        self.assertEqual(
            (outcome["outcome"], outcome["published"], outcome["fetched_bytes"]),
            ("synced", [JAMMY], 6),
        )
        asked = len(self.region.asked)
        self.successResultOf(self.ask("boot-resources", "import"))
        self.assertEqual(len(self.region.asked), asked + 1)

    def test_the_audit_of_a_rack(self) -> None:
        """Who changed something is among its events, and can be asked for alone."""
        answers = Answers(self.admin.answer, self.events.keep)
        asked = Question(
            "config", "set", (), {"bandwidth": "1 MiB/s"}, asker="alice (uid 7, pid 1)"
        )
        self.successResultOf(Deferred.fromCoroutine(answers.answer(asked, self.told.append)))
        self.events.note(Event("image-skipped", Severity.WARNING, "x", "y"))
        (row,) = self.successResultOf(self.ask("events", "read", code="admin-change"))  # type: ignore[misc]  # a list
        self.assertEqual(
            (row["object"], row["cause"]),
            ("config", "alice (uid 7, pid 1): config set bandwidth=1 MiB/s: done"),
        )

    def test_import_fails(self) -> None:
        """A sync that fails is the answer's error."""
        self.region.failure = TransferError("no region")
        self.failureResultOf(self.ask("boot-resources", "import", "wait"), TransferError)

    def test_events(self) -> None:
        """Events can be read from a level on."""
        self.region.failure = TransferError("no region", code="region-unreachable")
        self.follower.trigger()
        self.region.failure = None
        self.follower.trigger()
        rows = self.successResultOf(self.ask("events", "read", "all"))
        assert isinstance(rows, list)
        self.assertEqual(
            [(row["id"], row["code"], row["state"]) for row in rows],
            [(2, "recovered", "happened"), (1, "region-unreachable", "cleared")],
        )
        worse = self.successResultOf(self.ask("events", "read", "all", level="warning"))
        self.assertEqual(worse, rows[1:])
        self.assertEqual(self.successResultOf(self.ask("events", "read")), rows[:1])
        self.failureResultOf(self.ask("events", "read", level="odd"), WrongUsage)

    def test_following_events(self) -> None:
        """What is open comes first; then each event as it opens, clears and happens."""
        self.region.failure = TransferError("no region", code="region-unreachable")
        self.follower.trigger()
        items = self.successResultOf(self.ask("events", "read", "follow"))
        assert isinstance(items, AsyncGenerator)
        seen: list[tuple[str, str]] = []

        def see(row: dict[str, Any]) -> None:
            seen.append((row["code"], row["state"]))

        async def follow() -> None:
            async with aclosing(items):
                async for row in items:
                    see(row)

        following = Deferred.fromCoroutine(follow())
        self.assertEqual(seen, [("region-unreachable", "open")])
        self.region.failure = None
        self.follower.trigger()
        self.assertEqual(seen[1:], [("region-unreachable", "cleared"), ("recovered", "happened")])
        following.cancel()
        self.failureResultOf(following, CancelledError)
        self.events.note(Event("image-skipped", Severity.WARNING, "x", "y"))
        self.assertEqual(len(seen), 3)
