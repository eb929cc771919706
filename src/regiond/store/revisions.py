"""A number that grows whenever an import may have something else to do than before.

That is whenever a source, a selection or a pin changes: an import that finds another number at
its end than at its start has to be followed by a second one.
"""

from sqlalchemy import Connection

from regiond.store import changes, settings

_REVISION = "selection-revision"


def selection_revision(conn: Connection) -> int:
    """A number that changes whenever an import may have something else to do than before."""
    return int(settings.get(conn, _REVISION, 0))


def count_revision(conn: Connection) -> None:
    """Something changed that imports go by."""
    settings.add(conn, _REVISION)


def source_changed(conn: Connection, source_id: int, now: float) -> None:
    """A source is another one, or something else is wanted of it."""
    count_revision(conn)
    changes.record(conn, "source", str(source_id), now)
