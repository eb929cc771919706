"""Versions that are kept: what a newer one replaced, as many as ``boot_images_versions`` says.

A kept version costs only space: its files stay referenced, and racks have them at hand, shown
nowhere, so that going back to it moves no bytes. What is too many is retired, and goes the
way of everything that is retired.
"""

from collections import defaultdict

from sqlalchemy import Connection, select, update

from regiond.settings_table import setting
from regiond.store import settings
from regiond.store.images import KEY_COLUMNS
from regiond.store.tables import image
from regiond.versions import HeldVersion, surplus

VERSIONS = "boot_images_versions"


def surplus_images(conn: Connection) -> tuple[int, ...]:
    """The ids of the versions beyond those that the setting keeps of each image."""
    if conn.execute(select(image.c.id).where(image.c.state == "kept").limit(1)).first() is None:
        return ()
    most = int(settings.get(conn, VERSIONS, setting(VERSIONS).default))
    rows = conn.execute(
        select(
            image.c.id,
            image.c.version,
            image.c.state,
            (image.c.settled | image.c.due_at.is_not(None)).label("is_needed"),
            *KEY_COLUMNS,
        ).where(image.c.state.in_(["published", "kept"]))
    )
    versions: defaultdict[tuple[str, ...], list[HeldVersion]] = defaultdict(list)
    for id, version, state, is_needed, *of in rows:  # noqa: A001 - as the column is called
        versions[tuple(of)].append(HeldVersion(id, version, state, is_needed=bool(is_needed)))
    return tuple(sorted(gone for held in versions.values() for gone in surplus(held, most)))


def retire_surplus(conn: Connection, now: float) -> int:
    """Retire the versions that are too many (for ``generations``); returns how many."""
    gone = surplus_images(conn)
    if gone:
        conn.execute(
            update(image).where(image.c.id.in_(gone)).values(state="retired", retired_at=now)
        )
    return len(gone)
