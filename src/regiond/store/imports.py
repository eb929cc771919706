"""What became of the imports."""

import attrs
from sqlalchemy import Connection, delete, select, update

from regiond.store.tables import import_run

KEPT = 100


@attrs.frozen
class ImportRun:
    """An import. ``outcome`` is None while it runs; ``reason`` says why it failed, or is empty."""

    id: int
    epoch: int
    started_at: float
    ended_at: float | None
    outcome: str | None
    reason: str
    published: int
    fetched_bytes: int


def begin_import(conn: Connection, epoch: int, now: float) -> int:
    """Note that an import begins; returns its id. One that never ended was interrupted."""
    conn.execute(
        update(import_run)
        .where(import_run.c.outcome.is_(None))
        .values(outcome="interrupted", ended_at=now)
    )
    added = conn.execute(
        import_run.insert().values(
            epoch=epoch, started_at=now, reason="", published=0, fetched_bytes=0
        )
    )
    (id,) = added.inserted_primary_key or (0,)  # noqa: A001
    conn.execute(delete(import_run).where(import_run.c.id <= id - KEPT))
    return int(id)


def end_import(
    conn: Connection,
    id: int,
    outcome: str,
    *,
    reason: str,
    published: int,
    fetched_bytes: int,
    now: float,
) -> None:
    """Note how an import ended."""
    conn.execute(
        update(import_run)
        .where(import_run.c.id == id)
        .values(
            outcome=outcome,
            reason=reason,
            published=published,
            fetched_bytes=fetched_bytes,
            ended_at=now,
        )
    )


def last_imports(conn: Connection, limit: int = 1) -> tuple[ImportRun, ...]:
    """The newest imports, newest first."""
    rows = conn.execute(select(import_run).order_by(import_run.c.id.desc()).limit(limit))
    return tuple(ImportRun(**row._asdict()) for row in rows)
