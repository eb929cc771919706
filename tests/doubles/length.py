"""How long the long tests take: ``SHORT=1`` is the version for CI."""

import os
from typing import TypeVar

T = TypeVar("T")

IS_SHORT = bool(os.environ.get("SHORT"))


def short_or_long(short: T, long: T) -> T:
    """The one that holds in this run."""
    return short if IS_SHORT else long
