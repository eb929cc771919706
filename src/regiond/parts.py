"""What a region is made of, floor by floor; nothing runs, and no port is open yet.

The ground is what every part stands on; importing fills the database; the use-cases are what
can be asked of a region. ``regiond.doors`` is the floor above, ``regiond.tap`` the whole.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

from common.config import RegiondConfig
from common.events import Severity
from common.fetching import Limits as Patience
from common.metrics import Tally
from common.pools import Pools
from common.pulse import Pulse
from regiond.boot_sources import BootSources
from regiond.bundle_imports import BundleImports
from regiond.bundled_uploads import BundledUploads
from regiond.canaries import Canaries
from regiond.chunk_cache import ChunkCache
from regiond.custom_images import CustomImages
from regiond.deliveries import Program, Webhook
from regiond.exports import Exports
from regiond.fleet import RegionFleet
from regiond.fulfilment import SMALL_FOR_ONE, Transfers
from regiond.hooks import Deliver, Teller, Telling
from regiond.import_service import ImportService
from regiond.import_status import ImportStatus
from regiond.importer import Importer
from regiond.limits import Limits
from regiond.metrics import RegionMetrics, count_import
from regiond.metrics_table import IMPORT_BYTES_AGAIN
from regiond.mirror import Mirror
from regiond.own_certificate import OwnCertificate
from regiond.own_stream import OwnStream
from regiond.pinning import Pinning
from regiond.region import Region
from regiond.region_settings import RegionSettings
from regiond.routes import Routes
from regiond.schedule import Schedule
from regiond.scrub import Scrub
from regiond.selections import Selections
from regiond.settings_table import MOST_TRANSFERS, PARALLEL_TRANSFERS
from regiond.store.database import Database
from regiond.telling import Hook
from regiond.uploads import Uploads
from regiond.upstream import Upstream
from regiond.web_sessions import WebSessions

_THREADS = {"hash": 2, "work": 2}


class Ground:
    """What every part of a region stands on.

    Args:
        reactor: everything's; its timers are steady.
        config: what the file says.
        credentials_dir: systemd's CREDENTIALS_DIRECTORY, if it gave one.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        reactor: Any,
        config: RegiondConfig,
        credentials_dir: Path | None,
        now: Callable[[], float],
    ) -> None:
        self.reactor = reactor
        self.now = now
        self.config = config
        self.random = SystemRandom().random
        self.pools = Pools(reactor, "regiond", _THREADS)
        self.database = Database(config.database, reactor)
        self.cache = ChunkCache(self.database.read_chunk)
        self.settings = RegionSettings(self.database, self.now)
        self.limits = Limits(reactor, now)
        self.tally = Tally()
        self.pulse = Pulse(reactor)
        self.certificate = OwnCertificate(
            config.state_dir, config.advertise, credentials_dir, reactor
        )


class Importing:
    """What asks sources, and fills the database."""

    def __init__(self, ground: Ground) -> None:
        work, clock = ground.pools["work"], ground.reactor
        self.routes = Routes(
            clock,
            work,
            connect_timeout_s=Patience().connect_timeout_s,
            most_per_host=MOST_TRANSFERS * (1 + SMALL_FOR_ONE),
        )
        self.upstream = Upstream(ground.database, self.routes, work, clock=clock, now=ground.now)
        transfers = Transfers(
            self.routes,
            ground.pools["hash"],
            Patience(),
            clock,
            ground.now,
            ground.random,
            lambda: int(ground.settings.values[PARALLEL_TRANSFERS]),
            ground.limits.of_source,
            partial(ground.tally.add, IMPORT_BYTES_AGAIN),
        )
        self.importer = Importer(
            ground.database,
            self.upstream,
            transfers,
            holder=ground.config.name,
            clock=clock,
            now=ground.now,
        )
        self.imports = ImportService(
            self.importer,
            lambda: Schedule.of(ground.settings.values),
            clock,
            partial(count_import, ground.tally),
            now=ground.now,
        )
        self.scrub = Scrub(
            ground.database,
            ground.pools["hash"],
            holder=ground.config.name,
            clock=clock,
            now=ground.now,
            random=ground.random,
            limit_bytes_s=ground.config.scrub_limit_bytes_s,
            repair=self.imports.repair,
        )


class UseCases:
    """What can be asked of a region, of its images and of its racks."""

    def __init__(self, ground: Ground, importing: Importing) -> None:
        database, now, cache = ground.database, ground.now, ground.cache
        work, config, clock = ground.pools["work"], ground.config, ground.reactor
        upstream, importer, imports = importing.upstream, importing.importer, importing.imports
        self.boot_sources = BootSources(database, upstream, now)
        self.selections = Selections(database, upstream, now)
        self.region = Region(database, importer, now)
        self.mirror = Mirror(database, cache, now)
        self.pinning = Pinning(database, now)
        self.exports = Exports(database, cache)
        self.uploads = Uploads(
            database, ground.pools["hash"], now, ground.config.name, ground.reactor
        )
        self.own_stream = OwnStream(database, cache, config.state_dir, work, clock=clock, now=now)
        self.custom_images = CustomImages(database, upstream, work, now)
        self.bundles = BundleImports(
            database, importer, imports, BundledUploads(self.uploads, self.custom_images)
        )
        self.fleet = RegionFleet(
            database,
            cache,
            ground.certificate.authority,
            config.name,
            clock=clock,
            now=now,
            random_bytes=os.urandom,
            is_importing=lambda: imports.is_importing,
        )
        self.canaries = Canaries(database, self.fleet, now)
        self.import_status = ImportStatus(database, imports, importer)
        self.web_sessions = WebSessions(database, now, os.urandom)
        self.metrics = RegionMetrics(
            database,
            self.boot_sources,
            self.fleet,
            imports,
            importing.scrub,
            cache=cache,
            tally=ground.tally,
            pulse=ground.pulse,
            certificates=ground.certificate.ends,
        )


def tellers(ground: Ground) -> dict[Hook, Teller]:
    """Those who tell the site of events, if it wants that."""
    hooks, reactor = ground.config.hooks, ground.reactor
    deliver: dict[Hook, Deliver] = {}
    if hooks.program:
        deliver[Hook.PROGRAM] = Program(reactor, hooks.program).deliver
    if hooks.webhook:
        agent = Agent(reactor, BrowserLikePolicyForHTTPS())
        webhook = Webhook(agent, hooks.webhook, hooks.webhook_token_file, reactor)
        deliver[Hook.WEBHOOK] = webhook.deliver
    region = Telling(ground.database, ground.config.name, reactor, ground.now, ground.random)
    level = Severity(hooks.level)
    return {hook: Teller(hook, how, level, region) for hook, how in deliver.items()}
