"""What follows from a change in the database, whoever made it: this region or another one."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from regiond.chunk_cache import ChunkCache
from regiond.import_service import ImportService
from regiond.limits import Limits
from regiond.own_stream import OwnStream
from regiond.racks.sessions import Sessions
from regiond.region_settings import RegionSettings
from regiond.routes import Routes
from regiond.store import generations, sources
from regiond.store.changes import Change
from regiond.store.database import Database


class Heeding:
    """Lets every part of a region go by what holds now.

    Args:
        database: whose changes they are.
        settings, limits, routes: go by the database.
        imports: whose schedule is a setting.
        own_stream: made anew for each generation, and where it went bad.
        cache: forgets chunks that went bad.
        sessions: of the racks, who are told of each generation.
        note_change: called at any change, for pages that are open.
    """

    log = Logger()

    def __init__(
        self,
        database: Database,
        *,
        settings: RegionSettings,
        limits: Limits,
        routes: Routes,
        imports: ImportService,
        own_stream: OwnStream,
        cache: ChunkCache,
        sessions: Sessions,
        note_change: Callable[[], None],
    ) -> None:
        self._database = database
        self._settings = settings
        self._limits = limits
        self._routes = routes
        self._imports = imports
        self._own_stream = own_stream
        self._cache = cache
        self._sessions = sessions
        self._note_change = note_change

    async def read_settings(self) -> None:
        """Go by the settings of the database."""
        await self._settings.reload()
        self._limits.heed_settings(self._settings.values)

    async def read_sources(self) -> None:
        """Go by the limits of its sources, and by the proxies that they have."""
        found = await self._database.read(sources.list_sources)
        self._limits.heed_sources(found)
        self._routes.heed_sources(found)

    def changed(self, changes: tuple[Change, ...]) -> None:
        """For ``Database.subscribe``."""
        self._note_change()
        kinds = {change.kind for change in changes}
        for change in changes:
            if change.kind == "blob":
                self._cache.forget(int(change.object))
        if kinds & {"generation", "blob"}:
            self._own_stream.look()
        if "generation" in kinds:
            self._start(self._announce(), "racks were not told")
        if "setting" in kinds:
            self._start(self._heed_settings(), "settings were not read")
        if "source" in kinds:
            self._start(self.read_sources(), "sources were not read")

    def _start(self, work: Coroutine[Deferred[Any], Any, None], otherwise: str) -> None:
        started = Deferred.fromCoroutine(work)
        started.addErrback(lambda failure: self.log.failure(otherwise, failure))

    async def _heed_settings(self) -> None:
        await self.read_settings()
        self._imports.reschedule()
        self._own_stream.look()

    async def _announce(self) -> None:
        generation, views = await self._database.read(generations.current_views)
        self._sessions.announce(generation, lambda rack: views.of(rack.name))
