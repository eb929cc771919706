"""Uploads: who may write their blobs, and when; custom images made of them.

A blob has one writer at a time: the one whose epoch stands in its row. Imports write under
the fencing tokens of their lease, from 1 on; uploads under epochs of their own, which grow,
too, and are all below zero. So any import takes a blob over from any upload, and goes on
where that was; a later upload takes it over from an earlier one. From an import an upload
takes a blob over when that import has ended, and waits while it runs: two that took it from
each other again and again would both never end. So would two uploads by way of two regions: each
*claims* the blob for as long as bytes come (within one region, ``regiond.uploads`` knows).
"""

from datetime import date

import attrs
from sqlalchemy import Connection, delete, select, update

from common.custom_names import demand_free, next_version
from common.errors import Busy
from common.images import ImageKey
from regiond.store import leases
from regiond.store.generations import current_generation
from regiond.store.images import (
    NewImage,
    StoredImage,
    image_details,
    images_of,
    key_of,
    pinned_image,
    stage_images,
)
from regiond.store.publication import IMPORT_LEASE, publish_images
from regiond.store.tables import blob, image, lease

_COUNTER = "upload"
_CLAIM = "upload of "
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


def claim(conn: Connection, sha256: str, region: str, now: float, ttl_s: float) -> bool:
    """Let one region at a time take these bytes, for so long; whether it is this one.

    Claims that nobody renewed are forgotten on the way.
    """
    conn.execute(delete(lease).where(lease.c.name.startswith(_CLAIM), lease.c.expires_at <= now))
    return leases.acquire(conn, _CLAIM + sha256, region, now, ttl_s) is not None


def let_go(conn: Connection, sha256: str, region: str) -> None:
    """A region takes no more of these bytes."""
    place = (lease.c.name == _CLAIM + sha256) & (lease.c.holder == region)
    conn.execute(delete(lease).where(place))


def is_held(conn: Connection, sha256: str, size_bytes: int) -> bool:
    """Whether all of these bytes are held; if so they stay for a time of grace from now on."""
    touched = conn.execute(
        update(blob)
        .where(blob.c.sha256 == sha256, blob.c.size_bytes == size_bytes, blob.c.state == "complete")
        .values(unreferenced_since=None)
    )
    return touched.rowcount == 1


@attrs.frozen
class Created:
    """What became of an upload: an image of that generation, ``is_new`` unless it was there."""

    image: StoredImage
    generation: int
    is_new: bool


def demand_unpinned(conn: Connection, key: ImageKey) -> None:
    """Refuse to replace a version that is pinned.

    Raises:
        Conflict: code ``image-pinned``.
    """
    for each in images_of(conn, key):
        if each.pinned:
            raise pinned_image(each.id, each.version)


def create_image(conn: Connection, new: NewImage, today: date, now: float) -> Created:
    """Publish a custom image, in the version that comes after those there are.

    The same files are no new version. What is not given (title, base image) stays.

    Raises:
        Conflict: code ``image-incomplete`` (its bytes are not all there) or ``image-pinned``.
        WrongUsage: code ``custom-reserved``; an image of a source has come to be called that.
    """
    demand_free(new.key, names_of_sources(conn))
    known = images_of(conn, new.key)
    before = next((each for each in known if each.state == "published"), None)
    if before is not None:
        new = attrs.evolve(
            new, title=new.title or before.title, base_image=new.base_image or before.base_image
        )
        if _is_same(before, new):
            return Created(before, current_generation(conn)[0], is_new=False)
    new = attrs.evolve(new, version=next_version(today, {each.version for each in known}))
    ids = stage_images(conn, [new], now)
    published = publish_images(conn, ids, None, now)
    for why in published.refused.values():
        raise why
    return Created(image_details(conn, ids[0]), published.generation, is_new=True)


def _is_same(before: StoredImage, new: NewImage) -> bool:
    return (set(before.files), before.title, before.base_image) == (
        set(new.files),
        new.title,
        new.base_image,
    )


def names_of_sources(conn: Connection) -> set[tuple[str, str]]:
    """The (os, release) of every image that came from a source and is held."""
    rows = conn.execute(select(image).where(image.c.type == "synced", image.c.state != "retired"))
    return {(key.os, key.release) for key in map(key_of, rows)}
