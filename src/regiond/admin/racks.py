"""Answers about racks."""

from collections.abc import Callable
from typing import Any

from common.vocabulary import Question
from regiond.admin.asked import Tell
from regiond.canaries import Canaries
from regiond.fleet import RegionFleet
from regiond.rack_syncs import RackSyncs
from regiond.racks.sessions import Sessions


class RackAnswers:
    """What is answered about racks."""

    def __init__(
        self,
        fleet: RegionFleet,
        canaries: Canaries,
        sessions: Sessions,
        identity: Callable[[], dict[str, Any]],
    ) -> None:
        self._fleet = fleet
        self._canaries = canaries
        self._sessions = sessions
        self._identity = identity
        self._syncs = RackSyncs(fleet, sessions.sync_now, sessions.clock)

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

    async def rack_controllers_canary(self, question: Question, _: Tell) -> Any:
        names, after = question.parameters.get("names"), question.parameters.get("after")
        return await self._canaries.change(
            [name for name in names if name] if isinstance(names, list) else None,
            None if after is None else str(after),
            promotes="promote" in question.flags,
        )

    async def rack_controllers_import_boot_images(self, question: Question, tell: Tell) -> Any:
        return await self._sync(None, question, tell)

    async def rack_controller_import_boot_images(self, question: Question, tell: Tell) -> Any:
        (row,) = await self._sync(question.ids[0], question, tell)
        return row

    async def _sync(self, name: str | None, question: Question, tell: Tell) -> list[dict[str, str]]:
        if "wait" in question.flags:
            return await self._syncs.wait(name, tell)
        return await self._syncs.begin(name)

    async def rack_controller_read(self, question: Question, _: Tell) -> Any:
        return await self._fleet.describe_rack(question.ids[0])

    async def rack_controller_update(self, question: Question, _: Tell) -> Any:
        given = question.parameters["selections"]
        words = [word for word in given if word] if isinstance(given, list) else []
        return await self._fleet.restrict_rack(question.ids[0], words)

    async def rack_controller_delete(self, question: Question, _: Tell) -> Any:
        for serial in await self._fleet.delete_rack(question.ids[0]):
            self._sessions.drop(serial)
        return {"name": question.ids[0], "deleted": True}

    async def rack_controller_list_boot_images(self, question: Question, _: Tell) -> Any:
        return await self._fleet.images_of(question.ids[0])
