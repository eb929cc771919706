"""Generations: the published states of the region, and the documents that describe them.

Every change of what racks are to hold is a new generation with a new view, made in the same
transaction as the change itself. Numbers count from 1; 0 means that nothing was published
yet. Writers carry the fencing token of the import lease, and are ``Stale`` without it.
"""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, delete, func, select, update

from common.digests import sha256_hex
from common.errors import Conflict, Stale
from common.images import File, Image, View, ViewImage
from regiond.store import changes, mirrors
from regiond.store.images import GRACE_S, StoredImage, image_details, is_key, key_of
from regiond.store.tables import blob, document, generation, image, lease

IMPORT_LEASE = "import"


def publish_image(conn: Connection, image_id: int, epoch: int, now: float) -> int:
    """Make an image visible in place of its older version; returns the new generation.

    All or nothing: every file it needs must be complete. Publishing twice is once.

    Raises:
        NotFound: no such image.
        Conflict: a file is not complete (code image-incomplete), or it was retired.
        Stale: the import lease was granted to somebody else.
    """
    _check_lease(conn, epoch)
    found = image_details(conn, image_id)
    if found.state == "published":
        return current_generation(conn)[0]
    if found.state != "importing":
        raise Conflict(
            "was retired meanwhile", object=f"boot-resource {image_id}", code="image-retired"
        )
    sha256 = _keep_document(conn, _described(conn, found).to_document())
    conn.execute(
        update(image)
        .where(is_key(found.key), image.c.state == "published")
        .values(state="retired", retired_at=now)
    )
    conn.execute(
        update(image)
        .where(image.c.id == image_id)
        .values(state="published", published_at=now, document_sha256=sha256)
    )
    return _new_generation(conn, now)


def retire_images(
    conn: Connection,
    ids: Iterable[int],
    epoch: int | None,
    now: float,
    *,
    stay_mirrored: bool = False,
) -> int:
    """Take images out of what racks are to hold; returns the generation that says so.

    Images that were still being imported are given up. If racks are to hold the same
    without them there is no new generation.

    Args:
        conn: the transaction.
        ids: which.
        epoch: the import lease's token; None for an admin, who needs no lease.
        now: seconds since the epoch.
        stay_mirrored: mirrors keep them until they show other documents.

    Raises:
        Stale: the import lease was granted to somebody else.
    """
    if epoch is not None:
        _check_lease(conn, epoch)
    wanted = image.c.id.in_(list(ids))
    conn.execute(delete(image).where(wanted, image.c.state == "importing"))
    conn.execute(
        update(image)
        .where(wanted, image.c.state == "published")
        .values(state="retired", retired_at=now)
    )
    if not stay_mirrored:
        rows = conn.execute(select(image).where(wanted)).all()
        mirrors.let_go(conn, {key_of(row) for row in rows}, now)
    return _generation_now(conn, now)


def show_documents(
    conn: Connection,
    read: Mapping[int, Mapping[str, str]],
    complete: Collection[int],
    epoch: int,
    now: float,
) -> int:
    """Let mirrors show the documents by which an import was made, now that it has ended.

    Args:
        conn: the transaction.
        read: the documents of each source: path -> SHA-256.
        complete: the sources of which every selected image is held as its documents say.
        epoch: the import lease's token.
        now: seconds since the epoch.

    Returns:
        the generation that says so.

    Raises:
        Stale: the import lease was granted to somebody else.
    """
    _check_lease(conn, epoch)
    for source_id, documents in read.items():
        mirrors.show(conn, source_id, documents, now, is_complete=source_id in complete)
    mirrors.withdraw(conn, now)
    return _generation_now(conn, now)


def current_generation(conn: Connection) -> tuple[int, str]:
    """(number, digest of the view); (0, "") before the first publish."""
    row = conn.execute(
        select(generation).order_by(generation.c.number.desc()).limit(1)
    ).one_or_none()
    return (0, "") if row is None else (row.number, row.view_sha256)


def view_for(conn: Connection, number: int, rack: str) -> str | None:  # noqa: ARG001 - every rack has the same view for now
    """The digest of a rack's view of a generation; None if that is no longer kept."""
    return conn.execute(
        select(generation.c.view_sha256).where(generation.c.number == number)
    ).scalar_one_or_none()


def current_view(conn: Connection, rack: str) -> tuple[int, str]:
    """(number, digest of the view) of what a rack is to hold now; (0, "") before the first."""
    number, _ = current_generation(conn)
    return number, view_for(conn, number, rack) or ""


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
    return conn.execute(
        delete(document).where(
            document.c.sha256.not_in(select(generation.c.view_sha256)),
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


def _described(conn: Connection, found: StoredImage) -> Image:
    """The image document; every file must be complete, with the size that was promised."""
    complete = {
        row.sha256: row
        for row in conn.execute(
            select(blob.c.sha256, blob.c.size_bytes, blob.c.digests_sha256).where(
                blob.c.state == "complete", blob.c.sha256.in_([f.sha256 for f in found.files])
            )
        )
    }
    missing = [
        file.name
        for file in found.files
        if file.sha256 not in complete or complete[file.sha256].size_bytes != file.size_bytes
    ]
    if missing or not found.files:
        raise Conflict(
            f"is not complete: {', '.join(missing) or 'it has no files'}",
            object=f"{found.name} {found.architecture} {found.version}",
            code="image-incomplete",
            remedy="import again",
        )
    return Image(
        key=found.key,
        version=found.version,
        files=tuple(
            File(
                name=file.name,
                ftype=file.ftype,
                sha256=file.sha256,
                size_bytes=file.size_bytes,
                digests_sha256=complete[file.sha256].digests_sha256,
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


def _view(conn: Connection, number: int) -> View:
    """What racks are to hold now, as generation ``number``."""
    rows = conn.execute(select(image).where(image.c.state == "published"))
    return View(
        number,
        {str(key_of(row)): ViewImage(row.version, row.document_sha256) for row in rows},
        mirrors.shown_documents(conn),
        mirrors.superseded_documents(conn),
    )


def _generation_now(conn: Connection, now: float) -> int:
    """The current generation; a new one if racks are to hold something else by now."""
    number, digest = current_generation(conn)
    view = _view(conn, number)
    is_same = view.digest == digest or view == View(0)
    return number if is_same else _new_generation(conn, now)


def _new_generation(conn: Connection, now: float) -> int:
    highest = conn.execute(select(func.coalesce(func.max(generation.c.number), 0))).scalar_one()
    number = int(highest) + 1
    view = _view(conn, number)
    sha256 = _keep_document(conn, view.to_document())
    conn.execute(generation.insert().values(number=number, view_sha256=sha256, created_at=now))
    changes.record(conn, "generation", str(number), now)
    return number


def _keep_document(conn: Connection, content: bytes) -> str:
    sha256 = sha256_hex(content)
    if read_document(conn, sha256) is None:
        conn.execute(document.insert().values(sha256=sha256, content=content))
    return sha256
