"""Answers about settings."""

from typing import Any

from common.vocabulary import Question
from regiond.admin.asked import Tell
from regiond.region_settings import RegionSettings


class SettingAnswers:
    """What is answered about settings."""

    def __init__(self, settings: RegionSettings) -> None:
        self._settings = settings

    async def config_list(self, _: Question, __: Tell) -> Any:
        return await self._settings.list_all()

    async def config_get(self, question: Question, _: Tell) -> Any:
        return await self._settings.one(question.ids[0])

    async def config_set(self, question: Question, _: Tell) -> Any:
        texts = {name: str(value) for name, value in question.parameters.items()}
        return await self._settings.change(texts)
