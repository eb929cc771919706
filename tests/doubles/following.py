"""A follower on a real directory, with a region and a clock in memory."""

import attrs
from twisted.internet.task import Clock

from common.images import Image
from common.metrics import Tally
from rackd.event_log import EventLog
from rackd.follower import Follower
from rackd.library import Library
from rackd.planning import ARCHIVE
from rackd.syncing import Syncing
from rackd.transfers import FetchBlob
from tests.doubles.disks import LibraryCase, at_once
from tests.doubles.images import file_of, image_of
from tests.doubles.regions import Fetches, MemoryRegion

JAMMY = "ubuntu/amd64/ga-22.04/jammy/stable"
NOBLE = "ubuntu/amd64/ga-24.04/noble/stable"


class FollowerCase(LibraryCase):
    """A follower, started and connected, with a region that has published nothing.

    Attributes:
        set_by_s: by how much the wall clock was set forward, or back, since its start.
    """

    set_by_s = 0.0

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.clock.advance(1_795_295_000)
        self.region = MemoryRegion()
        self.fetches = Fetches(self.library)
        self.start(self.library)
        self.addCleanup(self.stopped)
        self.follower.connected()

    def start(self, library: Library, fetch: FetchBlob | None = None) -> None:
        """Follow the region with this library; not connected yet.

        Files come as ``fetches`` says, or by ``fetch``.
        """
        self.fetches.library = library
        self.events = EventLog(self.clock.seconds)
        self.syncing = Syncing(
            self.region,
            library,
            fetch or self.fetches.fetch,
            clock=self.clock,
            now=lambda: self.clock.seconds() + self.set_by_s,
            on_disk=at_once,
            events=self.events,
        )
        self.tally = Tally()
        self.follower = Follower(
            self.region,
            library,
            self.syncing,
            clock=self.clock,
            random=lambda: 0.999999,
            events=self.events,
            tally=self.tally,
        )
        self.follower.startService()

    def stopped(self) -> None:
        if self.follower.running:
            stopping = self.follower.stopService()
            assert stopping is not None
            self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def image(self, key: str, *words: str, version: str = "1") -> Image:
        files = []
        for word in words:
            blob = word.encode()
            files.append(file_of(f"file-{word}", blob))
            self.fetches.blobs[files[-1].sha256] = blob
        return image_of(key, *files, version=version)

    def bootloader(self, key: str, type_: str, *archives: bytes, version: str = "1") -> Image:
        """A bootloader of these archives, which the region has."""
        files = []
        for number, blob in enumerate(archives):
            file = attrs.evolve(file_of(f"archive-{number}.tar.xz", blob), ftype=ARCHIVE)
            self.fetches.blobs[file.sha256] = blob
            files.append(file)
        return image_of(key, *files, version=version, bootloader_type=type_)

    def codes(self) -> list[str]:
        return [each.event.code for each in self.events.read(cleared=True)]

    def hold(self, generation: int, *images: Image) -> str:
        """Publish, and let the rack sync."""
        digest = self.region.publish(generation, *images)
        self.follower.trigger()
        self.fetches.finish_all()
        self.assertEqual(self.library.held_view, digest)
        return digest
