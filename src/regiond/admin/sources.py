"""Answers about boot sources, selections and what is offered."""

import base64
from typing import Any

from common.images import Selection
from common.vocabulary import Question
from regiond.admin.asked import Tell, number, words
from regiond.boot_sources import BootSources
from regiond.selections import Selections


class SourceAnswers:
    """What is answered about sources."""

    def __init__(self, boot_sources: BootSources, selections: Selections) -> None:
        self._boot_sources = boot_sources
        self._selections = selections

    async def boot_sources_read(self, _: Question, __: Tell) -> Any:
        return await self._boot_sources.list_all()

    async def boot_sources_create(self, question: Question, _: Tell) -> Any:
        return await self._boot_sources.create(_given(question))

    async def boot_source_read(self, question: Question, _: Tell) -> Any:
        return await self._boot_sources.one(number(question, 0))

    async def boot_source_update(self, question: Question, _: Tell) -> Any:
        source_id, given = number(question, 0), _given(question)
        permitted = given.pop("accept_rollback", None)
        answer = await self._boot_sources.update(source_id, given)
        if permitted is not None:
            await self._boot_sources.permit_rollback(
                source_id, permitted=permitted, by=question.asker
            )
            answer |= await self._boot_sources.one(source_id)
        return answer

    async def boot_source_delete(self, question: Question, _: Tell) -> Any:
        return await self._boot_sources.delete(number(question, 0))

    async def boot_source_check(self, question: Question, _: Tell) -> Any:
        return await self._boot_sources.check(number(question, 0))

    async def boot_source_selections_read(self, question: Question, _: Tell) -> Any:
        return await self._selections.list_all(number(question, 0))

    async def boot_source_selections_create(self, question: Question, _: Tell) -> Any:
        given = question.parameters
        wanted = Selection(
            str(given["os"]),
            str(given["release"]),
            words(given.get("arches")),
            words(given.get("subarches")),
            words(given.get("labels")),
        )
        return await self._selections.create(number(question, 0), wanted)

    async def boot_source_selection_read(self, question: Question, _: Tell) -> Any:
        return await self._selections.one(number(question, 0), number(question, 1))

    async def boot_source_selection_update(self, question: Question, _: Tell) -> Any:
        changes = {
            name: str(value) if name in {"os", "release"} else words(value)
            for name, value in question.parameters.items()
        }
        return await self._selections.update(number(question, 0), number(question, 1), changes)

    async def boot_source_selection_delete(self, question: Question, _: Tell) -> Any:
        return await self._selections.delete(number(question, 0), number(question, 1))

    async def available_images_read(self, question: Question, _: Tell) -> Any:
        source_id = number(question, 0) if question.ids else None
        filters = {name: str(value) for name, value in question.parameters.items()}
        return await self._selections.available_images(
            source_id, filters, refresh="refresh" in question.flags
        )


def _given(question: Question) -> dict[str, Any]:
    given: dict[str, Any] = dict(question.parameters)
    if "keyring_data" in given:
        given["keyring_data"] = base64.b64decode(str(given["keyring_data"]))
    return given
