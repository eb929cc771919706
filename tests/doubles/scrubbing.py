"""A rack in memory with its scrub, on a real directory."""

from common.errors import StorageError
from rackd.boot_record import BootRecord
from rackd.checks import Checks
from rackd.records import HeldFile
from rackd.scrub import Scrub
from tests.doubles.disks import at_once
from tests.doubles.following import JAMMY, FollowerCase


class ScrubbingCase(FollowerCase):
    """A follower, and a scrub that tests start with ``begun``.

    Attributes:
        damage: what was found wrong, in order.
    """

    def setUp(self) -> None:
        super().setUp()
        self.damage: list[StorageError] = []
        self.scrub: Scrub | None = None

    def begun(self, limit_bytes_s: float = 1e9) -> Scrub:
        """The scrub after a start of rackd."""
        directory = self.images_dir.parent
        checks = Checks(
            self.library,
            BootRecord(directory / "verified", "boot-1"),
            on_check=at_once,
            events=self.events,
            on_damage=self.damaged,
        )
        self.scrub = Scrub(
            self.library,
            checks,
            directory / "scrub",
            clock=self.clock,
            now=lambda: self.clock.seconds() + self.set_by_s,
            random=lambda: 0.5,
            on_scrub=at_once,
            events=self.events,
            limit_bytes_s=limit_bytes_s,
        )
        self.scrub.startService()
        return self.scrub

    def damaged(self, error: StorageError) -> None:
        """As the daemon does."""
        self.damage.append(error)
        self.events.raise_problem(error)
        self.follower.trigger()

    def stopped(self) -> None:
        if self.scrub is not None and self.scrub.running:
            self.successResultOf(self.scrub.stopService())
        super().stopped()

    def file(self, name: str) -> HeldFile:
        """What the newest tree has at the place of the file of that word."""
        assert self.library.current is not None
        return self.library.current.record.files[f"{JAMMY}/file-{name}"]
