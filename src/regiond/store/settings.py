"""Settings that all regions share, and facts about this database: names with JSON values."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update

from regiond.store import changes
from regiond.store.tables import setting


def get(conn: Connection, name: str, default: Any = None) -> Any:
    """The value of a setting."""
    row = conn.execute(select(setting.c.value).where(setting.c.name == name)).one_or_none()
    return default if row is None else row.value


def put(conn: Connection, name: str, value: Any, now: float) -> None:
    """Set a setting."""
    updated = conn.execute(update(setting).where(setting.c.name == name).values(value=value))
    if updated.rowcount == 0:
        conn.execute(setting.insert().values(name=name, value=value))
    changes.record(conn, "setting", name, now)


def forget(conn: Connection, name: str, now: float) -> None:
    """Let a setting have its default again."""
    conn.execute(delete(setting).where(setting.c.name == name))
    changes.record(conn, "setting", name, now)


def change(conn: Connection, values: Mapping[str, Any], now: float) -> None:
    """Set several at once; None lets one have its default again."""
    for name, value in values.items():
        if value is None:
            forget(conn, name, now)
        else:
            put(conn, name, value, now)


def everything(conn: Connection) -> dict[str, Any]:
    """All settings that are set."""
    rows = conn.execute(select(setting.c.name, setting.c.value).order_by(setting.c.name))
    return {row.name: row.value for row in rows}


def add(conn: Connection, name: str, by: int = 1) -> int:
    """Count: add to a whole number that starts at 0; returns the sum."""
    total = int(get(conn, name, 0)) + by
    updated = conn.execute(update(setting).where(setting.c.name == name).values(value=total))
    if updated.rowcount == 0:
        conn.execute(setting.insert().values(name=name, value=total))
    return total
