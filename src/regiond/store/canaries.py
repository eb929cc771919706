"""Canaries: racks that get new versions first, and what the other racks wait for.

A version that is published while there are canaries is not *settled*: the canaries hold it,
and the other racks hold the settled version of that image, whether it is still published or
only kept. Each version waits its own time (``due_at``; without one until an admin says so),
also when the canaries have got a newer one meanwhile. Without canaries what is published is
settled, and nothing waits.
"""

from collections.abc import Iterable

import attrs
from sqlalchemy import Connection, select, update

from common.images import ImageKey
from regiond.store import events, settings
from regiond.store.images import is_key, key_of
from regiond.store.tables import image, rack

AFTER = "canary-after"
BY_ADMIN = "promote"
"""Instead of a time: until an admin promotes what waits."""

After = float | str
"""How long the other racks wait, in seconds; or ``BY_ADMIN``."""

_IN_USE = image.c.state.in_(["published", "kept"])
IS_HELD = (image.c.state == "kept") & (image.c.settled | image.c.due_at.is_not(None))
"""The condition that some racks hold a version that was replaced, or are about to."""

NOT_YET = (image.c.state == "published") & ~image.c.settled
WAITS = NOT_YET | ((image.c.state == "kept") & image.c.due_at.is_not(None))
"""The condition that racks which are no canaries are to get a version later."""


@attrs.frozen
class Waiting:
    """A version that waits; ``due_at`` is None if that is until an admin says so."""

    id: int
    key: ImageKey
    version: str
    source_id: int | None
    is_bootloader: bool
    due_at: float | None


def names(conn: Connection) -> tuple[str, ...]:
    """The racks that are canaries."""
    found = select(rack.c.name).where(rack.c.state == "active", rack.c.canary)
    return tuple(conn.execute(found.order_by(rack.c.name)).scalars())


def after(conn: Connection) -> After:
    """How long what is published from now on waits."""
    found = settings.get(conn, AFTER, BY_ADMIN)
    return BY_ADMIN if found == BY_ADMIN else float(found)


def due_of_new(conn: Connection, now: float) -> tuple[bool, float | None]:
    """Of what is published now: whether all racks get it at once, else when they do."""
    if not names(conn):
        return True, None
    wait = after(conn)
    return False, now + wait if isinstance(wait, float) else None


def waiting(conn: Connection) -> tuple[Waiting, ...]:
    """All that waits, by id."""
    rows = conn.execute(select(image).where(WAITS).order_by(image.c.id))
    return tuple(
        Waiting(
            row.id,
            key_of(row),
            row.version,
            row.source_id,
            row.bootloader_type is not None,
            row.due_at,
        )
        for row in rows
    )


def due(conn: Connection, now: float) -> tuple[int, ...]:
    """What has waited long enough: of each image the version whose time came last."""
    newest: dict[ImageKey, Waiting] = {}
    for each in waiting(conn):
        if each.due_at is None or each.due_at > now:
            continue
        other = newest.get(each.key)
        if other is None or (each.due_at, each.id) > (other.due_at, other.id):
            newest[each.key] = each
    return tuple(each.id for each in newest.values())


def settle(conn: Connection, ids: Iterable[int]) -> None:
    """Let all racks hold these versions, and no other of the same images.

    What canaries have got since goes on waiting its own time.
    """
    for row in conn.execute(select(image).where(image.c.id.in_(list(ids)))).all():
        others = is_key(key_of(row)) & (image.c.id != row.id) & _IN_USE
        conn.execute(update(image).where(others, image.c.settled).values(settled=False))
        passed = others if row.state == "published" else others & (image.c.due_at <= row.due_at)
        conn.execute(update(image).where(passed).values(due_at=None))
        conn.execute(update(image).where(image.c.id == row.id).values(settled=True, due_at=None))


def failing(conn: Connection, wanted: dict[str, str]) -> tuple[str, ...]:
    """Which canaries do not hold what they are to hold, have a problem or are silent, and why.

    Args:
        conn: the transaction.
        wanted: the digest of each canary's view.
    """
    rows = conn.execute(
        select(rack.c.name, rack.c.problem, rack.c.held_digest)
        .where(rack.c.state == "active", rack.c.canary)
        .order_by(rack.c.name)
    )
    reasons = []
    for row in rows:
        if row.problem is not None:
            reasons.append(f"{row.name}: {row.problem['message']}")
        elif events.is_open(conn, "rack-silent", f"rack {row.name}"):
            reasons.append(f"{row.name} has been silent for long")
        elif row.held_digest != wanted[row.name]:
            reasons.append(f"{row.name} does not hold it yet")
    return tuple(reasons)
