"""What is promoted by time, and who looks when."""

from twisted.internet.task import Clock

from regiond.canary_watch import LONGEST_S, OVERDUE_S, CanaryWatch
from regiond.store import canaries, events, generations, images, promotions, publication, racks
from tests.doubles.stores import NOW, OnSQLite, Store, content

HOUR_S = 3600.0


class CanaryWatchTests(Store, OnSQLite):
    """A canary, an hour before all others; nothing is published yet."""

    def setUp(self) -> None:
        super().setUp()
        self.take_lease()
        self.clock = Clock()
        self.write(lambda conn: racks._active_rack(conn, "canary", NOW))
        self.write(promotions.change, ["canary"], HOUR_S, NOW)
        self.watch = self.started()

    def started(self) -> CanaryWatch:
        watch = CanaryWatch(self.database, self.clock, self.now)
        watch.startService()

        def stop() -> None:
            if watch.running:
                stopping = watch.stopService()
                assert stopping is not None
                self.successResultOf(stopping)

        self.addCleanup(stop)
        return watch

    def now(self) -> float:
        return NOW + self.clock.seconds()

    def version(self, number: int) -> None:
        self.publish([content(10, seed=number)], str(number), now=self.now())

    def well(self) -> None:
        number, digest = self.read(generations.current_view, "canary")
        self.write(racks.report_sync, "canary", number, digest, None, self.now())

    def waits(self) -> int:
        return len(self.read(canaries.waiting))

    def test_it_promotes_when_it_is_due(self) -> None:
        """To the second, although it was told of nothing but the publish."""
        self.version(1)
        self.well()
        self.clock.pump([LONGEST_S] * 11 + [LONGEST_S - 1])
        self.assertEqual(self.waits(), 1)
        self.clock.advance(1)
        self.assertEqual(self.waits(), 0)

    def test_what_another_region_published_is_found(self) -> None:
        """Without a word in this process, and after a restart."""
        self.version(1)
        self.well()
        self.successResultOf(self.watch.stopService())
        self.clock.advance(2 * HOUR_S)
        self.started()
        self.assertEqual(self.waits(), 0)

    def test_a_failing_canary_is_said_once_and_looked_at_often(self) -> None:
        """Not a write each time; it goes on soon after the canary is well."""
        self.version(1)
        self.clock.pump([LONGEST_S] * 12)
        self.clock.pump([OVERDUE_S] * 5)
        (said,) = self.read(events.list_events)
        self.assertEqual((said.event.code, said.count), ("canary-failed", 1))
        self.well()
        self.clock.advance(OVERDUE_S)
        self.assertEqual((self.waits(), self.read(events.list_events)), (0, ()))

    def test_what_is_not_due_any_more_is_not_told_any_more(self) -> None:
        """It was deleted, or gone back from, while it was held back."""
        self.version(1)
        self.clock.pump([LONGEST_S] * 12)
        self.assertEqual(len(self.read(events.list_events)), 1)
        (found,) = self.read(images.list_images)
        self.write(publication.retire_images, [found.id], None, self.now())
        self.assertEqual(self.read(events.list_events), ())

    def test_without_canaries_it_only_looks_now_and_then(self) -> None:
        """One read each five minutes, and no timer after the end."""
        self.write(promotions.change, [], None, NOW)
        self.assertEqual([call.getTime() - self.clock.seconds()
                          for call in self.clock.getDelayedCalls()], [LONGEST_S])  # fmt: skip
        self.successResultOf(self.watch.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])
