"""Whether all is well, in one line (pure)."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Counts = Mapping[tuple[str, str], int]
_NOTHING: Counts = {}


def verdict(problems: Sequence[Row], others: Counts = _NOTHING) -> dict[str, Any]:
    """What ``status`` begins with.

    Args:
        problems: the open events, warnings and worse.
        others: what else somebody is to look at, by its name for one and for several.

    Returns:
        ``well``, and the ``verdict`` in words.
    """
    errors = sum(each["severity"] == "error" for each in problems)
    found = {
        ("error", "errors"): errors,
        ("warning", "warnings"): len(problems) - errors,
        **others,
    }
    counted = [
        f"{count} {one if count == 1 else several}"
        for (one, several), count in found.items()
        if count
    ]
    return {"well": not counted, "verdict": ", ".join(counted) or "all is well"}
