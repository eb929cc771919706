"""Generations: the published states of the region, and the documents that describe them.

Every change of what racks are to hold is a new generation with a new view, made in the same
transaction as the change itself. Numbers count from 1; 0 means that nothing was published
yet.
"""

from collections.abc import Collection, Mapping

import attrs
from sqlalchemy import Connection, delete, select

from common.digests import sha256_hex
from common.images import View
from regiond.store import changes, mirrors, rack_views, racks, sources
from regiond.store.images import GRACE_S
from regiond.store.kept import retire_surplus
from regiond.store.rack_views import EVERYBODY
from regiond.store.tables import document, generation, image, rack, rack_view


@attrs.frozen
class CurrentViews:
    """The digests of a generation's views: the one of every rack, and those of others."""

    everybody: str
    by_rack: Mapping[str, str] = attrs.field(factory=dict)

    def of(self, rack: str) -> str:
        """The digest of a rack's view; "" before the first generation."""
        return self.by_rack.get(rack, self.everybody)


def delete_source(conn: Connection, id: int, now: float) -> int:
    """Forget a source, its selections and its documents; returns the generation.

    Its images stay until an import has ended without it. What it showed to mirrors goes at
    once, in the same transaction: a view never names what no rack may fetch.

    Raises:
        NotFound: no such source.
    """
    sources.delete_source(conn, id, now)
    mirrors.withdraw_source(conn, id, now)
    return generation_now(conn, now)


def let_surplus_go(conn: Connection, now: float) -> int:
    """Retire the versions beyond those that are kept; returns the generation without them."""
    if not retire_surplus(conn, now):
        return current_generation(conn)[0]
    return generation_now(conn, now)


def current_generation(conn: Connection) -> tuple[int, str]:
    """(number, digest of the view); (0, "") before the first publish."""
    row = conn.execute(
        select(generation).order_by(generation.c.number.desc()).limit(1)
    ).one_or_none()
    return (0, "") if row is None else (row.number, row.view_sha256)


def view_for(conn: Connection, number: int, rack: str) -> str | None:
    """The digest of a rack's view of a generation; None if that is no longer kept."""
    views = rack_views.digests_of(conn, number)
    return views.get(rack, views.get(EVERYBODY))


def current_view(conn: Connection, rack: str) -> tuple[int, str]:
    """(number, digest of the view) of what a rack is to hold now; (0, "") before the first."""
    number, _ = current_generation(conn)
    return number, view_for(conn, number, rack) or ""


def current_views(conn: Connection) -> tuple[int, CurrentViews]:
    """The current generation, and the digests of its views."""
    number, everybody = current_generation(conn)
    return number, CurrentViews(everybody, rack_views.digests_of(conn, number))


def restrict_rack(
    conn: Connection, name: str, selections: Collection[str] | None, now: float
) -> int:
    """Let a rack hold only what it is restricted to (None: everything); the generation.

    Raises:
        NotFound: no such rack.
    """
    racks.set_selections(conn, name, selections, now)
    return generation_now(conn, now)


def read_document(conn: Connection, sha256: str) -> bytes | None:
    """A view or image document by its name."""
    content = conn.execute(
        select(document.c.content).where(document.c.sha256 == sha256)
    ).scalar_one_or_none()
    return None if content is None else bytes(content)


def prune(conn: Connection, now: float) -> int:
    """Forget generations older than the grace time (never the newest) and their documents.

    Returns:
        how many documents went.
    """
    current, _ = current_generation(conn)
    conn.execute(
        delete(generation).where(
            generation.c.number < current, generation.c.created_at <= now - GRACE_S
        )
    )
    rack_views.prune(conn)
    # What a rack says that it holds can be listed however long it has been silent.
    held = select(rack.c.held_digest).where(rack.c.state == "active")
    return conn.execute(
        delete(document).where(
            document.c.sha256.not_in(select(generation.c.view_sha256)),
            document.c.sha256.not_in(select(rack_view.c.view_sha256)),
            document.c.sha256.not_in(held),
            document.c.sha256.not_in(
                select(image.c.document_sha256).where(image.c.document_sha256.is_not(None))
            ),
        )
    ).rowcount


def generation_now(conn: Connection, now: float) -> int:
    """The current generation; a new one if any rack is to hold something else by now."""
    number, everybody = current_generation(conn)
    before = rack_views.digests_of(conn, number)
    made = rack_views.views_now(conn, number + 1, before)
    if not number and set(made.values()) == {View(1).to_document()}:
        return 0
    names = keep_documents(conn, {view for view in made.values() if isinstance(view, bytes)})
    digests = {
        rack: names[view] if isinstance(view, bytes) else view for rack, view in made.items()
    }
    was, now_is = CurrentViews(everybody, before), CurrentViews(digests[EVERYBODY], digests)
    if all(was.of(rack) == now_is.of(rack) for rack in {*before, *digests}):
        return number
    conn.execute(
        generation.insert().values(
            number=number + 1, view_sha256=digests[EVERYBODY], created_at=now
        )
    )
    rack_views.keep(conn, number + 1, digests)
    changes.record(conn, "generation", str(number + 1), now)
    return number + 1


def keep_documents(conn: Connection, contents: Collection[bytes]) -> dict[bytes, str]:
    """Keep documents; returns the name of each."""
    names = {content: sha256_hex(content) for content in contents}
    query = select(document.c.sha256).where(document.c.sha256.in_(names.values()))
    known = set(conn.execute(query).scalars())
    new = [{"sha256": n, "content": c} for c, n in names.items() if n not in known]
    if new:
        conn.execute(document.insert(), new)
    return names
