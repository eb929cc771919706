"""Generations: the published states of the region, and the documents that describe them.

Every change of what racks are to hold is a new generation with a new view, made in the same
transaction as the change itself. Numbers count from 1; 0 means that nothing was published
yet. Writers carry the fencing token of the import lease, and are ``Stale`` without it.
"""

from collections.abc import Collection, Iterable, Mapping

import attrs
from sqlalchemy import Connection, bindparam, delete, select, update

from common.digests import sha256_hex
from common.errors import Conflict, RackferryError, Stale
from common.images import File, Image, ImageKey, View
from regiond.store import canaries, changes, mirrors, rack_views, racks, sources
from regiond.store.canaries import IS_HELD
from regiond.store.images import (
    GRACE_S,
    StoredImage,
    find_images,
    key_of,
    pinned_image,
    unknown_image,
)
from regiond.store.kept import retire_surplus
from regiond.store.rack_views import EVERYBODY
from regiond.store.sources import BootSource, demand_unchanged, is_unchanged
from regiond.store.tables import blob, document, generation, image, lease, rack, rack_view

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
class CurrentViews:
    """The digests of a generation's views: the one of every rack, and those of others."""

    everybody: str
    by_rack: Mapping[str, str] = attrs.field(factory=dict)

    def of(self, rack: str) -> str:
        """The digest of a rack's view; "" before the first generation."""
        return self.by_rack.get(rack, self.everybody)


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
        return Published(current_generation(conn)[0], refused)
    names = _keep_documents(conn, documents.values())
    _replace(conn, {found[each]: names[content] for each, content in documents.items()}, now)
    retire_surplus(conn, now)
    return Published(generation_now(conn, now), refused)


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
    return generation_now(conn, now)


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
    return generation_now(conn, now)


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


def generation_now(conn: Connection, now: float) -> int:
    """The current generation; a new one if any rack is to hold something else by now."""
    number, everybody = current_generation(conn)
    before = rack_views.digests_of(conn, number)
    made = rack_views.views_now(conn, number + 1, before)
    if not number and set(made.values()) == {View(1).to_document()}:
        return 0
    names = _keep_documents(conn, {view for view in made.values() if isinstance(view, bytes)})
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


def _keep_documents(conn: Connection, contents: Collection[bytes]) -> dict[bytes, str]:
    """Keep documents; returns the name of each."""
    names = {content: sha256_hex(content) for content in contents}
    query = select(document.c.sha256).where(document.c.sha256.in_(names.values()))
    known = set(conn.execute(query).scalars())
    new = [{"sha256": n, "content": c} for c, n in names.items() if n not in known]
    if new:
        conn.execute(document.insert(), new)
    return names
