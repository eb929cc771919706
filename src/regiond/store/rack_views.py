"""What each rack is to hold: the view of all racks, of those that are restricted, of canaries.

A view of a rack changes only with what it names: in a generation that changes nothing for a
rack, its view is the document that it has already, with the number of an older generation.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from sqlalchemy import Connection, Row, delete, select

from common.digests import sha256_hex
from common.images import SourceDocument, View, ViewImage
from regiond.restrictions import may_hold
from regiond.store import mirrors
from regiond.store.images import key_of
from regiond.store.tables import document, generation, image, rack, rack_view

EVERYBODY = ""
"""Whose view it is that every rack has which is neither restricted nor a canary."""

Digests = Mapping[str, str]


@attrs.frozen
class Audience:
    """Racks that are to hold the same: ``words`` is what they are restricted to, if they are."""

    words: tuple[str, ...] | None = None
    is_canary: bool = False

    def may_hold(self, row: Row[*tuple[Any, ...]]) -> bool:
        """Whether they may hold an image at all."""
        return may_hold(self.words, key_of(row), is_bootloader=row.bootloader_type is not None)

    def holds(self, row: Row[*tuple[Any, ...]]) -> bool:
        """Whether a version is the one that they are to show."""
        is_shown = row.state == "published" if self.is_canary else row.settled
        return is_shown and self.may_hold(row)

    def keeps(self, row: Row[*tuple[Any, ...]]) -> bool:
        """Whether a version is one that they are to have at hand, if they do not show it."""
        is_theirs = self.is_canary or row.due_at is None
        return row.state == "kept" and is_theirs and self.may_hold(row)


def audiences(conn: Connection) -> dict[str, Audience]:
    """The active racks that are to hold something else than the rest."""
    rows = conn.execute(
        select(rack.c.name, rack.c.selections, rack.c.canary).where(rack.c.state == "active")
    )
    return {
        row.name: Audience(
            None if row.selections is None else tuple(row.selections), is_canary=row.canary
        )
        for row in rows
        if row.selections is not None or row.canary
    }


def digests_of(conn: Connection, number: int) -> dict[str, str]:
    """The names of the views of a generation, by rack; ``EVERYBODY`` among them."""
    common = select(generation.c.view_sha256).where(generation.c.number == number)
    rows = conn.execute(select(rack_view).where(rack_view.c.number == number))
    everybody = conn.execute(common).scalar_one_or_none()
    if everybody is None:
        return {}
    return {EVERYBODY: everybody} | {row.rack: row.view_sha256 for row in rows}


def views_now(conn: Connection, number: int, before: Digests) -> dict[str, bytes | str]:
    """What racks are to hold now, as generation ``number``.

    Returns:
        by rack, ``EVERYBODY`` among them: the document of a new view, or the name of the one
        that it had ``before`` and that still says all.
    """
    rows = conn.execute(
        select(image)
        .where(image.c.state.in_(["published", "kept"]))
        .order_by(image.c.document_sha256)
    ).all()
    superseded = mirrors.superseded_images(conn)
    documents = mirrors.shown_documents(conn)
    views: dict[Audience, View] = {}
    found: dict[str, bytes | str] = {}
    for name, audience in {EVERYBODY: Audience(), **audiences(conn)}.items():
        if audience not in views:
            views[audience] = _view(audience, rows, superseded, documents)
        known = before.get(name) or before.get(EVERYBODY, "")
        found[name] = _same(conn, views[audience], known) or _numbered(views[audience], number)
    return found


def _view(
    audience: Audience,
    rows: Iterable[Row[*tuple[Any, ...]]],
    superseded: Iterable[Row[*tuple[Any, ...]]],
    documents: Mapping[str, Mapping[str, SourceDocument]],
) -> View:
    images = {
        str(key_of(row)): ViewImage(row.version, row.document_sha256)
        for row in rows
        if audience.holds(row)
    }
    shown = {each.document_sha256 for each in images.values()}
    mirrored = dict.fromkeys(
        row.document_sha256
        for row in superseded
        if audience.may_hold(row) and row.document_sha256 not in shown
    )
    shown.update(mirrored)
    kept = dict.fromkeys(
        row.document_sha256
        for row in rows
        if audience.keeps(row) and row.document_sha256 not in shown
    )
    return View(0, images, documents, tuple(mirrored), tuple(kept))


def keep(conn: Connection, number: int, digests: Digests) -> None:
    """Keep the views of these racks for a generation."""
    rows = [
        {"number": number, "rack": name, "view_sha256": digest}
        for name, digest in digests.items()
        if name != EVERYBODY
    ]
    if rows:
        conn.execute(rack_view.insert(), rows)


def prune(conn: Connection) -> None:
    """Forget the views of generations that are forgotten."""
    conn.execute(delete(rack_view).where(rack_view.c.number.not_in(select(generation.c.number))))


def _same(conn: Connection, view: View, known: str) -> str:
    """The name of a kept view that says the same but for the number; else ""."""
    content = conn.execute(
        select(document.c.content).where(document.c.sha256 == known)
    ).scalar_one_or_none()
    if content is None:
        return ""
    number = int(json.loads(content)["generation"])
    return known if sha256_hex(_numbered(view, number)) == known else ""


def _numbered(view: View, number: int) -> bytes:
    return attrs.evolve(view, generation=number).to_document()
