"""What a region measures: gathered from those who know it, when somebody asks."""

from collections.abc import Callable, Mapping
from typing import Any

from common.events import Severity
from common.metrics import Samples, Tally, exposition, of_daemon
from common.pulse import Pulse
from common.release import release
from regiond import metrics_table as table
from regiond.boot_sources import BootSources
from regiond.chunk_cache import ChunkCache
from regiond.fleet import RegionFleet
from regiond.import_service import ImportResult, ImportService
from regiond.schedule import Past
from regiond.scrub import Scrub
from regiond.store import blobs, events, generations, image_sums, scrubs
from regiond.store.database import Database


class RegionMetrics:
    """The use-case behind ``/metrics``.

    Args:
        database: counts what it holds.
        boot_sources: when each was read.
        fleet: how each rack is.
        imports: how the last ended.
        scrub: what it found.
        cache: of chunks.
        tally: what was counted since the start.
        pulse: of the reactor.
        certificates: when each expires, in seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        boot_sources: BootSources,
        fleet: RegionFleet,
        imports: ImportService,
        scrub: Scrub,
        *,
        cache: ChunkCache,
        tally: Tally,
        pulse: Pulse,
        certificates: Callable[[], Mapping[str, float]],
    ) -> None:
        self._database = database
        self._boot_sources = boot_sources
        self._fleet = fleet
        self._imports = imports
        self._scrub = scrub
        self._cache = cache
        self._tally = tally
        self._pulse = pulse
        self._certificates = certificates

    async def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        groups = (
            self._daemon,
            self._importing,
            self._kept,
            self._sources,
            self._racks,
            self._scrubbed,
        )
        found = [await gather() for gather in groups]
        return exposition(table.METRICS, self._tally.samples, *found)

    async def _daemon(self) -> Mapping[str, Samples]:
        problems = await self._database.read(events.list_events, Severity.WARNING)
        return of_daemon(
            release(),
            [each.event.severity for each in problems],
            self._certificates(),
            self._pulse.lag_s,
        )

    async def _importing(self) -> Mapping[str, Samples]:
        past = self._imports.past
        return {
            table.IMPORT_RUNNING: {(): self._imports.is_importing},
            table.LAST_IMPORT_SECONDS: {(): None if past is None else past.ended_s - past.began_s},
        }

    async def _kept(self) -> Mapping[str, Samples]:
        read = self._database.read
        number, _ = await read(generations.current_generation)
        return {
            table.GENERATION: {(): number},
            table.IMAGES: _by_label(await read(image_sums.count_by_state)),
            table.BLOB_BYTES: _by_label(await read(blobs.held_by_state)),
            table.DATABASE_BYTES: {(): await self._database.size_bytes()},
            table.FREE_BYTES: {(): await self._database.free_bytes()},
            table.CACHE_HITS: {(): self._cache.hits},
            table.CACHE_MISSES: {(): self._cache.loads},
        }

    async def _sources(self) -> Mapping[str, Samples]:
        rows = await self._boot_sources.list_all()
        return {
            table.SOURCE_SUCCESS: {(str(row["id"]),): row["last_success"] for row in rows},
            table.SOURCE_LAGGING: {
                (str(row["id"]),): row["lagging_since"] is not None for row in rows
            },
        }

    async def _racks(self) -> Mapping[str, Samples]:
        rows = {row["name"]: row for row in await self._fleet.list_racks()}
        running = {name: row["progress"] for name, row in rows.items() if row["progress"]}
        return {
            table.RACK_STATUS: {(name, row["status"]): 1 for name, row in rows.items()},
            table.RACK_BEHIND: _of_each(rows, "lag_generations"),
            table.RACK_LAG_SINCE: _of_each(rows, "lag_since"),
            table.RACK_SKEW: _of_each(rows, "clock_skew_s"),
            table.RACK_RATE: _of_each(running, "rate_bytes_s"),
            table.RACK_SYNCED: _of_each(rows, "last_sync"),
            table.RACK_BYTES: _by_label(self._fleet.sent_bytes()),
        }

    async def _scrubbed(self) -> Mapping[str, Samples]:
        scrub = await self._scrub.status()
        lost = await self._database.read(scrubs.lost_files)
        return {
            table.SCRUB_RUNNING: {(): scrub["state"] == "running"},
            table.SCRUB_CHECKED: {(): scrub["checked_bytes"]},
            table.SCRUB_DAMAGED: {(): scrub["damaged"]},
            table.SCRUB_END: {(): scrub["ended_at"]},
            table.DAMAGED_BLOBS: {(): len({each.sha256 for each in lost})},
        }


def _of_each(rows: Mapping[str, Mapping[str, Any]], key: str) -> Samples:
    return {(name,): row[key] for name, row in rows.items()}


def _by_label(counts: Mapping[str, int]) -> Samples:
    return {(label,): count for label, count in counts.items()}


def count_import(tally: Tally, ended: ImportResult, past: Past) -> None:
    """An import ended (for ``ImportService``)."""
    tally.add(table.IMPORTS, 1, ended.outcome)
    tally.add(table.IMPORT_SECONDS, past.ended_s - past.began_s)
    tally.add(table.IMPORT_BYTES, ended.fetched_bytes)
    for error in ended.failed.values():
        tally.add(table.IMPORT_FAILURES, 1, error.code)
