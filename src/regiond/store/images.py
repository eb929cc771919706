"""Images: which files each needs, how much of them is here, and what became of it.

An image is *importing* from the moment it is staged, *published* when every file it needs is
complete (``publication``), *kept* when a newer version took its place and older ones are kept
(``kept``), *retired* when they are too many or nobody wants it any more.
Its ``image_file`` rows are what keeps its blobs from being garbage; they go with the image.
"""

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Any

import attrs
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    delete,
    exists,
    func,
    or_,
    select,
)

from common.errors import Conflict, NotFound
from common.images import ImageKey
from regiond.restrictions import may_hold
from regiond.store.tables import blob, image, image_file, mirror_document
from regiond.stream_tags import StreamTags

# How long a rack that is still fetching the previous generation may ask for its bytes.
GRACE_S = 2 * 3600.0


@attrs.frozen(order=True)
class NeededFile:
    """A file that an image needs."""

    name: str
    ftype: str
    sha256: str
    size_bytes: int
    source_id: int | None = None
    upstream_path: str | None = None


@attrs.frozen
class NewImage:
    """An image to be imported."""

    key: ImageKey
    version: str
    files: Sequence[NeededFile]
    source_id: int | None = None
    type: str = "synced"
    kflavor: str | None = None
    bootloader_type: str | None = None
    rolling: bool = False
    title: str = ""
    subarches: Sequence[str] = ()
    stream_tags: StreamTags = attrs.field(factory=StreamTags, hash=False)
    base_image: str | None = None


@attrs.frozen
class StoredImage:
    """An image as it is kept. ``complete_bytes`` counts what is here of all its files.

    A ``settled`` one is held by all racks, or by those that are no canaries; one that is due
    (``due_at``) is to be held by these from then on. Of a ``pinned`` one, ``waiting_version`` is what an import would publish in its place, as
    the last import saw it.
    """

    id: int
    key: ImageKey
    version: str
    state: str
    type: str
    source_id: int | None
    kflavor: str | None
    bootloader_type: str | None
    rolling: bool
    title: str
    subarches: tuple[str, ...]
    document_sha256: str | None
    created_at: float
    published_at: float | None
    retired_at: float | None
    files: tuple[NeededFile, ...]
    complete_bytes: int
    base_image: str | None = None
    pinned: bool = False
    waiting_version: str | None = None
    settled: bool = True
    due_at: float | None = None
    stream_tags: StreamTags = attrs.field(factory=StreamTags, hash=False)

    @property
    def size_bytes(self) -> int:
        """The size of all its files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def name(self) -> str:
        """os/release, as people know it."""
        return f"{self.key.os}/{self.key.release}"

    @property
    def architecture(self) -> str:
        """arch/subarch, as people know it."""
        return f"{self.key.arch}/{self.key.subarch}"


IS_SUPERSEDED = (
    image.c.state.in_(["kept", "retired"])
    & image.c.mirrored
    & exists().where(
        mirror_document.c.source_id == image.c.source_id, mirror_document.c.retired_at.is_(None)
    )
)
"""The condition that a version is replaced, and documents that mirrors show still name it."""


def is_key(key: ImageKey) -> ColumnElement[bool]:
    """The condition that a row of ``image`` is of that key."""
    return (
        (image.c.os == key.os)
        & (image.c.arch == key.arch)
        & (image.c.subarch == key.subarch)
        & (image.c.release == key.release)
        & (image.c.label == key.label)
    )


KEY_COLUMNS = (image.c.os, image.c.arch, image.c.subarch, image.c.release, image.c.label)


def key_of(row: Row[*tuple[Any, ...]]) -> ImageKey:
    """The key of a row of ``image``."""
    return ImageKey(row.os, row.arch, row.subarch, row.release, row.label)


def stage_images(conn: Connection, new: Iterable[NewImage], now: float) -> list[int]:
    """Begin to import images; from now on their blobs are referenced. Returns their ids.

    An importing image of the same key with the same version and files is simply gone on
    with; another one is given up for the new one.
    """
    others = {each.key: each for each in _select(conn, image.c.state == "importing")}
    ids: list[int] = []
    files: list[dict[str, Any]] = []
    for each in new:
        other = others.get(each.key)
        if other and other.version == each.version and set(other.files) == set(each.files):
            ids.append(other.id)
            continue
        if other:
            conn.execute(delete(image).where(image.c.id == other.id))
        ids.append(_insert(conn, each, now))
        files += [{"image_id": ids[-1], **attrs.asdict(file)} for file in each.files]
    if files:
        conn.execute(image_file.insert(), files)
    return ids


def _insert(conn: Connection, new: NewImage, now: float) -> int:
    """An importing image, as yet without files."""
    fields = attrs.asdict(
        new, filter=lambda field, _: field.name not in {"key", "files", "subarches"}
    )
    columns = {
        **attrs.asdict(new.key),
        **fields,
        "state": "importing",
        "created_at": now,
        "subarches": list(new.subarches),
    }
    (id,) = conn.execute(image.insert(), columns).inserted_primary_key or (0,)  # noqa: A001
    return int(id)


# As keys compare, and several times as fast.
IN_ORDER = attrgetter("key.os", "key.arch", "key.subarch", "key.release", "key.label", "id")


def list_images(
    conn: Connection, states: Iterable[str] = ("importing", "published", "kept")
) -> tuple[StoredImage, ...]:
    """The images in these states, by key; of one key the oldest row first."""
    found = _select(conn, image.c.state.in_(list(states)))
    return tuple(sorted(found, key=IN_ORDER))


def pinned_versions(conn: Connection) -> dict[ImageKey, str]:
    """The version that each pinned image stays at."""
    wanted = image.c.pinned & (image.c.state == "published")
    rows = conn.execute(select(*KEY_COLUMNS, image.c.version).where(wanted))
    return {key_of(row): row.version for row in rows}


def fetchable_images(conn: Connection, key: ImageKey, now: float) -> tuple[StoredImage, ...]:
    """The versions of an image whose files are served: the published one first, then the newest."""
    found = _select(conn, is_key(key) & is_fetchable(now))
    return tuple(sorted(found, key=lambda each: (each.state != "published", -each.id)))


def image_details(conn: Connection, id: int) -> StoredImage:
    """An image, also a retired one.

    Raises:
        NotFound: no such image.
    """
    found = find_images(conn, [id])
    if not found:
        raise unknown_image(id)
    return found[id]


def find_images(conn: Connection, ids: Collection[int]) -> dict[int, StoredImage]:
    """The images with these ids, also retired ones, as far as they are there."""
    return {each.id: each for each in _select(conn, image.c.id.in_(ids))}


def images_of(conn: Connection, key: ImageKey) -> list[StoredImage]:
    """Every version of an image, also retired ones, by id."""
    return _select(conn, is_key(key))


def unknown_image(id: int) -> NotFound:
    """The error that there is no image with that id."""
    return NotFound(
        "there is no such image",
        object=f"boot-resource {id}",
        code="image-unknown",
        remedy="boot-resources read lists them",
    )


def pinned_image(id: int, version: str) -> Conflict:
    """The error that an image is pinned to a version."""
    return Conflict(
        f"is pinned to {version}",
        object=f"boot-resource {id}",
        code="image-pinned",
        remedy=f"boot-resource unpin {id} first",
    )


def forget_retired(conn: Connection, now: float) -> int:
    """Forget images that were retired longer ago than the grace time; returns how many."""
    return conn.execute(delete(image).where(is_spent(now))).rowcount


def is_spent(now: float) -> ColumnElement[bool]:
    """The condition that an image left every view, longer ago than the grace time."""
    return (image.c.state == "retired") & (image.c.retired_at <= now - GRACE_S) & ~IS_SUPERSEDED


def is_fetchable(now: float) -> ColumnElement[bool]:
    """The condition that an image's files are served: it is in a view, or was until just now."""
    return (image.c.state != "importing") & ~is_spent(now)


def is_blob_in_view(
    conn: Connection, sha256: str, restriction: Collection[str] | None, now: float
) -> bool:
    """Whether a rack may have a blob: it is of an image or a document that its view names.

    Or of one that a view named until just now. ``restriction`` is the rack's (None: none).
    """
    of_image = (
        select(image)
        .join(image_file, image_file.c.image_id == image.c.id)
        .where(image_file.c.sha256 == sha256, is_fetchable(now))
    )
    of_document = select(mirror_document.c.source_id).where(
        mirror_document.c.sha256 == sha256,
        or_(mirror_document.c.retired_at.is_(None), mirror_document.c.retired_at > now - GRACE_S),
    )
    words = None if restriction is None else tuple(restriction)
    return (
        any(
            may_hold(words, key_of(row), is_bootloader=row.bootloader_type is not None)
            for row in conn.execute(of_image)
        )
        or conn.execute(of_document.limit(1)).first() is not None
    )


def _select(conn: Connection, condition: ColumnElement[bool]) -> list[StoredImage]:
    """The images that meet a condition, by id: two queries, however many there are."""
    rows = conn.execute(select(image).where(condition).order_by(image.c.id)).all()
    held = (
        select(func.coalesce(func.max(blob.c.held_bytes), 0))
        .where(blob.c.sha256 == image_file.c.sha256, blob.c.state != "dead")
        .scalar_subquery()
    )
    files: dict[int, list[NeededFile]] = {row.id: [] for row in rows}
    complete: dict[int, int] = dict.fromkeys(files, 0)
    for row in conn.execute(
        select(image_file, held.label("held_bytes"))
        .join(image, image.c.id == image_file.c.image_id)
        .where(condition)
        .order_by(image_file.c.name)
    ):
        files[row.image_id].append(
            NeededFile(
                row.name, row.ftype, row.sha256, row.size_bytes, row.source_id, row.upstream_path
            )
        )
        complete[row.image_id] += min(row.held_bytes, row.size_bytes)
    return [_image(row, files[row.id], complete[row.id]) for row in rows]


def _image(row: Row[Any], files: list[NeededFile], complete_bytes: int) -> StoredImage:
    return StoredImage(
        id=row.id,
        key=key_of(row),
        version=row.version,
        state=row.state,
        type=row.type,
        source_id=row.source_id,
        kflavor=row.kflavor,
        bootloader_type=row.bootloader_type,
        rolling=row.rolling,
        title=row.title,
        subarches=tuple(row.subarches),
        document_sha256=row.document_sha256,
        created_at=row.created_at,
        published_at=row.published_at,
        retired_at=row.retired_at,
        files=tuple(files),
        complete_bytes=complete_bytes,
        base_image=row.base_image,
        pinned=row.pinned,
        waiting_version=row.waiting_version,
        settled=row.settled,
        due_at=row.due_at,
        stream_tags=StreamTags(**(row.stream_tags or {})),
    )
