"""What a snapshot is called, and what is written inside it (pure).

A snapshot directory is named after the moment it was made and the generation it shows. A
record in it says which view it is and which blob stands at each path, so that a rack knows
what it holds after a restart, without any region, and can tell its own files from others.
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property

import attrs

from common.canonical import canonical_json, parse
from common.digests import is_sha256
from common.errors import ProtocolError
from common.names import is_item_path, is_mirror_path, is_segment

RECORD_NAME = ".rackferry-view"

_NAME = re.compile(r"snapshot-(\d{8}-\d{6})-g(\d{1,19})")
_TIME_FORMAT = "%Y%m%d-%H%M%S"


def snapshot_name(now_s: float, generation: int, taken: Collection[str]) -> str:
    """A free name: UTC to the second, moved on while that name is taken."""
    moment = datetime.fromtimestamp(now_s, UTC)
    while True:
        name = f"snapshot-{moment.strftime(_TIME_FORMAT)}-g{generation}"
        if name not in taken:
            return name
        moment += timedelta(seconds=1)


def snapshot_generation(name: str) -> int | None:
    """The generation that a snapshot shows; None if this is no such name."""
    match = _NAME.fullmatch(name)
    return int(match[2]) if match else None


def snapshot_made_at(name: str) -> float | None:
    """When a snapshot was made, in seconds since the epoch; None if this is no such name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], _TIME_FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


@attrs.frozen
class HeldFile:
    """The blob that stands at a path of the tree."""

    sha256: str
    size_bytes: int


@attrs.frozen
class HeldImage:
    """An image of a snapshot, as people are told about it. ``key`` is ``str(ImageKey)``."""

    key: str
    version: str
    size_bytes: int
    title: str = ""


@attrs.frozen
class KeptImage:
    """An older version that is to be at hand, and stands nowhere; not all of it may be here."""

    key: str
    version: str
    files: tuple[HeldFile, ...]
    title: str = ""

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self.files)


@attrs.frozen
class Record:
    """The whole content of a snapshot.

    Attributes:
        generation: the region's generation.
        view_digest: the SHA-256 of the view that this is, complete.
        images: the images, in the order of their keys.
        files: by path in the tree; hard-linked names are listed one by one.
        links: relative symbolic links in the root, and the path in ``files`` of each.
        archives: what is kept and stands at no path: archives whose members do.
        recipe: names the rules and settings by which the generated files were made.
        skipped: the images of the view that could not be laid out, and why.
        kept: older versions to be at hand; no part of what the snapshot needs.
    """

    generation: int
    view_digest: str
    images: tuple[HeldImage, ...] = ()
    files: Mapping[str, HeldFile] = attrs.field(factory=dict)
    links: Mapping[str, str] = attrs.field(factory=dict)
    archives: tuple[HeldFile, ...] = ()
    recipe: str = ""
    skipped: Mapping[str, str] = attrs.field(factory=dict)
    kept: tuple[KeptImage, ...] = ()

    @cached_property
    def shown(self) -> Mapping[str, HeldFile]:
        """What can be read at each path, links included."""
        return {**self.files, **{name: self.files[path] for name, path in self.links.items()}}

    @property
    def held_files(self) -> tuple[HeldFile, ...]:
        """Everything in the cache that this snapshot needs, some of it more than once."""
        return (*self.files.values(), *self.archives)

    @cached_property
    def blobs(self) -> frozenset[str]:
        """The SHA-256 of everything in the cache that this snapshot needs."""
        return frozenset(file.sha256 for file in self.held_files)

    @property
    def kept_blobs(self) -> frozenset[str]:
        """The SHA-256 of everything that is to be at hand besides."""
        return frozenset(file.sha256 for image in self.kept for file in image.files)

    def paths_of(self, sha256: str) -> list[str]:
        """Where a blob stands."""
        return [path for path, file in self.files.items() if file.sha256 == sha256]

    def to_document(self) -> bytes:
        """What stands in the file ``RECORD_NAME``."""
        return canonical_json(self)

    @classmethod
    def from_document(cls, document: bytes) -> "Record":
        """Raises ``ProtocolError`` for anything that is no record, odd paths included."""
        record = parse(cls, document, "snapshot record")
        for path, file in (
            *record.files.items(),
            *((file.sha256, file) for file in record.archives),
            *((file.sha256, file) for image in record.kept for file in image.files),
        ):
            is_path = is_item_path(path) or is_mirror_path(path)
            if not is_path or not is_sha256(file.sha256) or file.size_bytes < 0:
                raise ProtocolError("not a valid snapshot record", object=path)
        for name, path in record.links.items():
            if not is_segment(name) or name in record.files or path not in record.files:
                raise ProtocolError("not a valid snapshot record", object=name)
        return record
