"""What each rack is to hold: the view of all racks, and views of racks that are restricted.

A view of a rack changes only with what it names: in a generation that changes nothing for a
rack, its view is the document that it has already, with the number of an older generation.
"""

import json
from collections.abc import Container, Iterable, Mapping
from typing import Any

import attrs
from sqlalchemy import Connection, Row, delete, select

from common.digests import sha256_hex
from common.images import View, ViewImage
from regiond.restrictions import may_hold
from regiond.store import mirrors
from regiond.store.images import KEY_COLUMNS, key_of
from regiond.store.tables import document, generation, image, rack, rack_view

EVERYBODY = ""
"""Whose view it is that every rack has which is not restricted."""

Digests = Mapping[str, str]


def restrictions(conn: Connection) -> dict[str, tuple[str, ...]]:
    """The active racks that are restricted, and to what."""
    rows = conn.execute(select(rack.c.name, rack.c.selections).where(rack.c.state == "active"))
    return {row.name: tuple(row.selections) for row in rows if row.selections is not None}


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
    columns = (*KEY_COLUMNS, image.c.version, image.c.document_sha256, image.c.bootloader_type)
    published = conn.execute(select(*columns).where(image.c.state == "published")).all()
    superseded = mirrors.superseded_images(conn)
    kept = _kept(conn, {row.document_sha256 for row in (*published, *superseded)})
    documents = mirrors.shown_documents(conn)
    views: dict[tuple[str, ...] | None, View] = {}
    found: dict[str, bytes | str] = {}
    for name, words in {EVERYBODY: None, **restrictions(conn)}.items():
        if words not in views:
            views[words] = View(
                0,
                {
                    str(key_of(row)): ViewImage(row.version, row.document_sha256)
                    for row in published
                    if _may_hold(words, row)
                },
                documents,
                _documents(words, superseded),
                _documents(words, kept),
            )
        known = before.get(name) or before.get(EVERYBODY, "")
        found[name] = _same(conn, views[words], known) or _numbered(views[words], number)
    return found


def _kept(conn: Connection, shown: Container[str]) -> list[Row[*tuple[Any, ...]]]:
    """The versions that are kept, but for those that are shown all the same."""
    rows = conn.execute(
        select(image).where(image.c.state == "kept").order_by(image.c.document_sha256)
    )
    return [row for row in rows if row.document_sha256 not in shown]


def _documents(
    words: tuple[str, ...] | None, rows: Iterable[Row[*tuple[Any, ...]]]
) -> tuple[str, ...]:
    """The documents of those that a rack may hold, each once."""
    return tuple(dict.fromkeys(row.document_sha256 for row in rows if _may_hold(words, row)))


def keep(conn: Connection, number: int, digests: Digests) -> None:
    """Keep the views of restricted racks for a generation."""
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


def _may_hold(words: tuple[str, ...] | None, row: Row[*tuple[Any, ...]]) -> bool:
    return may_hold(words, key_of(row), is_bootloader=row.bootloader_type is not None)


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
