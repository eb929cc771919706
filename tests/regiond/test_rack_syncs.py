"""Waiting for racks, on the real store."""

import json
from typing import Any

from twisted.internet.defer import Deferred

from common.commands import SILENCE_LIMIT_S
from common.errors import NotFound, TransferError
from regiond.rack_syncs import LOOK_INTERVAL_S, RackSyncs
from regiond.racks.fleet import RackIdentity
from tests.doubles.fleets import PROBLEM, FleetCase
from tests.doubles.stores import content, finished


class RackSyncsTests(FleetCase):
    def setUp(self) -> None:
        super().setUp()
        self.racks = {name: self.enrol(name) for name in ("rack-1", "rack-2")}
        self.asked: list[str | None] = []
        self.is_away = False
        self.told: list[Any] = []
        self.syncs = RackSyncs(self.fleet, self.ask, self.clock)

    async def ask(self, name: str | None) -> list[str]:
        self.asked.append(name)
        return [each for each in self.racks if name in {None, each} and not self.is_away]

    def wait(self, name: str | None = None) -> "Deferred[list[dict[str, str]]]":
        return Deferred.fromCoroutine(self.syncs.wait(name, self.told.append))

    def sync(self, name: str, problem: object = None) -> None:
        """A rack says that it is done with a look, well or not."""
        rack: RackIdentity = self.racks[name]
        finished(self.fleet.seen(rack))
        generation, digest = self.view()
        held, text = ("", json.dumps(problem)) if problem else (digest, "")
        finished(self.fleet.report_sync(rack, generation, held, text))
        self.clock.advance(LOOK_INTERVAL_S)

    def test_done_when_every_rack_holds_it(self) -> None:
        """The answer comes with the last of them, and names each."""
        waiting = self.wait()
        self.assertEqual(self.asked, [None])
        self.sync("rack-1")
        self.assertNoResult(waiting)
        self.assertEqual((self.told[-1]["done"], self.told[-1]["total"]), (1, 2))
        self.assertEqual(self.told[-1]["waiting_for"], "rack-2 is unknown")
        self.sync("rack-2")
        rows = self.successResultOf(waiting)
        self.assertEqual(rows, [{"name": n, "status": "synced"} for n in ("rack-1", "rack-2")])

    def test_what_a_rack_said_before_is_old(self) -> None:
        """One that was synced is asked again: it may be dead, or have lost its disk, since."""
        for name in self.racks:
            self.sync(name)
        self.is_away = True
        waiting = self.wait()
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertNoResult(waiting)
        self.assertEqual(
            self.told[-1]["waiting_for"], "rack-1 is not connected, rack-2 is not connected"
        )
        for name in self.racks:
            self.sync(name)
        self.successResultOf(waiting)

    def test_a_rack_that_is_away_is_waited_for(self) -> None:
        """However long it is silent; when it comes back and syncs, that was it."""
        waiting = self.wait("rack-2")
        self.clock.pump([SILENCE_LIMIT_S] * 20)
        self.assertNoResult(waiting)
        self.sync("rack-2")
        self.assertEqual(self.successResultOf(waiting), [{"name": "rack-2", "status": "synced"}])
        self.assertEqual(self.asked, ["rack-2"])

    def test_a_problem_is_a_failure_that_names_its_rack(self) -> None:
        """When all others are done; with the rack's own reason and remedy."""
        waiting = self.wait()
        self.sync("rack-1", PROBLEM)
        self.assertNoResult(waiting)
        self.sync("rack-2")
        error = self.failureResultOf(waiting, TransferError).value
        self.assertEqual(error.code, "racks-not-synced")
        self.assertEqual(error.message, "1 of 2 did not sync: rack-1: disk: is full")
        self.assertEqual(error.remedy, "free space")

    def test_a_rack_that_recovers_has_not_failed(self) -> None:
        """Racks try again by themselves: as long as somebody waits, the last word counts."""
        waiting = self.wait()
        self.sync("rack-1", PROBLEM)
        self.sync("rack-1")
        self.sync("rack-2")
        self.successResultOf(waiting)

    def test_an_old_problem_is_no_failure(self) -> None:
        """What it said before it was asked does not count."""
        self.sync("rack-1", PROBLEM)
        waiting = self.wait("rack-1")
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertNoResult(waiting)
        self.sync("rack-1")
        self.successResultOf(waiting)

    def test_the_generation_of_the_question_is_enough(self) -> None:
        """Publishing goes on; nobody waits for what came after the question."""
        waiting = self.wait("rack-1")
        generation, digest = self.view()
        self.publish([content(1000, seed=2)], version="20261102")
        rack = self.racks["rack-1"]
        finished(self.fleet.seen(rack))
        finished(self.fleet.report_sync(rack, generation, digest, ""))
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertEqual(
            self.successResultOf(waiting), [{"name": "rack-1", "status": "out-of-sync"}]
        )

    def test_how_far_they_are(self) -> None:
        """Bytes of all that move, and of each."""
        waiting = self.wait()
        for name, rack in self.racks.items():
            finished(self.fleet.seen(rack))
            finished(self.fleet.report_progress(rack, 1, 10 * int(name[-1]), 100))
        self.clock.advance(LOOK_INTERVAL_S)
        told = self.told[-1]
        self.assertEqual((told["fetched_bytes"], told["total_bytes"]), (30, 200))
        self.assertEqual(
            [(each["name"], each["state"], each["fetched_bytes"]) for each in told["parts"]],
            [("rack-1", "syncing", 10), ("rack-2", "syncing", 20)],
        )
        waiting.addErrback(lambda _: None)
        waiting.cancel()

    def test_a_rack_that_is_deleted_meanwhile(self) -> None:
        """Nobody waits for what is no more; asked for alone, it is not found."""
        all_of_them, one = self.wait(), self.wait("rack-2")
        finished(self.fleet.delete_rack("rack-2"))
        self.sync("rack-1")
        self.assertEqual([row["name"] for row in self.successResultOf(all_of_them)], ["rack-1"])
        self.failureResultOf(one, NotFound)
        self.failureResultOf(self.wait("rack-2"), NotFound)

    def test_beginning_without_waiting(self) -> None:
        """Who was told, and who could not be."""
        del self.racks["rack-2"]
        rows = finished(self.syncs.begin(None))
        self.assertEqual(
            [(row["name"], row["status"]) for row in rows],
            [("rack-1", "told"), ("rack-2", "not connected")],
        )
