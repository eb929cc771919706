"""What a question holds, as the use-cases want it (pure)."""

from collections.abc import Callable
from typing import Any

from common.errors import WrongUsage
from common.vocabulary import Question

Tell = Callable[[Any], None]


def number(question: Question, place: int) -> int:
    text = question.ids[place]
    if not text.isdecimal() or len(text) > 18:
        raise WrongUsage("an id is a whole number", object=text, code="wrong-ids")
    return int(text)


def words(value: Any) -> tuple[str, ...]:
    return tuple(value) if value else ("*",)
