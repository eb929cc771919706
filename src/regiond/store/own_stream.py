"""The region's own stream: its signing key, and the newest of its signed documents.

Both are made once and are the same for every region of this database. The documents are
blobs like any other.
"""

from collections.abc import Collection, Mapping

import attrs
from sqlalchemy import Connection, delete, func, select

from common.images import ImageKey
from regiond.settings_table import STREAM_UPLOADS, all_values
from regiond.store import blob_writing, blobs, garbage, generations, images, settings
from regiond.store.blobs import Blob
from regiond.store.images import StoredImage
from regiond.store.tables import blob, generation, stream_document, stream_key
from regiond.stream_documents import Draft, Written
from regiond.stream_signing import SigningKey

_THE_KEY = 1


@attrs.frozen
class Published:
    """A state of the region.

    Attributes:
        generation: its number; 0: nothing was published yet.
        at: since when, in seconds since the epoch.
        images: those that are shown: what racks hold that are no canaries.
        documents: the documents that there are, by path; perhaps of an earlier state.
    """

    generation: int
    at: float
    images: tuple[StoredImage, ...]
    documents: Mapping[str, Written]


def published(conn: Connection) -> Published:
    """What the documents are to describe, and those that there are."""
    number, _ = generations.current_generation(conn)
    at = conn.execute(
        select(generation.c.created_at).where(generation.c.number == number)
    ).scalar_one_or_none()
    rows = conn.execute(
        select(stream_document)
        .join(blob, blob.c.sha256 == stream_document.c.sha256)
        .where(blob.c.state == "complete")  # one that was damaged is made anew
    )
    held = images.list_images(conn, ("published", "kept"))
    return Published(
        number,
        at or 0.0,
        _shown(conn, tuple(each for each in held if each.settled)),
        {row.path: Written(row.basis_sha256, row.updated) for row in rows},
    )


def fetchable_images(conn: Connection, key: ImageKey, now: float) -> tuple[StoredImage, ...]:
    """The versions of an image whose files are served, as ``images.fetchable_images``."""
    return _shown(conn, images.fetchable_images(conn, key, now))


def _shown(conn: Connection, found: tuple[StoredImage, ...]) -> tuple[StoredImage, ...]:
    """Without uploaded ones, unless the setting says otherwise; the same in every region."""
    with_uploads = all_values(settings.everything(conn))[STREAM_UPLOADS]
    return tuple(each for each in found if with_uploads or each.type != "uploaded")


def keep_documents(
    conn: Connection,
    number: int,
    new: Mapping[str, tuple[Draft, bytes]],
    paths: Collection[str],
    now: float,
) -> bool:
    """Replace documents, all of them at once.

    What was replaced is noted as garbage here: left to the next import, that would not be
    one in which nothing is to be done.

    Args:
        conn: the transaction.
        number: the generation that they describe.
        new: by path, each as it was drafted and as it is served.
        paths: all that there are from now on.
        now: seconds since the epoch.

    Returns:
        whether they were kept: not if there are some of a later generation.
    """
    newest = conn.execute(select(func.max(stream_document.c.generation))).scalar_one_or_none()
    if (newest or 0) > number:
        return False
    conn.execute(
        delete(stream_document).where(
            stream_document.c.path.in_(new) | stream_document.c.path.not_in(paths)
        )
    )
    for path, (draft, content) in new.items():
        conn.execute(
            stream_document.insert().values(
                path=path,
                sha256=blob_writing.keep_whole(conn, content),
                basis_sha256=draft.basis_sha256,
                generation=number,
                updated=draft.updated,
            )
        )
    garbage.mark_unreferenced(conn, now)
    return True


def find_document(conn: Connection, path: str) -> Blob | None:
    """The document at that path."""
    sha256 = conn.execute(
        select(stream_document.c.sha256).where(stream_document.c.path == path)
    ).scalar_one_or_none()
    return None if sha256 is None else blobs.find_complete(conn, sha256)


def signing_key(conn: Connection) -> SigningKey | None:
    """The key that signs the documents, if there is one yet."""
    row = conn.execute(select(stream_key)).one_or_none()
    return None if row is None else SigningKey(row.fingerprint, row.secret, row.public)


def keep_key(conn: Connection, made: SigningKey, now: float) -> SigningKey:
    """Keep a new key; returns the one that signs: that of whoever came first."""
    there = signing_key(conn)
    if there is not None:
        return there
    conn.execute(
        stream_key.insert().values(
            id=_THE_KEY,
            fingerprint=made.fingerprint,
            secret=made.secret,
            public=made.public,
            created_at=now,
        )
    )
    return made
