"""The documents of ``tests/common/shell/golden``, to hold real answers against."""

import json
from pathlib import Path
from typing import Any

from common.vocabulary import Place, Verb

GOLDEN = Path(__file__).resolve().parents[1] / "common" / "shell" / "golden"


def golden(place: Place, verb: Verb) -> Any:
    """The fixed answer of a place to a verb."""
    return json.loads((GOLDEN / place.value / f"{verb.name}.json").read_text())


def shape_of(answer: Any, *within: str) -> Any:
    """The keys of an object, or of the first of a list's rows; also those of objects ``within``."""
    if isinstance(answer, list):
        return shape_of(answer[0]) if answer else None
    if not isinstance(answer, dict):
        return type(answer).__name__
    keys = {key: None for key in answer if key != "warning"}
    return keys | {key: shape_of(answer[key]) for key in within if key in answer}
