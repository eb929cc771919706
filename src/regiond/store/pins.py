"""Pins: versions that stay published until an admin says otherwise, and going back to a kept one.

A pinned version is the published one of its image: no import publishes another in its place,
none takes it away, and it cannot be deleted. Going back is a flip of two rows, since the
files of a kept version are held; it pins, or the next import would undo it.
"""

from collections.abc import Mapping

import attrs
from sqlalchemy import Connection, select, update

from common.errors import Conflict
from regiond.store import canaries, changes, generations, publication, revisions
from regiond.store.images import StoredImage, image_details, images_of
from regiond.store.tables import image
from regiond.versions import HeldVersion, previous

_REMEDIES = {
    "importing": "wait until it is published",
    "kept": "boot-resource rollback ID publishes it again, pinned",
}


@attrs.frozen
class RolledBack:
    """What was published again, in place of what (None: nothing was), as of which generation."""

    now: StoredImage
    before: StoredImage | None
    generation: int


def pin(conn: Connection, id: int, now: float) -> StoredImage:
    """Let a published version stay, whatever is newer; twice is once.

    Raises:
        NotFound: no such image.
        Conflict: image-not-published, image-retired.
    """
    return _set_pinned(conn, id, now, pinned=True)


def unpin(conn: Connection, id: int, now: float) -> StoredImage:
    """Let imports update an image again; twice is once. Returns it as it was.

    Raises:
        NotFound, Conflict: as ``pin``.
    """
    return _set_pinned(conn, id, now, pinned=False)


def _set_pinned(conn: Connection, id: int, now: float, *, pinned: bool) -> StoredImage:
    found = image_details(conn, id)
    if found.state != "published":
        raise _not_published(found)
    if found.pinned is not pinned:
        conn.execute(
            update(image).where(image.c.id == id).values(pinned=pinned, waiting_version=None)
        )
        _changed(conn, id, now)
    return found


def roll_back(conn: Connection, id: int, now: float) -> RolledBack:
    """Publish an older version again, and pin it.

    Args:
        conn: the transaction.
        id: the published version, to go to the one kept before it, or to the one that racks
            hold which are no canaries; or a kept one, to go there.
        now: seconds since the epoch.

    Raises:
        NotFound: no such image.
        Conflict: image-not-published (it is being imported), image-retired, image-no-older
            (none is kept), image-incomplete (a file of it is damaged).
    """
    asked = image_details(conn, id)
    held = {each.id: each for each in images_of(conn, asked.key)}
    before = next((each for each in held.values() if each.state == "published"), None)
    target = _target(asked, held, before)
    publication.demand_complete(target, publication.complete_blobs(conn, [target]))
    if before is not None:
        conn.execute(
            update(image)
            .where(image.c.id == before.id)
            .values(state="kept", retired_at=now, pinned=False, waiting_version=None)
        )
    waiting = before.version if before is not None and before.version > target.version else None
    conn.execute(
        update(image)
        .where(image.c.id == target.id)
        .values(
            state="published",
            published_at=now,
            retired_at=None,
            pinned=True,
            waiting_version=waiting,
        )
    )
    canaries.settle(conn, [target.id])
    _changed(conn, target.id, now)
    generation = generations.generation_now(conn, now)
    return RolledBack(image_details(conn, target.id), before, generation)


def _target(
    asked: StoredImage, held: Mapping[int, StoredImage], published: StoredImage | None
) -> StoredImage:
    if asked.state == "kept":
        return asked
    if asked.state != "published" or published is None:
        raise _not_published(asked)
    settled = next((each for each in held.values() if each.state == "kept" and each.settled), None)
    if settled is not None:  # all racks go there at once: not to what only canaries ever held
        return settled
    versions = [HeldVersion(each.id, each.version, each.state) for each in held.values()]
    found = previous(versions, HeldVersion(asked.id, asked.version, asked.state))
    if found is None:
        raise Conflict(
            f"no version older than {asked.version} is kept",
            object=f"boot-resource {asked.id}",
            code="image-no-older",
            remedy="config set boot_images_versions=2 keeps one from the next update on; "
            "boot-resources read lists what is kept",
        )
    return held[found.id]


def note_waiting(conn: Connection, waiting: Mapping[int, str], now: float) -> None:
    """Keep which version an import would publish in place of each pinned one, by its id."""
    rows = conn.execute(select(image.c.id, image.c.waiting_version).where(image.c.pinned)).all()
    for row in rows:
        if row.waiting_version != waiting.get(row.id):
            conn.execute(
                update(image)
                .where(image.c.id == row.id)
                .values(waiting_version=waiting.get(row.id))
            )
            changes.record(conn, "image", str(row.id), now)


def _changed(conn: Connection, id: int, now: float) -> None:
    """The next import, of whatever region, has to look at everything."""
    revisions.count_revision(conn)
    changes.record(conn, "image", str(id), now)


def _not_published(found: StoredImage) -> Conflict:
    name = f"boot-resource {found.id}"
    if found.state == "retired":
        return Conflict(
            "is not held any more",
            object=name,
            code="image-retired",
            remedy="boot-resources read lists those that are",
        )
    return Conflict(
        f"{found.name} {found.architecture} {found.version} is {found.state}, not published",
        object=name,
        code="image-not-published",
        remedy=_REMEDIES[found.state],
    )
