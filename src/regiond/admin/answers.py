"""All answers of a region, found by the name of the word."""

from typing import Any

from common.vocabulary import BY_NAME, Question
from regiond.admin.asked import Tell


class RegionAnswers:
    """Answers the admin shell.

    Args:
        parts: objects with one method per word, ``boot_sources_create`` for
            ``boot-sources create``; each word is in exactly one.
    """

    def __init__(self, *parts: object) -> None:
        self._parts = parts

    async def answer(self, question: Question, tell: Tell) -> Any:
        """Answer one question; ``tell`` takes progress."""
        name = BY_NAME[question.noun, question.verb].name
        for part in self._parts:
            method = getattr(part, name, None)
            if method is not None:
                return await method(question, tell)
        raise LookupError(f"nobody answers {name}")
