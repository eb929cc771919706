"""Who may write the blob of an upload, and when.

A blob has one writer at a time: the one whose epoch stands in its row. Imports write under
the fencing tokens of their lease, from 1 on; uploads under epochs of their own, which grow,
too, and are all below zero. So any import takes a blob over from any upload, and goes on
where that was; a later upload takes it over from an earlier one. From an import an upload
takes a blob over when that import has ended, and waits while it runs: two that took it from
each other again and again would both never end.
"""

from sqlalchemy import Connection, select, update

from common.errors import Busy
from regiond.store import leases
from regiond.store.generations import IMPORT_LEASE
from regiond.store.tables import blob, lease

_COUNTER = "upload"
_BELOW_ALL = -(1 << 62)
_IS_PARTIAL = blob.c.state == "partial"


def new_epoch(conn: Connection, sha256: str, now: float) -> int:
    """The epoch under which an upload may claim the blob of that name.

    Raises:
        Busy: code ``upload-import``; an import that runs is fetching it.
    """
    running = select(lease.c.token).where(
        lease.c.name == IMPORT_LEASE, lease.c.holder != "", lease.c.expires_at > now
    )
    fetched = select(blob.c.id).where(
        blob.c.sha256 == sha256, _IS_PARTIAL, blob.c.writer_epoch.in_(running)
    )
    if conn.execute(fetched).first() is not None:
        raise Busy(
            "an import is fetching the same bytes",
            object=f"blob {sha256}",
            code="upload-import",
            remedy="wait for it: what it has fetched need not be sent",
        )
    # Nobody holds this lease: it only counts.
    count = leases.acquire(conn, _COUNTER, "", now, 0.0) or 0
    epoch = _BELOW_ALL + count
    conn.execute(
        update(blob).where(blob.c.sha256 == sha256, _IS_PARTIAL).values(writer_epoch=epoch)
    )
    return epoch


def is_held(conn: Connection, sha256: str, size_bytes: int) -> bool:
    """Whether all of these bytes are held; if so they stay for a time of grace from now on."""
    touched = conn.execute(
        update(blob)
        .where(blob.c.sha256 == sha256, blob.c.size_bytes == size_bytes, blob.c.state == "complete")
        .values(unreferenced_since=None)
    )
    return touched.rowcount == 1
