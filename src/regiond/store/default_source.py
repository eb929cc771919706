"""The source that an empty database gets."""

from sqlalchemy import Connection

from common.images import Selection
from regiond.store import settings
from regiond.store.selections import create_selection
from regiond.store.sources import BootSource, SourceFields, create_source, list_sources

_DEFAULT_MADE = "default-source-made"


def make_default_source(
    conn: Connection, fields: SourceFields, wanted: Selection, now: float
) -> BootSource | None:
    """The source that an empty database gets, once: deleting it is remembered."""
    if settings.get(conn, _DEFAULT_MADE, default=False):
        return None
    settings.put(conn, _DEFAULT_MADE, value=True, now=now)
    if list_sources(conn):
        return None
    made = create_source(conn, fields, now)
    create_selection(conn, made.id, wanted, unchecked=True, now=now)
    return made
