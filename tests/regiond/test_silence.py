"""Racks that say nothing for long."""

from regiond.racks.fleet import RackIdentity
from regiond.silence import LONG_S, LOOK_S, SilenceWatch
from regiond.store import events, racks
from tests.doubles.fleets import FleetCase
from tests.doubles.stores import NOW, finished


class SilenceTests(FleetCase):
    """A rack that has reported to this region, and what is told of its silence."""

    def setUp(self) -> None:
        super().setUp()
        self.rack = self.enrol()
        self.report(self.rack)
        self.watch = self.started()

    def started(self, region: str = "region-1") -> SilenceWatch:
        watch = SilenceWatch(
            self.database, region, self.fleet.silence_s, self.clock, lambda: NOW + self.time
        )
        watch.startService()

        def stop() -> None:
            stopping = watch.stopService() if watch.running else None
            if stopping is not None:
                self.successResultOf(stopping)

        self.addCleanup(stop)
        return watch

    @property
    def time(self) -> float:
        return self.clock.seconds()

    def report(self, rack: RackIdentity) -> None:
        finished(self.fleet.seen(rack))
        finished(self.fleet.report_sync(rack, *self.view(), ""))

    def silent(self) -> list[tuple[str, int]]:
        found = self.read(events.list_events)
        return [(e.event.object, e.count) for e in found if e.event.code == "rack-silent"]

    def wait(self, seconds: float) -> None:
        self.clock.pump([LOOK_S] * int(seconds / LOOK_S))

    def test_it_is_told_once_until_the_rack_is_heard(self) -> None:
        """After a quarter of an hour, with a remedy; the first report ends it."""
        self.wait(LONG_S)
        self.assertEqual(self.silent(), [])
        self.wait(3 * LOOK_S)
        self.assertEqual(self.silent(), [("rack rack-1", 1)])
        (told,) = self.read(events.list_events)
        self.assertIn("rack-controller delete", told.event.remedy)
        self.report(self.rack)
        self.assertEqual(self.silent(), [])
        self.wait(LONG_S)
        self.assertEqual(self.silent(), [])

    def test_a_word_is_enough(self) -> None:
        """A rack that is heard and has nothing to report is silent no longer."""
        self.wait(LONG_S + LOOK_S)
        finished(self.fleet.seen(self.rack))
        self.wait(LOOK_S)
        self.assertEqual(self.silent(), [])

    def test_one_that_never_reported(self) -> None:
        """It is being set up; nobody is told of it."""
        self.enrol("rack-2")
        self.wait(LONG_S + LOOK_S)
        self.assertEqual(self.silent(), [("rack rack-1", 1)])

    def test_one_that_went_to_another_region(self) -> None:
        """That one judges it; it does so when the rack is silent there, too."""
        number, digest = self.view()
        self.write(racks.report_sync, "rack-1", number, digest, None, NOW, "region-2")
        self.wait(LONG_S + LOOK_S)
        self.assertEqual(self.silent(), [])
        self.started("region-2")
        self.wait(LONG_S + LOOK_S)
        self.assertEqual(self.silent(), [("rack rack-1", 1)])

    def test_after_a_restart(self) -> None:
        """A rack that does not come back is told of; what was told before stays, told once."""
        for _ in range(2):
            stopping = self.watch.stopService()
            if stopping is not None:
                self.successResultOf(stopping)
            self.fleet._presences.clear()
            self.watch = self.started()
            self.wait(LONG_S + LOOK_S)
            self.assertEqual(self.silent(), [("rack rack-1", 1)])

    def test_a_deleted_rack(self) -> None:
        """Nothing stays open about it."""
        self.wait(LONG_S + LOOK_S)
        finished(self.fleet.delete_rack("rack-1"))
        self.assertEqual(self.silent(), [])
        self.wait(LOOK_S)
        self.assertEqual(self.silent(), [])
