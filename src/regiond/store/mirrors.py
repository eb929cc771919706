"""What mirrors show: a source's documents byte for byte, and the images that these name.

Documents change for mirrors when the import that read them has ended, together with the
images (``publication.show_documents``). Until then an image that was superseded stays with
mirrors, since the documents that they show still name it; of each image at most one.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, select, update

from common.images import ImageKey, SourceDocument
from regiond.sources.readings import FetchedDocument
from regiond.store import blob_writing, blobs, source_documents
from regiond.store.blobs import Blob
from regiond.store.images import GRACE_S, IS_SUPERSEDED, KEY_COLUMNS, is_fetchable, is_key
from regiond.store.sources import BootSource
from regiond.store.tables import blob, boot_source, image, image_file, mirror_document

_SHOWN = mirror_document.c.retired_at.is_(None)


def keep_documents(
    conn: Connection,
    read: BootSource,
    changed: Iterable[FetchedDocument],
    paths: Iterable[str],
    now: float,
) -> None:
    """Keep what was fetched, as it was sent and as it was verified.

    Args:
        conn: in a transaction.
        read: the source as it was when it was read.
        changed: the documents that are not kept yet.
        paths: of all its documents; others are forgotten.
        now: seconds since the epoch.

    Raises:
        Conflict: code ``source-changed``; what was read is not what it is now.
    """
    changed = list(changed)
    source_documents.keep_documents(conn, read, [each.to_stored() for each in changed], paths, now)
    for document in changed:
        if document.raw is not None:
            blob_writing.keep_whole(conn, document.raw)


def shown_documents(conn: Connection) -> dict[str, dict[str, SourceDocument]]:
    """What mirrors show: by source (its id as text), then by path."""
    found: dict[str, dict[str, SourceDocument]] = {}
    for row in conn.execute(
        select(
            mirror_document.c.source_id,
            mirror_document.c.path,
            blob.c.sha256,
            blob.c.size_bytes,
            blob.c.digests_sha256,
        )
        .join(blob, blob.c.sha256 == mirror_document.c.sha256)
        .where(_SHOWN, blob.c.state == "complete")
    ):
        document = SourceDocument(row.sha256, row.size_bytes, row.digests_sha256)
        found.setdefault(str(row.source_id), {})[row.path] = document
    return found


def find_mirrored(conn: Connection, source_id: int, path: str, now: float) -> Blob | None:
    """What a source's mirror shows at an upstream path; None if that is nothing.

    A file of an image that was replaced stays for the grace time, for those who mirror
    by the documents of just before. Where two images claim a path, a published one has it.
    """
    of_source = _SHOWN & (mirror_document.c.source_id == source_id)
    document = conn.execute(
        select(mirror_document.c.sha256).where(of_source, mirror_document.c.path == path)
    ).scalar_one_or_none()
    if document is not None:
        return blobs.find_complete(conn, document)
    file = conn.execute(
        select(image_file.c.sha256)
        .join(image, image.c.id == image_file.c.image_id)
        .where(
            image_file.c.source_id == source_id,
            image_file.c.upstream_path == path,
            is_fetchable(now),
            exists().where(of_source),
        )
        .order_by(image.c.state != "published", *KEY_COLUMNS, image.c.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    return None if file is None else blobs.find_complete(conn, file)


def superseded_images(conn: Connection) -> tuple[Row[Any], ...]:
    """The rows of superseded images that mirrors still need, by the names of their documents."""
    found = conn.execute(select(image).where(IS_SUPERSEDED).order_by(image.c.document_sha256))
    return tuple(found)


def show(
    conn: Connection,
    source_id: int,
    documents: Mapping[str, str],
    now: float,
    *,
    is_complete: bool,
) -> None:
    """Show these documents (path -> SHA-256) of a source from now on.

    If they are others than those shown now, then only when every image of theirs that is
    wanted is published as they say (``is_complete``), or when nothing is shown yet. Until that
    is so, a replaced version may be the one that they name: it stays.
    """
    shown = _shown_paths(conn, source_id)
    if documents != shown:
        if (shown and not is_complete) or not _can_be_shown(conn, source_id, documents):
            return
        _replace(conn, source_id, documents, now)
    of_source = image.c.source_id == source_id
    conn.execute(
        update(image)
        .where(of_source, image.c.state == "published", ~image.c.mirrored)
        .values(mirrored=True)
    )
    if is_complete:
        _take_out(conn, of_source, now)


def withdraw(conn: Connection, now: float) -> None:
    """Show nothing of a source of which no image is held any more."""
    held = select(image.c.source_id).where(
        image.c.state == "published", image.c.source_id.is_not(None)
    )
    conn.execute(
        update(mirror_document)
        .where(_SHOWN, mirror_document.c.source_id.not_in(held))
        .values(retired_at=now)
    )


def withdraw_source(conn: Connection, source_id: int, now: float) -> None:
    """Show nothing of a source any more; racks may fetch what was shown for a grace time."""
    of_source = mirror_document.c.source_id == source_id
    conn.execute(update(mirror_document).where(_SHOWN, of_source).values(retired_at=now))


def let_go(conn: Connection, ids: Collection[int], keys: Iterable[ImageKey], now: float) -> None:
    """These versions leave the mirrors at once, and every version of the images ``keys``."""
    for each in (image.c.id.in_(ids), *map(is_key, keys)):
        _take_out(conn, each, now)


def forget_retired(conn: Connection, now: float) -> int:
    """Forget documents that were replaced longer ago than the grace time; returns how many."""
    return conn.execute(
        delete(mirror_document).where(mirror_document.c.retired_at <= now - GRACE_S)
    ).rowcount


def _shown_paths(conn: Connection, source_id: int) -> dict[str, str]:
    rows = conn.execute(
        select(mirror_document.c.path, mirror_document.c.sha256).where(
            _SHOWN, mirror_document.c.source_id == source_id
        )
    )
    return {row.path: row.sha256 for row in rows}


def _can_be_shown(conn: Connection, source_id: int, documents: Mapping[str, str]) -> bool:
    """Whether there are documents, all their bytes are held, and there is an image, too."""
    is_there = conn.execute(
        select(
            exists().where(boot_source.c.id == source_id)
            & exists().where(image.c.source_id == source_id, image.c.state == "published")
        )
    ).scalar_one()
    wanted = set(documents.values())
    held = conn.execute(
        select(func.count()).where(blob.c.sha256.in_(wanted), blob.c.state == "complete")
    ).scalar_one()
    return bool(is_there) and held == len(wanted) > 0


def _replace(conn: Connection, source_id: int, documents: Mapping[str, str], now: float) -> None:
    of_source = mirror_document.c.source_id == source_id
    conn.execute(update(mirror_document).where(of_source, _SHOWN).values(retired_at=now))
    for path, sha256 in documents.items():
        conn.execute(
            delete(mirror_document).where(
                of_source, mirror_document.c.path == path, mirror_document.c.sha256 == sha256
            )
        )
        conn.execute(mirror_document.insert().values(source_id=source_id, path=path, sha256=sha256))


def _take_out(conn: Connection, of: ColumnElement[bool], now: float) -> None:
    """Superseded images leave the mirrors; racks may fetch them for a grace time."""
    conn.execute(
        update(image)
        .where(of, image.c.state.in_(["kept", "retired"]), image.c.mirrored)
        .values(mirrored=False, retired_at=now)
    )
