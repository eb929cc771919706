"""Puts a region together: ``twist[d] regiond --config PATH``. Alone knows the reactor.

The database is opened and every port bound before the daemon says READY; what is wrong
with either is one line on stderr and exit code 1.
"""

import atexit
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet import reactor as global_reactor  # noqa: TID251  (the one place)
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

import common
from common.config import RegiondConfig, load
from common.errors import ConfigError, RackferryError, StorageError
from common.listening import Ports
from common.release import release
from common.steady import keep_steady, time_of_day
from common.systemd import Supervisor, SystemdService
from regiond.canary_watch import CanaryWatch
from regiond.damage import note_damage
from regiond.doors import Doors
from regiond.heeding import Heeding
from regiond.hooks import forget_failure
from regiond.housekeeping import EventExpiry
from regiond.parts import Ground, Importing, UseCases, tellers
from regiond.silence import SilenceWatch
from regiond.store import generations
from regiond.telling import Hook
from regiond.whereabouts import Whereabouts

_log = Logger()


class Options(usage.Options):
    """The command line."""

    optParameters = [["config", "c", None, "configuration file [/etc/rackferry/regiond.toml]"]]

    def opt_version(self) -> None:
        """Print the release and exit."""
        print(f"regiond {release()}")  # noqa: T201  (the answer to --version)
        raise SystemExit(0)


class RegionDaemon(MultiService):
    """The whole daemon.

    Args:
        reactor: everything's; its timers are steady.
        config: what the file says.
        supervisor: systemd, or nobody.
        credentials_dir: systemd's CREDENTIALS_DIRECTORY, if it gave one.
        now: seconds since the epoch.

    Attributes:
        ground, importing, cases, doors: its floors, from the database up.
        ports: those that are open.
    """

    def __init__(
        self,
        reactor: Any,
        config: RegiondConfig,
        supervisor: Supervisor,
        credentials_dir: Path | None,
        now: Callable[[], float] = time_of_day,
    ) -> None:
        super().__init__()
        self._now = now
        self._config = config
        self._unsubscribe: Callable[[], None] = lambda: None
        self._starting: Deferred[None] | None = None
        self._is_ready = False
        self.give_up = partial(_exit_failed, reactor)
        self.ports = Ports(reactor, config.listen)
        self.ground = Ground(reactor, config, credentials_dir, now)
        self.importing = Importing(self.ground)
        self.cases = UseCases(self.ground, self.importing)
        self.doors = Doors(
            self.ground,
            self.importing,
            self.cases,
            Whereabouts(config, self.ports),
            alive=self._check_alive,
            ready=self._check_ready,
        )
        self.database = self.ground.database
        self._heeding = Heeding(
            self.database,
            settings=self.ground.settings,
            limits=self.ground.limits,
            routes=self.importing.routes,
            imports=self.importing.imports,
            own_stream=self.cases.own_stream,
            cache=self.ground.cache,
            sessions=self.doors.sessions,
            note_change=self.doors.live.note_change,
        )
        self._tellers = tellers(self.ground)
        self._systemd = SystemdService(reactor, supervisor, self._check_alive)
        # The first run while it starts; the others begin when it has, in this order.
        for service in (self.ground.certificate, self.doors.live):
            service.setServiceParent(self)
        self._at_work = (
            self.importing.imports,
            EventExpiry(self.database, reactor, self._now),
            CanaryWatch(self.database, reactor, self._now),
            SilenceWatch(
                self.database, config.name, self.cases.fleet.silence_s, reactor, self._now
            ),
            self.importing.scrub,
            self.cases.own_stream,
            *self._tellers.values(),
            self.ground.pulse,
            self._systemd,
        )

    def startService(self) -> None:
        """Open the database and the ports, then start everything.

        Raises:
            SystemExit: with the one line that says why not.
        """
        try:
            self._open()
        except RackferryError as error:
            raise SystemExit(f"regiond: {error.line()}") from error
        super().startService()
        self._unsubscribe = self.database.subscribe(self._heeding.changed)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._not_started)

    def _open(self) -> None:
        self.database.open_now()
        self.ground.pools.start()
        for name, factory in self.doors.factories.items():
            group = self._config.admin_group if name == "admin" else ""
            self.ports.open(name, factory, group)

    async def _start(self) -> None:
        """What needs the reactor: the first source, then imports, then READY."""
        for step in self._steps():
            try:
                await step()
            except StorageError as error:
                if error.code != "database-damaged":
                    raise
                _log.error("what verifies is served all the same: {why}", why=error.line())
        for service in self._at_work:
            service.setServiceParent(self)
        self._is_ready = True
        self._systemd.ready(f"region {self._config.name}")

    def _steps(self) -> Iterator[Callable[[], Awaitable[None]]]:
        """Each by itself: what one cannot read of a damaged database, the next may not need."""
        yield lambda: note_damage(self.database, self._now())
        yield self._heeding.read_settings
        yield self._heeding.read_sources
        for hook in Hook:
            if hook not in self._tellers:
                yield partial(forget_failure, self.database, hook, self._now())
        if self._config.default_boot_source:
            yield self.cases.boot_sources.make_default

    def _not_started(self, failure: Failure) -> None:
        """Alive and never ready would be no use to anybody."""
        if failure.check(CancelledError):
            return
        error = failure.value
        if isinstance(error, RackferryError):
            line = error.line()
        else:
            _log.failure("could not start", failure)
            line = f"could not start: {type(error).__name__}, see the log"
        self.give_up(f"regiond: {line}")

    def stopService(self) -> Deferred[None]:
        """Stop everything; what was fetched stays."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._is_ready = False
        self._unsubscribe()
        if self._starting is not None:
            self._starting.cancel()
        await self.ports.close()
        await self.doors.sessions.stop()
        stopped = super().stopService()
        if stopped is not None:
            await stopped
        await self.importing.routes.close()
        await self.cases.uploads.stop()
        await self.database.close()
        self.ground.pools.stop()

    async def _check_alive(self) -> None:
        """The reactor turns, the database answers, and its disk takes what is written."""
        self.ground.pulse.demand()
        await self.database.demand_writable()
        await self.database.read(generations.current_generation)

    async def _check_ready(self) -> None:
        if not self._is_ready:
            raise ConfigError("it is starting or stopping")
        await self._check_alive()


def _exit_failed(reactor: Any, line: str) -> None:
    """Stop everything, and end with that line and exit code 1; the reactor knows no code."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
    atexit.register(os._exit, 1)
    reactor.stop()


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
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        check_neighbour()
        path = options["config"]
        config = load(RegiondConfig, Path(path) if path else None)
        keep_steady(global_reactor)
        return RegionDaemon(
            global_reactor,
            config,
            Supervisor.from_environment(os.environ, os.getpid()),
            Path(credentials) if credentials else None,
        )
    except RackferryError as error:
        raise SystemExit(f"regiond: {error.line()}") from error
