"""Statements are compiled once for all engines of one kind.

SQLAlchemy remembers what it compiled for each engine by itself, and by the dialect object. But
the writer, the appender and the readers of a database take the same texts, and so does the next
database of that kind. So dialects here are equal to others of their class, and share a memory.
"""

from typing import Any

from sqlalchemy.util import LRUCache

_MOST_STATEMENTS = 1000

EXECUTION_OPTIONS: dict[str, Any] = {"compiled_cache": LRUCache(_MOST_STATEMENTS)}
"""Of every engine."""


class OneOfAKind:
    """A dialect like every other of its class: what it compiles for one engine, all take."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))
