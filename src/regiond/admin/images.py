"""Answers about images and imports."""

from functools import partial
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime

from common.canonical import plain
from common.errors import RackferryError, TransferError, WrongUsage
from common.meanwhile import meanwhile
from common.vocabulary import Question
from regiond.admin.asked import Tell, number
from regiond.import_service import ImportResult, ImportService
from regiond.importer import Importer
from regiond.pinning import Pinning
from regiond.region import Region

PROGRESS_INTERVAL_S = 0.5


class ImageAnswers:
    """What is answered about images."""

    def __init__(
        self,
        region: Region,
        pinning: Pinning,
        imports: ImportService,
        importer: Importer,
        clock: IReactorTime,
    ) -> None:
        self._region = region
        self._pinning = pinning
        self._imports = imports
        self._importer = importer
        self._clock = clock

    async def boot_resources_read(self, question: Question, _: Tell) -> Any:
        wanted = str(question.parameters.get("type", "all"))
        if wanted not in {"synced", "uploaded", "all"}:
            raise WrongUsage("type is synced, uploaded or all", object=wanted, code="wrong-value")
        return await self._region.list_images(wanted)

    async def boot_resources_plan(self, _: Question, __: Tell) -> Any:
        return await self._region.plan()

    async def boot_resources_import(self, question: Question, tell: Tell) -> Any:
        running = self._imports.request("asked for by an admin")
        if "wait" not in question.flags:
            running.addErrback(_already_told)
            return {"outcome": "started", "published": [], "fetched_bytes": 0}

        say = partial(tell_of_import, self._importer, self._region, tell)
        result = await meanwhile(running, say, PROGRESS_INTERVAL_S, self._clock)
        _raise_if_failed(result)
        return import_row(result)

    async def boot_resources_stop_import(self, _: Question, __: Tell) -> Any:
        was_running = self._imports.is_importing or self._imports.is_parked
        await self._imports.stop_import()
        return {"stopped": was_running}

    async def boot_resources_is_importing(self, _: Question, __: Tell) -> Any:
        return self._imports.is_importing

    async def boot_resource_read(self, question: Question, _: Tell) -> Any:
        return await self._region.image(number(question, 0))

    async def boot_resource_delete(self, question: Question, _: Tell) -> Any:
        return await self._region.delete_image(number(question, 0))

    async def boot_resource_pin(self, question: Question, _: Tell) -> Any:
        return await self._pinning.pin(number(question, 0))

    async def boot_resource_unpin(self, question: Question, _: Tell) -> Any:
        return await self._pinning.unpin(number(question, 0))

    async def boot_resource_rollback(self, question: Question, _: Tell) -> Any:
        return await self._pinning.roll_back(number(question, 0))


async def tell_of_import(importer: Importer, region: Region, tell: Tell) -> None:
    """Say how far an import is: the whole, and each image that moves."""
    progress = importer.progress.row()
    parts = await region.importing()
    tell(progress | {"parts": parts, "waiting_for": _missing(progress)})


def _missing(progress: dict[str, Any]) -> str:
    """What is still waited for, in case nobody waits any longer."""
    published, total = progress["published"], progress["total_images"]
    return f"{progress['phase']}, {published} of {total} images published"


def _already_told(failure: Any) -> None:
    """Nobody waits for this import; the import service has logged how it ended."""
    failure.trap(RackferryError)


def import_row(result: ImportResult) -> dict[str, Any]:
    row: dict[str, Any] = plain(attrs.evolve(result, failed={}))
    return row | {"failed": {name: error.to_json() for name, error in result.failed.items()}}


def _raise_if_failed(result: ImportResult) -> None:
    """One failure is told as what it is, several as a list."""
    if len(result.failed) == 1:
        raise next(iter(result.failed.values()))
    if result.failed:
        reasons = "; ".join(error.line() for error in result.failed.values())
        raise TransferError(
            f"not everything could be imported: {reasons}",
            object="import",
            code="import-incomplete",
            remedy="what could be had is published; events read says what to do about the rest",
        )
