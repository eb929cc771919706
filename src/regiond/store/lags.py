"""How far racks are behind what they are to hold."""

import json
from collections.abc import Mapping

import attrs
from sqlalchemy import Connection, select

from regiond.store.generations import current_views
from regiond.store.tables import document, generation, rack_view


@attrs.frozen
class Lag:
    """What a rack lacks.

    Attributes:
        generations: how many changed what it is to hold, or may have; 0 if it holds its view.
        since: when it began to be behind, as far as that is known still (seconds since the
            epoch); None if it is not.
    """

    generations: int = 0
    since: float | None = None


def lags(conn: Connection, held: Mapping[str, str]) -> tuple[int, dict[str, Lag]]:
    """The current generation, and how far each rack is behind it.

    Args:
        conn: the transaction.
        held: by rack, the digest of the view that it holds; "" for none.
    """
    number, views = current_views(conn)
    behind = {rack for rack, digest in held.items() if digest != views.of(rack)}
    found = {rack: Lag() for rack in held}
    if not behind:
        return number, found
    kept = conn.execute(select(generation).order_by(generation.c.number)).all()
    rows = conn.execute(select(rack_view).where(rack_view.c.rack.in_(behind)))
    own = {(row.number, row.rack): row.view_sha256 for row in rows}
    named = {digest: _number_of(conn, digest) for digest in {held[rack] for rack in behind}}
    for rack in behind:
        last = max(
            (
                each.number
                for each in kept
                if own.get((each.number, rack), each.view_sha256) == held[rack]
            ),
            default=named[held[rack]],
        )
        newer = [each.created_at for each in kept if each.number > last]
        found[rack] = Lag(max(1, number - last), newer[0] if newer else None)
    return number, found


def _number_of(conn: Connection, digest: str) -> int:
    """The number that a view's document has; 0 if it is not known any more."""
    content = conn.execute(
        select(document.c.content).where(document.c.sha256 == digest)
    ).scalar_one_or_none()
    return 0 if content is None else int(json.loads(content)["generation"])
