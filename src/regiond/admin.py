"""The admin socket's door: one method per word of ``common.vocabulary``, and nothing more.

A question was checked against the vocabulary before it comes here, so ids and parameters
are there and have their types; what they mean is the use-cases' business.
"""

import base64
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from common.canonical import plain
from common.errors import RackferryError, TransferError, WrongUsage
from common.events import Severity
from common.images import Selection
from common.vocabulary import BY_NAME, Question
from regiond.fleet import RegionFleet
from regiond.import_service import ImportResult, ImportService
from regiond.importer import Importer
from regiond.racks.sessions import Sessions
from regiond.region import Region

PROGRESS_INTERVAL_S = 0.5

Tell = Callable[[Any], None]


class RegionAnswers:
    """Answers the admin shell.

    Args:
        region: use-cases about sources and images.
        fleet: use-cases about racks.
        imports: when imports run.
        importer: how far the running one is.
        sessions: racks that are connected.
        identity: this region's name, version and the like, for ``status``.
        clock: for progress.
    """

    def __init__(
        self,
        region: Region,
        fleet: RegionFleet,
        imports: ImportService,
        importer: Importer,
        sessions: Sessions,
        *,
        identity: Callable[[], dict[str, Any]],
        clock: IReactorTime,
    ) -> None:
        self._region = region
        self._fleet = fleet
        self._imports = imports
        self._importer = importer
        self._sessions = sessions
        self._identity = identity
        self._clock = clock

    async def answer(self, question: Question, tell: Tell) -> Any:
        """Answer one question; ``tell`` takes progress."""
        verb = BY_NAME[question.noun, question.verb]
        return await getattr(self, verb.name)(question, tell)

    # Boot sources

    async def boot_sources_read(self, _: Question, __: Tell) -> Any:
        return await self._region.list_sources()

    async def boot_sources_create(self, question: Question, _: Tell) -> Any:
        given: dict[str, Any] = dict(question.parameters)
        if "keyring_data" in given:
            given["keyring_data"] = base64.b64decode(str(given["keyring_data"]))
        return await self._region.create_source(**given)

    async def boot_source_read(self, question: Question, _: Tell) -> Any:
        return await self._region.source(_number(question, 0))

    async def boot_source_delete(self, question: Question, _: Tell) -> Any:
        return await self._region.delete_source(_number(question, 0))

    async def boot_source_check(self, question: Question, _: Tell) -> Any:
        return await self._region.check_source(_number(question, 0))

    # Selections

    async def boot_source_selections_read(self, question: Question, _: Tell) -> Any:
        return await self._region.list_selections(_number(question, 0))

    async def boot_source_selections_create(self, question: Question, _: Tell) -> Any:
        given = question.parameters
        wanted = Selection(
            str(given["os"]),
            str(given["release"]),
            _words(given.get("arches")),
            _words(given.get("subarches")),
            _words(given.get("labels")),
        )
        return await self._region.create_selection(_number(question, 0), wanted)

    async def boot_source_selection_delete(self, question: Question, _: Tell) -> Any:
        return await self._region.delete_selection(_number(question, 0), _number(question, 1))

    async def available_images_read(self, question: Question, _: Tell) -> Any:
        source_id = _number(question, 0) if question.ids else None
        filters = {name: str(value) for name, value in question.parameters.items()}
        return await self._region.available_images(source_id, filters)

    # What is held, and what is fetched

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
        telling = LoopingCall(lambda: tell(plain(self._importer.progress)))
        telling.clock = self._clock
        telling.start(PROGRESS_INTERVAL_S, now=False)
        try:
            result = await running
        finally:
            telling.stop()
        _raise_if_failed(result)
        return _import_row(result)

    async def boot_resources_stop_import(self, _: Question, __: Tell) -> Any:
        was_running = self._imports.is_importing
        await self._imports.stop_import()
        return {"stopped": was_running}

    async def boot_resources_is_importing(self, _: Question, __: Tell) -> Any:
        return self._imports.is_importing

    async def boot_resource_read(self, question: Question, _: Tell) -> Any:
        return await self._region.image(_number(question, 0))

    async def boot_resource_delete(self, question: Question, _: Tell) -> Any:
        return await self._region.delete_image(_number(question, 0))

    # Racks

    async def rack_controllers_read(self, _: Question, __: Tell) -> Any:
        return await self._fleet.list_racks()

    async def rack_controllers_create_token(self, question: Question, _: Tell) -> Any:
        name = str(question.parameters["name"])
        token, expires_at = await self._fleet.create_token(name)
        identity = self._identity()
        return {
            "name": name,
            "token": token,
            "expires_at": expires_at,
            "hosts": identity["hosts"],
            "enrol_port": identity["enrol_port"],
            "rpc_port": identity["rpc_port"],
        }

    async def rack_controllers_import_boot_images(self, question: Question, _: Tell) -> Any:
        before = self._fleet.looks_ended()
        told = await self._sessions.sync_now()
        waits = "wait" in question.flags
        if waits:
            await self._fleet.looked_since({name: before.get(name, 0) for name in told})
        return [
            {"name": rack["name"], "status": _told_status(rack, told, waits=waits)}
            for rack in await self._fleet.list_racks()
        ]

    async def rack_controller_read(self, question: Question, _: Tell) -> Any:
        return await self._fleet.describe_rack(question.ids[0])

    async def rack_controller_delete(self, question: Question, _: Tell) -> Any:
        for serial in await self._fleet.delete_rack(question.ids[0]):
            self._sessions.drop(serial)
        return {"name": question.ids[0], "deleted": True}

    async def rack_controller_list_boot_images(self, question: Question, _: Tell) -> Any:
        return await self._fleet.images_of(question.ids[0])

    # What happened, and how things are

    async def events_read(self, question: Question, _: Tell) -> Any:
        return await self._region.list_events(
            _severity(str(question.parameters.get("level", "info"))),
            cleared="all" in question.flags,
        )

    async def status(self, _: Question, __: Tell) -> Any:
        last = self._imports.last
        return {
            **self._identity(),
            **await self._region.overview(),
            "racks": await self._fleet.list_racks(),
            "import": {
                "running": self._imports.is_importing,
                "progress": plain(self._importer.progress) if self._imports.is_importing else None,
                "last": _import_row(last) if last else None,
            },
        }


def _told_status(rack: dict[str, Any], told: list[str], *, waits: bool) -> str:
    if rack["name"] not in told:
        return "not connected"
    return str(rack["status"]) if waits else "told"


def _number(question: Question, place: int) -> int:
    text = question.ids[place]
    if not text.isdecimal() or len(text) > 18:
        raise WrongUsage("an id is a whole number", object=text, code="wrong-ids")
    return int(text)


def _words(value: Any) -> tuple[str, ...]:
    return tuple(value) if value else ("*",)


def _severity(level: str) -> Severity:
    try:
        return Severity(level)
    except ValueError:
        raise WrongUsage(
            "level is info, warning or error", object=level, code="wrong-value"
        ) from None


def _already_told(failure: Any) -> None:
    """Nobody waits for this import; the import service has logged how it ended."""
    failure.trap(RackferryError)


def _import_row(result: ImportResult) -> dict[str, Any]:
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
