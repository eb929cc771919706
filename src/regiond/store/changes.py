"""The change feed: what others may want to look at again.

A transaction that changes something visible adds a row; after its commit the database
tells those who subscribed. Nobody above the store notifies anybody directly, so that with
several regions a poll of this table is all that has to be added.
"""

import attrs
from sqlalchemy import Connection, func, select

from regiond.store.tables import change

KEPT = 1000
_NOTED = "rackferry-changes"


@attrs.frozen
class Change:
    """Something visible changed. ``kind``: generation, source, image, blob, rack, canary or setting."""

    id: int
    kind: str
    object: str
    at: float


def record(conn: Connection, kind: str, object: str, now: float) -> None:
    """Add a row to the feed."""
    added = conn.execute(change.insert().values(kind=kind, object=object, at=now))
    (id,) = added.inserted_primary_key or (0,)  # noqa: A001
    conn.info.setdefault(_NOTED, []).append(Change(id, kind, object, now))
    conn.execute(change.delete().where(change.c.id <= id - KEPT))


def take_recorded(conn: Connection) -> tuple[Change, ...]:
    """The changes that this connection recorded since the last call (for ``Database``)."""
    return tuple(conn.info.pop(_NOTED, ()))


def since(conn: Connection, id: int) -> tuple[Change, ...]:
    """The changes after change ``id``, oldest first; 0 for all that are kept."""
    rows = conn.execute(select(change).where(change.c.id > id).order_by(change.c.id))
    return tuple(Change(row.id, row.kind, row.object, row.at) for row in rows)


def last_id(conn: Connection) -> int:
    """The newest change's id; 0 if there is none."""
    return int(conn.execute(select(func.coalesce(func.max(change.c.id), 0))).scalar_one())
