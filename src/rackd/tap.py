"""Puts a rack together: ``twist[d] rackd --config PATH``. Alone knows the reactor.

Start-up needs its own directories and ports, and nothing else: no region, no DNS and no
certificate. What is wrong with those is one line on stderr and exit code 1. A library that
can be read and not written is served, and opened as soon as it can be.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet import reactor as global_reactor  # noqa: TID251  (the one place)
from twisted.internet.defer import Deferred
from twisted.python import usage

import common
from common import durable
from common.addresses import tcp_port
from common.answering import Answers
from common.asking import AdminSocket
from common.config import RackdConfig, load
from common.disks import demand_writable
from common.errors import Busy, ConfigError, NoSpace, RackferryError, StorageError
from common.health import Health
from common.listening import Ports
from common.metrics import Tally
from common.metrics_page import MetricsPage
from common.peers import Peers
from common.pools import Pools, shared
from common.pulse import Pulse
from common.release import release
from common.steady import keep_steady, time_of_day
from common.systemd import Supervisor, SystemdService
from common.vocabulary import Place
from rackd.admin import Admin
from rackd.amp_blobs import AmpBlobs
from rackd.blobs import BlobFetcher
from rackd.boot_record import BootRecord, boot_id
from rackd.checks import Checks
from rackd.event_log import EventLog
from rackd.filesystem import free_bytes
from rackd.follower import Follower
from rackd.https_blobs import HttpsBlobs
from rackd.library import Library
from rackd.machines import Machines, MachinesSite
from rackd.menus import IMAGES_PORT, MenuSettings
from rackd.metrics import RackMetrics
from rackd.metrics_table import FETCHED_AGAIN_BYTES
from rackd.rack_settings import RackSettings
from rackd.scrub import Scrub
from rackd.syncing import Syncing
from rackd.uplink import Uplink

_THREADS = {"disk": 2, "sync": 2, "hash": 2, "serve": 4, "check": 2, "scrub": 1}


class Options(usage.Options):
    """The command line."""

    optParameters = [["config", "c", None, "configuration file [/etc/rackferry/rackd.toml]"]]

    def opt_version(self) -> None:
        """Print the release and exit."""
        print(f"rackd {release()}")  # noqa: T201  (the answer to --version)
        raise SystemExit(0)


class Rack(MultiService):
    """The whole daemon.

    Args:
        reactor: everything's; its timers are steady.
        config: what the file says.
        supervisor: systemd, or nobody.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        reactor: Any,
        config: RackdConfig,
        supervisor: Supervisor,
        now: Callable[[], float] = time_of_day,
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._now = now
        self._config = config
        self._threads = Pools(reactor, "rackd", _THREADS)
        random = SystemRandom().random
        self.events = EventLog(now)
        self._tally = Tally()
        self._pulse = Pulse(reactor)
        menus = MenuSettings(
            kernel_parameters=config.kernel_parameters,
            boot_url=config.boot_url,
            port=tcp_port(config.listen.images) or IMAGES_PORT,
        )
        self.library = Library(
            config.images_dir,
            on_disk=self._threads["disk"],
            on_sync=self._threads["sync"],
            recipe=menus.recipe,
            reserve_bytes=None if config.reserve_mib is None else config.reserve_mib << 20,
        )
        self.uplink = Uplink(reactor, config, random, self._threads["disk"])
        self.settings = RackSettings(
            config.bandwidth,
            config.state_dir / "settings",
            clock=reactor,
            now=now,
            on_disk=self._threads["disk"],
        )
        is_over_amp = config.image_transport == "amp"
        blobs = BlobFetcher(
            AmpBlobs(self.uplink) if is_over_amp else HttpsBlobs(self.uplink, reactor),
            self.library,
            clock=reactor,
            random=random,
            hashing=self._threads["hash"],
            throttle=self.settings.throttle,
            wasted=partial(self._tally.add, FETCHED_AGAIN_BYTES),
        )
        self.syncing = Syncing(
            self.uplink,
            self.library,
            blobs.fetch,
            clock=reactor,
            now=now,
            on_disk=self._threads["disk"],
            events=self.events,
            menus=menus,
        )
        self.follower = Follower(
            self.uplink,
            self.library,
            self.syncing,
            clock=reactor,
            random=random,
            events=self.events,
            tally=self._tally,
        )
        self.checks = Checks(
            self.library,
            BootRecord(config.state_dir / "verified", boot_id()),
            on_check=self._threads["check"],
            events=self.events,
            on_damage=self._damaged,
        )
        self.scrub = Scrub(
            self.library,
            self.checks,
            config.state_dir / "scrub",
            clock=reactor,
            now=now,
            random=random,
            on_scrub=self._threads["scrub"],
            events=self.events,
            limit_bytes_s=config.scrub_limit_bytes_s,
        )
        self._metrics = RackMetrics(
            self.library,
            self.follower,
            self.syncing,
            self.scrub,
            events=self.events,
            tally=self._tally,
            pulse=self._pulse,
            certificate_end=self._certificate_end,
            on_disk=self._threads["serve"],
        )
        self.uplink.on_connected = self.follower.connected
        self.uplink.on_lost = lambda _: self.follower.lost()
        self.uplink.on_problem = self.follower.troubled
        self.uplink.on_view_changed = lambda _, __: self.follower.trigger()
        self.uplink.on_sync_now = self.follower.asked
        self._systemd = SystemdService(reactor, supervisor, self._check_health)
        self.ports = Ports(reactor, config.listen)
        # Stopped in the reverse order: first nobody syncs any more, then the line is cut.
        for service in (self._systemd, self._pulse, self.uplink, self.follower, self.scrub):
            service.setServiceParent(self)

    def startService(self) -> None:
        """Open the directory and the ports, then start everything.

        Raises:
            SystemExit: with the one line that says why not.
        """
        try:
            self._open()
        except RackferryError as error:
            raise SystemExit(f"rackd: {error.line()}") from error
        super().startService()
        self._systemd.ready(f"serving {self._config.images_dir}")

    async def _stop(self) -> None:
        await self.ports.close()
        stopped = super().stopService()
        if stopped is not None:
            await stopped
        self._threads.stop()
        self.library.close()

    def stopService(self) -> Deferred[None]:
        """Stop everything; what was fetched stays."""
        return Deferred.fromCoroutine(self._stop())

    def _open(self) -> None:
        durable.make_directory(self._config.state_dir, 0o700)
        self._open_library()
        self.settings.open()
        self._threads.start()
        serving = self._threads["serve"]
        machines = Machines(
            self.library,
            self._reactor,
            serving,
            self._damaged,
            self.checks.before_serving,
            tally=self._tally,
        )
        pages = {
            "healthz": Health(self._check_well, self._reactor),
            "readyz": Health(self._check_ready, self._reactor),
            "metrics": MetricsPage(self._metrics.text),
        }
        admin = Admin(
            self._config.name,
            self.library,
            self.follower,
            self.scrub,
            settings=self.settings,
            events=self.events,
            clock=self._reactor,
            now=self._now,
            on_disk=serving,
        )
        self.ports.open("images", MachinesSite(machines, self._reactor, pages))
        answers = Answers(admin.answer, self.events.keep)
        peers = Peers(shared(self._reactor))
        socket = AdminSocket(Place.RACK, answers.answer, self._reactor, peers=peers)
        self.ports.open("admin", socket)

    def _open_library(self) -> None:
        """What is there is served, too, if its disk is full or read-only; ``follower`` goes on."""
        try:
            self.syncing.name_put_aside(self.library.open())
        except (NoSpace, StorageError) as error:
            if not self.library.look():
                raise
            self.events.raise_problem(error)

    def _damaged(self, error: StorageError) -> None:
        """A machine asked for a file that is not what it was: say so, and get it again."""
        self.events.raise_problem(error)
        self.follower.trigger()

    async def _check_health(self) -> None:
        """The reactor runs this, and the disk answers."""
        await self._threads["serve"](partial(free_bytes, self._config.images_dir))

    async def _check_well(self) -> None:
        """As that, and the disk takes what is written: else no image ever becomes newer."""
        self._pulse.demand()
        await self._threads["serve"](partial(demand_writable, self._config.images_dir))
        if not self.library.is_open:
            raise StorageError("can only be read", object=str(self._config.images_dir))

    async def _check_ready(self) -> None:
        """There is a tree to serve; whether a region answers does not matter for that."""
        self._pulse.demand()
        await self._check_health()
        if self.library.current is None:
            raise Busy("there is no tree yet", object=str(self._config.images_dir))

    def _certificate_end(self) -> float | None:
        identity = self.uplink.identity
        return identity.certificate.not_valid_after_utc.timestamp() if identity else None


def check_neighbour() -> None:
    """``common`` is a common name: refuse one that is not ours.

    Each daemon has this by itself: a foreign ``common`` cannot be asked about itself.

    Raises:
        ConfigError: the imported ``common`` does not stand beside this package.
    """
    found = Path(common.__file__ or "").resolve().parent
    if found.parent != Path(__file__).resolve().parent.parent:
        raise ConfigError(
            f'another "common" is imported: {found}',
            code="foreign-common",
            remedy="install rackferry into a virtual environment of its own",
        )


def makeService(options: Options) -> IService:
    """The service tree (called by Twisted).

    Raises:
        SystemExit: the configuration cannot be used; one line says why.
    """
    try:
        check_neighbour()
        path = options["config"]
        config = load(RackdConfig, Path(path) if path else None)
    except RackferryError as error:
        raise SystemExit(f"rackd: {error.line()}") from error
    keep_steady(global_reactor)
    return Rack(global_reactor, config, Supervisor.from_environment(os.environ, os.getpid()))
