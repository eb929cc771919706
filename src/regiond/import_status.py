"""What can be asked about imports as a whole: whether one runs, how the last one ended, the next."""

from typing import Any

import attrs

from common.canonical import plain
from regiond.import_service import ImportResult, ImportService
from regiond.importer import Importer
from regiond.store import imports
from regiond.store.database import Database
from regiond.store.imports import ImportRun

_LOOKED_AT = 5  # the newest may not have ended


class ImportStatus:
    """The use-case behind ``status``.

    Args:
        database: remembers imports over restarts.
        service: runs them.
        importer: knows how far one is, and what it has no room for.
    """

    def __init__(self, database: Database, service: ImportService, importer: Importer) -> None:
        self._database = database
        self._service = service
        self._importer = importer

    async def row(self) -> dict[str, Any]:
        """``state`` is running, parked (it waits for ``missing_bytes``) or idle."""
        is_running, is_parked = self._service.is_importing, self._service.is_parked
        room = await self._importer.room.now() if is_parked else None
        return {
            "state": "running" if is_running else "parked" if is_parked else "idle",
            "running": is_running,
            "progress": self._importer.progress.row() if is_running else None,
            "missing_bytes": room and room.missing_bytes,
            "next_at": self._service.next_at,
            "last": await self._last(),
        }

    async def _last(self) -> dict[str, Any] | None:
        """The last one of this process, else the last one that the database remembers."""
        last = self._service.last
        if last is not None:
            return _known(last, self._service.ended_at)
        kept = await self._database.read(imports.last_imports, _LOOKED_AT)
        return next((_remembered(run) for run in kept if run.ended_at is not None), None)


def _known(last: ImportResult, ended_at: float) -> dict[str, Any]:
    row: dict[str, Any] = plain(attrs.evolve(last, failed={}))
    return row | {
        "published": len(last.published),
        "retired": len(last.retired),
        "failed": {name: error.to_json() for name, error in last.failed.items()},
        "reason": "; ".join(error.line() for error in last.failed.values()),
        "ended_at": ended_at,
    }


def _remembered(run: ImportRun) -> dict[str, Any]:
    return {
        "outcome": run.outcome,
        "published": run.published,
        "fetched_bytes": run.fetched_bytes,
        "work_s": (run.ended_at or run.started_at) - run.started_at,
        "reason": run.reason,
        "failed": {},
        "ended_at": run.ended_at,
    }
