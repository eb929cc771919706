"""What a rack measures: gathered from those who know it, when somebody asks."""

from collections.abc import Callable

from common.metrics import Tally, exposition, of_daemon
from common.pools import Threads
from common.pulse import Pulse
from common.release import release
from rackd import metrics_table as table
from rackd.event_log import EventLog
from rackd.follower import Follower
from rackd.library import Library
from rackd.scrub import Scrub
from rackd.syncing import Syncing


class RackMetrics:
    """What stands behind ``/metrics``.

    Args:
        library: what is held.
        follower: how it is.
        syncing: what was fetched.
        scrub: what it found.
        events: what is wrong.
        tally: what was counted since the start.
        pulse: of the reactor.
        certificate_end: when the rack's certificate expires, in seconds since the epoch;
            None before there is one.
        on_disk: runs what blocks on the disk.
    """

    def __init__(
        self,
        library: Library,
        follower: Follower,
        syncing: Syncing,
        scrub: Scrub,
        *,
        events: EventLog,
        tally: Tally,
        pulse: Pulse,
        certificate_end: Callable[[], float | None],
        on_disk: Threads,
    ) -> None:
        self._library = library
        self._follower = follower
        self._syncing = syncing
        self._scrub = scrub
        self._events = events
        self._tally = tally
        self._pulse = pulse
        self._certificate_end = certificate_end
        self._on_disk = on_disk

    async def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        follower, scrub = self._follower, self._scrub.status()
        current = self._library.current
        images = current.record.images if current else ()
        return exposition(
            table.METRICS,
            self._tally.samples,
            {
                table.STATUS: {(follower.status,): 1},
                table.CONNECTED: {(): follower.is_connected},
                table.GENERATION: {(): current.record.generation if current else 0},
                table.REGION_GENERATION: {(): follower.generation},
                table.IMAGES: {(): len(images)},
                table.IMAGE_BYTES: {(): sum(each.size_bytes for each in images)},
                table.FREE_BYTES: {(): await self._on_disk(self._library.free_bytes)},
                table.FETCHED_BYTES: {(): self._syncing.fetched_bytes},
                table.SCRUB_RUNNING: {(): scrub["state"] == "running"},
                table.SCRUB_CHECKED: {(): scrub["checked_bytes"]},
                table.SCRUB_DAMAGED: {(): scrub["damaged"]},
                table.SCRUB_END: {(): scrub["ended_at"]},
            },
            of_daemon(
                release(),
                [each.severity for each in self._events.problems],
                {"rack": self._certificate_end()},
                self._pulse.lag_s,
            ),
        )
