"""Letting go of what nobody needs any more: old images, views, events, and their bytes.

Runs at the end of an import, under its lease. Times of grace, one after the other: a
retired image or document keeps its bytes for two hours (``store.images.GRACE_S``: racks may
still be fetching them); a blob without any reference stays for another hour (``GARBAGE_GRACE_S``: an
admin may want back what was just deleted); a cleared event is shown for 30 days.
"""

from regiond.store import events, garbage, generations, images, mirrors
from regiond.store.database import Database

GARBAGE_GRACE_S = 3600.0
EVENTS_KEPT_S = 30 * 24 * 3600.0


async def is_due(database: Database, now: float) -> bool:
    """Whether there is anything to let go of; reads only."""
    return await database.read(garbage.is_due, now, GARBAGE_GRACE_S)


async def clean_up(database: Database, now: float) -> None:
    """Let go; the file of an embedded database gets smaller."""
    await database.write(images.forget_retired, now)
    await database.write(mirrors.forget_retired, now)
    await database.write(generations.prune, now)
    await database.write(events.expire, now - EVENTS_KEPT_S)
    await garbage.collect(database, now, GARBAGE_GRACE_S)
