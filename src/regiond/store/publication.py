"""What is published in place of what, and what is retired; each change is a new generation.

Writers carry the fencing token of the import lease, and are ``Stale`` without it.
"""

from collections.abc import Collection, Iterable, Mapping

import attrs
from sqlalchemy import Connection, bindparam, delete, select, update

from common.errors import Conflict, RackferryError, Stale
from common.images import File, Image, ImageKey
from regiond.store import canaries, generations, mirrors
from regiond.store.canaries import IS_HELD
from regiond.store.images import StoredImage, find_images, key_of, pinned_image, unknown_image
from regiond.store.kept import retire_surplus
from regiond.store.sources import BootSource, demand_unchanged, is_unchanged
from regiond.store.tables import blob, image, lease

IMPORT_LEASE = "import"


_PUBLISH = (
    update(image)
    .where(image.c.id == bindparam("of"))
    .values(
        state="published",
        published_at=bindparam("at"),
        document_sha256=bindparam("document"),
        settled=bindparam("settled"),
        due_at=bindparam("due"),
    )
)


@attrs.frozen
class Published:
    """What a publish came to.

    ``refused``: why some of the images, by id, are not in ``generation``: NotFound (no such
    image) or Conflict (code image-incomplete: a file is not complete; image-retired;
    source-changed).
    """

    generation: int
    refused: Mapping[int, RackferryError] = attrs.field(factory=dict)


def publish_images(
    conn: Connection,
    ids: Collection[int],
    epoch: int | None,
    now: float,
    *,
    read: Iterable[BootSource] = (),
) -> Published:
    """Make images visible in place of their older versions: one generation for all of them.

    Each is published whole or not at all: every file it needs must be complete. The older
    version is kept, or retired if that makes more of them than are kept. Publishing twice
    is once.

    Args:
        conn: the transaction.
        ids: which.
        epoch: the import lease's token; None for an admin, who needs no lease.
        now: seconds since the epoch.
        read: the sources that they are of, as they were when they were read; the images of
            one that was changed since are refused (Conflict, code source-changed).

    Raises:
        Stale: the import lease was granted to somebody else.
    """
    if epoch is not None:
        _check_lease(conn, epoch)
    found = find_images(conn, ids)
    refused: dict[int, RackferryError] = {
        each: unknown_image(each) for each in ids if each not in found
    }
    fresh = [each for each in found.values() if each.state != "published"]
    changed = _changed(conn, read)
    pinned = _pinned(conn)
    complete = complete_blobs(conn, fresh)
    documents: dict[int, bytes] = {}
    for each in fresh:
        if each.source_id in changed:
            refused[each.id] = changed[each.source_id]
            continue
        if each.key in pinned:
            refused[each.id] = pinned[each.key]
            continue
        try:
            documents[each.id] = _described(each, complete).to_document()
        except Conflict as error:
            refused[each.id] = error
    if not documents:
        return Published(generations.current_generation(conn)[0], refused)
    names = generations.keep_documents(conn, documents.values())
    _replace(conn, {found[each]: names[content] for each, content in documents.items()}, now)
    retire_surplus(conn, now)
    return Published(generations.generation_now(conn, now), refused)


def _pinned(conn: Connection) -> dict[ImageKey, Conflict]:
    """The images of which a version is pinned, and why no other is published."""
    rows = conn.execute(select(image).where(image.c.state == "published", image.c.pinned))
    return {key_of(row): pinned_image(row.id, row.version) for row in rows}


def _changed(conn: Connection, read: Iterable[BootSource]) -> dict[int, Conflict]:
    """Those that are not any more what they were, and why."""
    changed = {}
    for source in read:
        try:
            demand_unchanged(conn, source)
        except Conflict as error:
            changed[source.id] = error
    return changed


def _replace(conn: Connection, new: Mapping[StoredImage, str], now: float) -> None:
    """Publish images (with the names of their documents) in place of their older versions."""
    keys = {each.key for each in new}
    held = conn.execute(select(image).where((image.c.state == "published") | IS_HELD)).all()
    older = [row for row in held if key_of(row) in keys]
    published = [row.id for row in older if row.state == "published"]
    if published:
        conn.execute(
            update(image).where(image.c.id.in_(published)).values(state="kept", retired_at=now)
        )
    is_settled, due_at = canaries.due_of_new(conn, now)
    if is_settled and older:
        conn.execute(
            update(image)
            .where(image.c.id.in_([row.id for row in older]))
            .values(settled=False, due_at=None)
        )
    conn.execute(
        _PUBLISH,
        [
            {"of": each.id, "at": now, "document": name, "settled": is_settled, "due": due_at}
            for each, name in new.items()
        ],
    )


def retire_images(
    conn: Connection,
    ids: Iterable[int],
    epoch: int | None,
    now: float,
    *,
    stay_mirrored: bool = False,
) -> int:
    """Take images out of what racks are to hold; returns the generation that says so.

    Images that were still being imported are given up, kept versions are let go, pinned ones
    stay. If racks are to hold the same without them there is no new generation.

    Args:
        conn: the transaction.
        ids: which.
        epoch: the import lease's token; None for an admin, who needs no lease.
        now: seconds since the epoch.
        stay_mirrored: mirrors keep them until they show other documents.

    Raises:
        Stale: the import lease was granted to somebody else.
        Conflict: code image-pinned; an admin wants to delete one that is pinned.
    """
    wanted = image.c.id.in_(list(ids))
    pinned = conn.execute(select(image).where(wanted, image.c.pinned)).all()
    if epoch is not None:
        _check_lease(conn, epoch)
    elif pinned:
        raise pinned_image(pinned[0].id, pinned[0].version)
    ids = set(ids) - {row.id for row in pinned}
    wanted = image.c.id.in_(ids)
    gone = conn.execute(select(image).where(wanted, image.c.state == "published")).all()
    # An image goes for all racks at once, also for those that hold another version of it.
    ids |= _held_versions(conn, {key_of(row) for row in gone})
    wanted = image.c.id.in_(ids)
    conn.execute(delete(image).where(wanted, image.c.state == "importing"))
    conn.execute(
        update(image)
        .where(wanted, image.c.state.in_(["published", "kept"]))
        .values(state="retired", retired_at=now)
    )
    if not stay_mirrored:
        mirrors.let_go(conn, ids, {key_of(row) for row in gone}, now)
    return generations.generation_now(conn, now)


def delete_image(conn: Connection, id: int, now: float) -> int:
    """An admin lets an image go, as ``retire_images`` does; the generation that says so.

    Raises:
        NotFound: there is no such image, or not any more: of two who delete it at the same
            time, one does.
        Conflict: code image-pinned.
    """
    found = find_images(conn, [id]).get(id)
    if found is None or found.state == "retired":
        raise unknown_image(id)
    return retire_images(conn, [id], None, now)


def _held_versions(conn: Connection, keys: Collection[ImageKey]) -> set[int]:
    """The versions of these images that some racks hold or wait for."""
    rows = conn.execute(select(image).where(IS_HELD))
    return {row.id for row in rows if key_of(row) in keys}


def show_documents(
    conn: Connection,
    read: Mapping[BootSource, Mapping[str, str]],
    complete: Collection[int],
    epoch: int,
    now: float,
) -> int:
    """Let mirrors show the documents by which an import was made, now that it has ended.

    Args:
        conn: the transaction.
        read: the documents of each source as it was read: path -> SHA-256. A source that
            was changed since shows what it did.
        complete: the sources of which every selected image is held as its documents say.
        epoch: the import lease's token.
        now: seconds since the epoch.

    Returns:
        the generation that says so.

    Raises:
        Stale: the import lease was granted to somebody else.
    """
    _check_lease(conn, epoch)
    for source, documents in read.items():
        if is_unchanged(conn, source):
            mirrors.show(conn, source.id, documents, now, is_complete=source.id in complete)
    mirrors.withdraw(conn, now)
    return generations.generation_now(conn, now)


def _check_lease(conn: Connection, epoch: int) -> None:
    granted = conn.execute(
        select(lease.c.token).where(lease.c.name == IMPORT_LEASE)
    ).scalar_one_or_none()
    if granted != epoch:
        raise Stale(
            "another import has taken over",
            object="import",
            code="import-stale",
            remedy="start the import again",
        )


def complete_blobs(conn: Connection, wanted: Iterable[StoredImage]) -> dict[tuple[str, int], str]:
    """Name and size of those complete blobs that these images need -> their digest lists' names."""
    names = {file.sha256 for each in wanted for file in each.files}
    rows = conn.execute(
        select(blob.c.sha256, blob.c.size_bytes, blob.c.digests_sha256).where(
            blob.c.state == "complete", blob.c.sha256.in_(names)
        )
    )
    return {(row.sha256, row.size_bytes): row.digests_sha256 for row in rows}


def demand_complete(found: StoredImage, complete: Mapping[tuple[str, int], str]) -> None:
    """Refuse an image that lacks a file, given what ``complete_blobs`` says.

    Raises:
        Conflict: code image-incomplete.
    """
    missing = [file.name for file in found.files if (file.sha256, file.size_bytes) not in complete]
    if missing or not found.files:
        raise Conflict(
            f"is not complete: {', '.join(missing) or 'it has no files'}",
            object=f"{found.name} {found.architecture} {found.version}",
            code="image-incomplete",
            remedy="import again",
        )


def _described(found: StoredImage, complete: Mapping[tuple[str, int], str]) -> Image:
    """The image document; every file must be complete, with the size that was promised."""
    if found.state != "importing":
        raise Conflict(
            "was retired meanwhile", object=f"boot-resource {found.id}", code="image-retired"
        )
    demand_complete(found, complete)
    return Image(
        key=found.key,
        version=found.version,
        files=tuple(
            File(
                name=file.name,
                ftype=file.ftype,
                sha256=file.sha256,
                size_bytes=file.size_bytes,
                digests_sha256=complete[file.sha256, file.size_bytes],
                source=file.source_id,
                upstream_path=file.upstream_path,
            )
            for file in found.files
        ),
        kflavor=found.kflavor,
        bootloader_type=found.bootloader_type,
        rolling=found.rolling,
        title=found.title,
        subarches=found.subarches,
    )
