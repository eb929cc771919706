"""Puts a region together: ``twist[d] regiond --config PATH``. Alone knows the reactor.

The database is opened and every port bound before the daemon says READY; what is wrong
with either is one line on stderr and exit code 1.
"""

import atexit
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

import attrs
from twisted.application.service import IService, MultiService
from twisted.internet import reactor as global_reactor  # noqa: TID251  (the one place)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

import common
from common.answering import Answers
from common.asking import AdminSocket
from common.bulk_tls import BulkTLSFactory
from common.config import RegiondConfig, load
from common.errors import ConfigError, RackferryError, StorageError
from common.events import Severity
from common.fetching import Limits
from common.identity import utc_now
from common.identity_files import load_or_create_authority, server_identity
from common.listening import listen
from common.metrics import Tally
from common.metrics_page import MetricsPage
from common.peers import Peers
from common.pulse import Pulse
from common.regions import RegionEndpoint
from common.release import release
from common.systemd import Supervisor, SystemdService, endpoint_for
from common.tls import ServerTLS
from common.vocabulary import Place
from regiond.admin.answers import RegionAnswers
from regiond.admin.bundles import BundleAnswers, blob_door
from regiond.admin.custom_images import CustomImageAnswers
from regiond.admin.daemon import DaemonAnswers
from regiond.admin.images import ImageAnswers
from regiond.admin.racks import RackAnswers
from regiond.admin.settings import SettingAnswers
from regiond.admin.sources import SourceAnswers
from regiond.admin.uploads import UploadDoor
from regiond.admin.web import WebAnswers
from regiond.boot_sources import BootSources
from regiond.bundle_imports import BundleImports
from regiond.bundled_uploads import BundledUploads
from regiond.canaries import Canaries
from regiond.canary_watch import CanaryWatch
from regiond.chunk_cache import ChunkCache
from regiond.custom_images import CustomImages
from regiond.damage import note_damage
from regiond.deliveries import Program, Webhook
from regiond.exports import Exports
from regiond.fleet import RegionFleet
from regiond.fulfilment import SMALL_FOR_ONE, Transfers
from regiond.hooks import Deliver, Teller, Telling, forget_failure
from regiond.housekeeping import EventExpiry
from regiond.import_service import ImportService
from regiond.import_status import ImportStatus
from regiond.importer import Importer
from regiond.limits import Limits as RateLimits
from regiond.metrics import RegionMetrics, count_import
from regiond.metrics_table import IMPORT_BYTES_AGAIN
from regiond.mirror import Mirror
from regiond.own_stream import OwnStream
from regiond.pinning import Pinning
from regiond.racks.enrolment import Enrolment
from regiond.racks.images import ImagesSite
from regiond.racks.sessions import Sessions
from regiond.region import Region
from regiond.region_settings import RegionSettings
from regiond.routes import Routes
from regiond.schedule import Schedule
from regiond.selections import Selections
from regiond.settings_table import MOST_TRANSFERS, PARALLEL_TRANSFERS
from regiond.store import generations
from regiond.store.changes import Change
from regiond.store.database import Database
from regiond.store.sources import list_sources
from regiond.telling import Hook
from regiond.uploads import Uploads
from regiond.upstream import Upstream
from regiond.web.pages import Ask
from regiond.web.site import web_site
from regiond.web.wiring import Web, make_web
from regiond.web_sessions import WebSessions

_THREADS = {"hash": 2, "work": 2}
_RENEWAL_S = timedelta(days=1).total_seconds()
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
        reactor: everything's; its seconds are those since the epoch.
        config: what the file says.
        supervisor: systemd, or nobody.
        credentials_dir: systemd's CREDENTIALS_DIRECTORY, if it gave one.
    """

    def __init__(
        self,
        reactor: Any,
        config: RegiondConfig,
        supervisor: Supervisor,
        credentials_dir: Path | None,
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._config = config
        self._pools = {
            name: ThreadPool(0, most, name=f"regiond-{name}") for name, most in _THREADS.items()
        }
        self._ports: dict[str, IListeningPort] = {}
        self._unsubscribe: Callable[[], None] = lambda: None
        self._starting: Deferred[None] | None = None
        self._is_ready = False
        self.give_up = partial(_exit_failed, reactor)
        self.database = Database(config.database, reactor)
        self.settings = RegionSettings(self.database, reactor.seconds)
        self.limits = RateLimits(reactor)
        self._tally = Tally()
        self._pulse = Pulse(reactor)
        self._authority = load_or_create_authority(config.state_dir, utc_now(), credentials_dir)
        identity = self._server_identity()
        self._racks_tls = ServerTLS(identity, asks_certificate=True)
        self._enrol_tls = ServerTLS(identity, asks_certificate=False)
        self._renewal = LoopingCall(self._renew_certificate)
        self._renewal.clock = reactor
        self._routes = Routes(
            reactor,
            self._in_thread("work"),
            connect_timeout_s=Limits().connect_timeout_s,
            most_per_host=MOST_TRANSFERS * (1 + SMALL_FOR_ONE),
        )
        upstream = Upstream(
            self.database, self._routes, self._in_thread("work"), clock=reactor, now=reactor.seconds
        )
        transfers = Transfers(
            self._routes,
            self._in_thread("hash"),
            Limits(),
            reactor,
            reactor.seconds,
            SystemRandom().random,
            lambda: int(self.settings.values[PARALLEL_TRANSFERS]),
            self.limits.of_source,
            partial(self._tally.add, IMPORT_BYTES_AGAIN),
        )
        self.importer = Importer(
            self.database,
            upstream,
            transfers,
            holder=config.name,
            clock=reactor,
            now=reactor.seconds,
        )
        self.imports = ImportService(
            self.importer,
            lambda: Schedule.of(self.settings.values),
            reactor,
            partial(count_import, self._tally),
        )
        self.boot_sources = BootSources(self.database, upstream, reactor.seconds)
        self.selections = Selections(self.database, upstream, reactor.seconds)
        self.region = Region(self.database, self.importer, reactor.seconds)
        cache = ChunkCache(self.database.read_chunk)
        self.mirror = Mirror(self.database, cache, reactor.seconds)
        self.pinning = Pinning(self.database, reactor.seconds)
        self.exports = Exports(self.database, cache)
        self.uploads = Uploads(self.database, self._in_thread("hash"), reactor.seconds)
        self.own_stream = OwnStream(
            self.database,
            cache,
            config.state_dir,
            self._in_thread("work"),
            clock=reactor,
            now=reactor.seconds,
        )
        self.custom_images = CustomImages(
            self.database, upstream, self._in_thread("work"), reactor.seconds
        )
        self.bundles = BundleImports(
            self.database,
            self.importer,
            self.imports,
            BundledUploads(self.uploads, self.custom_images),
        )
        self.fleet = RegionFleet(
            self.database,
            cache,
            self._authority,
            config.name,
            clock=reactor,
            now=reactor.seconds,
            random_bytes=os.urandom,
            is_importing=lambda: self.imports.is_importing,
        )
        self.web_sessions = WebSessions(self.database, reactor.seconds, os.urandom)
        self.metrics = RegionMetrics(
            self.database,
            self.boot_sources,
            self.fleet,
            self.imports,
            cache=cache,
            tally=self._tally,
            pulse=self._pulse,
            certificates=self._certificate_ends,
        )
        self.canaries = Canaries(self.database, self.fleet, reactor.seconds)
        self._canary_watch = CanaryWatch(self.database, reactor, reactor.seconds)
        self.sessions = Sessions(
            self.fleet,
            lambda: [self._endpoint()],
            config.name,
            release(),
            reactor,
            throttle=self.limits.racks,
        )
        self._tellers = self._make_tellers()
        self._expiry = EventExpiry(self.database, reactor, reactor.seconds)
        self._systemd = SystemdService(reactor, supervisor, self._check_alive)

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
        self._renewal.start(_RENEWAL_S, now=False)
        self._unsubscribe = self.database.subscribe(self._changed)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._not_started)

    async def _start(self) -> None:
        """What needs the reactor: the first source, then imports, then READY."""
        try:
            await self._prepare()
        except StorageError as error:
            if error.code != "database-damaged":
                raise
            _log.error("what verifies is served all the same: {why}", why=error.line())
        self.imports.setServiceParent(self)
        self._expiry.setServiceParent(self)
        self._canary_watch.setServiceParent(self)
        self.own_stream.setServiceParent(self)
        for teller in self._tellers.values():
            teller.setServiceParent(self)
        self._pulse.setServiceParent(self)
        self._systemd.setServiceParent(self)
        self._is_ready = True
        self._systemd.ready(f"region {self._config.name}")

    async def _prepare(self) -> None:
        await note_damage(self.database, self._reactor.seconds())
        await self.settings.reload()
        self.limits.heed_settings(self.settings.values)
        await self._heed_sources()
        for hook in Hook:
            if hook not in self._tellers:
                await forget_failure(self.database, hook, self._reactor.seconds())
        if self._config.default_boot_source:
            await self.boot_sources.make_default()

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
        if self._renewal.running:
            self._renewal.stop()
        if self._starting is not None:
            self._starting.cancel()
        for port in self._ports.values():
            stopping = port.stopListening()
            if stopping is not None:
                await stopping
        await self.sessions.stop()
        stopped = super().stopService()
        if stopped is not None:
            await stopped
        await self._routes.close()
        await self.uploads.stop()
        await self.database.close()
        for pool in self._pools.values():
            pool.stop()

    def _open(self) -> None:
        self.database.open_now()
        for pool in self._pools.values():
            pool.start()
        answers = RegionAnswers(
            SourceAnswers(self.boot_sources, self.selections),
            ImageAnswers(self.region, self.pinning, self.imports, self.importer, self._reactor),
            BundleAnswers(self.exports, self.bundles, self.importer, self._reactor),
            RackAnswers(self.fleet, self.canaries, self.sessions, self._identity),
            CustomImageAnswers(self.custom_images),
            SettingAnswers(self.settings),
            DaemonAnswers(
                self.region,
                self.boot_sources,
                self.fleet,
                self.canaries,
                ImportStatus(self.database, self.imports, self.importer),
                identity=self._identity,
            ),
            WebAnswers(self.web_sessions, self._web_address),
        )
        keeping = Answers(answers.answer, self.region.note)
        images = ImagesSite(self.fleet, self._reactor, self.limits.racks)
        self._listen("enrol", Enrolment(self.fleet, self._reactor), self._enrol_tls)
        self._listen("rpc", self.sessions, self._racks_tls)
        self._listen("images", images, self._racks_tls)
        trees = {
            "mirror": self.mirror.find,
            "images-stream": self.own_stream.find,
            "keyring.gpg": self.own_stream.keyring,
        }
        web = self._make_web(lambda question: keeping.answer(question, lambda _: None))
        children = {**web.children, "metrics": MetricsPage(self.metrics.text)}
        self._listen(
            "web",
            web_site(self._check_alive, self._check_ready, trees, self._reactor, children),
        )
        self._listen(
            "admin",
            AdminSocket(
                Place.REGION,
                keeping.answer,
                self._reactor,
                lambda: {
                    **UploadDoor(self.uploads).table,
                    **blob_door(self.exports, self._reactor),
                },
                peers=self._peers(),
            ),
            group=self._config.admin_group,
        )

    def _listen(
        self, name: str, factory: IProtocolFactory, tls: ServerTLS | None = None, group: str = ""
    ) -> None:
        description = getattr(self._config.listen, name)
        endpoint = endpoint_for(self._reactor, name, description)
        if tls is not None:
            factory = BulkTLSFactory(tls, False, factory, self._reactor)
        outcome: list[Any] = []
        opening = Deferred.fromCoroutine(
            listen(endpoint, factory, name=name, description=description, group=group)
        )
        # TCP and Unix ports are open, or not, when the call returns.
        opening.addCallbacks(partial(self._ports.__setitem__, name), outcome.append)
        for failure in outcome:
            failure.raiseException()

    def _make_web(self, ask: Ask) -> Web:
        web = make_web(
            self._config,
            ask,
            boot_sources=self.boot_sources,
            selections=self.selections,
            fleet=self.fleet,
            sessions=self.web_sessions,
            pulse=lambda: (
                self.imports.is_importing,
                self.imports.is_parked,
                attrs.astuple(self.importer.progress),
                self.fleet.stirs,
            ),
            clock=self._reactor,
        )
        self.live = web.live
        self.live.setServiceParent(self)
        return web

    # What the parts ask of the whole

    def _in_thread(self, name: str) -> Any:
        return partial(deferToThreadPool, self._reactor, self._pools[name])

    def _peers(self) -> Peers:
        # Not one of our own pools: GnuPG may be at work there for long.
        return Peers(partial(deferToThreadPool, self._reactor, self._reactor.getThreadPool()))

    def _make_tellers(self) -> dict[Hook, Teller]:
        """Those who tell the site of events, if it wants that."""
        hooks, reactor = self._config.hooks, self._reactor
        deliver: dict[Hook, Deliver] = {}
        if hooks.program:
            deliver[Hook.PROGRAM] = Program(reactor, hooks.program).deliver
        if hooks.webhook:
            agent = Agent(reactor, BrowserLikePolicyForHTTPS())
            webhook = Webhook(agent, hooks.webhook, hooks.webhook_token_file, reactor)
            deliver[Hook.WEBHOOK] = webhook.deliver
        region = Telling(
            self.database, self._config.name, reactor, reactor.seconds, SystemRandom().random
        )
        level = Severity(hooks.level)
        return {hook: Teller(hook, how, level, region) for hook, how in deliver.items()}

    def _server_identity(self) -> Any:
        return server_identity(
            self._authority, self._config.state_dir, self._config.advertise, utc_now()
        )

    def _certificate_ends(self) -> dict[str, float]:
        return {
            "ca": self._authority.certificate.not_valid_after_utc.timestamp(),
            "region": self._racks_tls.identity.certificate.not_valid_after_utc.timestamp(),
        }

    def _renew_certificate(self) -> None:
        try:
            identity = self._server_identity()
        except RackferryError as error:
            _log.error("the certificate was not renewed: {reason}", reason=error.line())
            return
        self._racks_tls.use(identity)
        self._enrol_tls.use(identity)

    def _changed(self, changes: tuple[Change, ...]) -> None:
        self.live.note_change()
        if any(change.kind == "generation" for change in changes):
            self.own_stream.look()
            telling = Deferred.fromCoroutine(self._announce())
            telling.addErrback(lambda failure: _log.failure("racks were not told", failure))
        if any(change.kind == "setting" for change in changes):
            heeding = Deferred.fromCoroutine(self._heed_settings())
            heeding.addErrback(lambda failure: _log.failure("settings were not read", failure))

        if any(change.kind == "source" for change in changes):
            limiting = Deferred.fromCoroutine(self._heed_sources())
            limiting.addErrback(lambda failure: _log.failure("sources were not read", failure))

    async def _heed_sources(self) -> None:
        self.limits.heed_sources(await self.database.read(list_sources))

    async def _heed_settings(self) -> None:
        await self.settings.reload()
        self.limits.heed_settings(self.settings.values)
        self.imports.reschedule()
        self.own_stream.look()

    async def _announce(self) -> None:
        generation, views = await self.database.read(generations.current_views)
        self.sessions.announce(generation, lambda rack: views.of(rack.name))

    def _endpoint(self) -> RegionEndpoint:
        return RegionEndpoint(
            self._config.name,
            tuple(self._config.advertise),
            self._bound_port("rpc"),
            self._bound_port("images"),
        )

    def _bound_port(self, name: str) -> int:
        address: Any = self._ports[name].getHost()
        return int(address.port)

    def _web_address(self) -> str:
        host = self._config.advertise[0] if self._config.advertise else self._config.name
        host = f"[{host}]" if ":" in host else host
        return self._config.web_url or f"http://{host}:{self._bound_port('web')}"

    def _identity(self) -> dict[str, Any]:
        return {
            "name": self._config.name,
            "release": release(),
            "hosts": list(self._config.advertise),
            "rpc_port": self._bound_port("rpc"),
            "enrol_port": self._bound_port("enrol"),
            "images_port": self._bound_port("images"),
            "web_port": self._bound_port("web"),
        }

    async def _check_alive(self) -> None:
        """The reactor turns, the database answers, and its disk takes what is written."""
        self._pulse.demand()
        await self.database.read(generations.current_generation)
        await self.database.demand_writable()

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
        return RegionDaemon(
            global_reactor,
            load(RegiondConfig, Path(path) if path else None),
            Supervisor.from_environment(os.environ, os.getpid()),
            Path(credentials) if credentials else None,
        )
    except RackferryError as error:
        raise SystemExit(f"regiond: {error.line()}") from error
