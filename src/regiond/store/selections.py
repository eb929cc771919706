"""What is wanted of each boot source."""

import attrs
from sqlalchemy import Connection, delete, select, update

from common.canonical import plain
from common.errors import Conflict, NotFound
from common.images import Selection
from regiond.store import sources
from regiond.store.revisions import source_changed
from regiond.store.tables import selection


@attrs.frozen
class StoredSelection:
    """A selection of a source. ``unchecked``: accepted without looking into its catalogue."""

    id: int
    source_id: int
    selection: Selection
    unchecked: bool


def create_selection(
    conn: Connection,
    source_id: int,
    wanted: Selection,
    *,
    unchecked: bool,
    now: float,
) -> StoredSelection:
    """Want something of a source.

    Raises:
        NotFound: no such source.
        Conflict: there is a selection of that os and release.
    """
    sources.source(conn, source_id)
    _check_release(conn, source_id, wanted, 0)
    added = conn.execute(
        selection.insert().values(
            source_id=source_id, unchecked=unchecked, created_at=now, **plain(wanted)
        )
    )
    (id,) = added.inserted_primary_key or (0,)  # noqa: A001
    source_changed(conn, source_id, now)
    return StoredSelection(id, source_id, wanted, unchecked)


def update_selection(
    conn: Connection, source_id: int, id: int, wanted: Selection, *, unchecked: bool, now: float
) -> StoredSelection:
    """Want something else of a source.

    Raises:
        NotFound: that source has no such selection.
        Conflict: another selection is of that os and release.
    """
    one_selection(conn, source_id, id)
    _check_release(conn, source_id, wanted, id)
    conn.execute(
        update(selection).where(selection.c.id == id).values(unchecked=unchecked, **plain(wanted))
    )
    source_changed(conn, source_id, now)
    return StoredSelection(id, source_id, wanted, unchecked)


def one_selection(conn: Connection, source_id: int, id: int) -> StoredSelection:
    """A selection of a source.

    Raises:
        NotFound: that source has no such selection.
    """
    for kept in list_selections(conn, source_id):
        if kept.id == id:
            return kept
    raise _no_selection(source_id, id)


def _check_release(conn: Connection, source_id: int, wanted: Selection, own_id: int) -> None:
    for other in list_selections(conn, source_id):
        same = (other.selection.os, other.selection.release) == (wanted.os, wanted.release)
        if same and other.id != own_id:
            raise Conflict(
                f"selection {other.id} means {wanted.os}/{wanted.release} already",
                object=f"boot-source {source_id}",
                code="selection-exists",
                remedy=f"update selection {other.id}, or delete it first",
            )


def _no_selection(source_id: int, id: int) -> NotFound:
    return NotFound(
        f"boot source {source_id} has no such selection",
        object=f"selection {id}",
        code="selection-unknown",
        remedy=f"boot-source-selections read {source_id} lists them",
    )


def list_selections(conn: Connection, source_id: int | None = None) -> tuple[StoredSelection, ...]:
    """The selections of a source, or of all, by id."""
    query = select(selection).order_by(selection.c.id)
    if source_id is not None:
        query = query.where(selection.c.source_id == source_id)
    return tuple(
        StoredSelection(
            row.id,
            row.source_id,
            Selection(
                row.os, row.release, tuple(row.arches), tuple(row.subarches), tuple(row.labels)
            ),
            row.unchecked,
        )
        for row in conn.execute(query)
    )


def mark_checked(conn: Connection, id: int) -> None:
    """A selection was found to fit its source's catalogue."""
    conn.execute(update(selection).where(selection.c.id == id).values(unchecked=False))


def delete_selection(conn: Connection, source_id: int, id: int, now: float) -> None:
    """Want it no longer.

    Raises:
        NotFound: that source has no such selection.
    """
    deleted = conn.execute(
        delete(selection).where(selection.c.id == id, selection.c.source_id == source_id)
    )
    if deleted.rowcount == 0:
        raise _no_selection(source_id, id)
    source_changed(conn, source_id, now)
