"""What is said of blobs that went bad in the database (pure)."""

from collections.abc import Sequence

import attrs

from common.custom_names import CUSTOM
from common.errors import StorageError
from common.events import Event, Severity
from common.file_types import FILE_TYPES
from common.images import ImageKey

MOST_NAMED = 4


@attrs.frozen
class LostFile:
    """A file of an image that is published or kept, of which not all bytes are held any more.

    ``source_id`` and ``upstream_path`` are None for what somebody uploaded.
    """

    id: int
    key: ImageKey
    version: str
    ftype: str
    sha256: str
    size_bytes: int
    source_id: int | None
    upstream_path: str | None

    @property
    def image(self) -> str:
        """As messages call it."""
        return f"{self.key} {self.version}"


@attrs.frozen
class Uses:
    """What needs a blob: files of images, and documents (in words)."""

    files: Sequence[LostFile] = ()
    documents: Sequence[str] = ()


def about(sha256: str) -> str:
    """How events call a blob."""
    return f"blob {sha256}"


def blob_damaged(sha256: str, fault: str, uses: Uses) -> Event:
    """The event of a blob that went bad; it is over when the blob is complete again."""
    names = [f"{each.image} ({each.ftype})" for each in uses.files] + list(uses.documents)
    more = ", ..." if len(names) > MOST_NAMED else ""
    needed = f" of {', '.join(names[:MOST_NAMED])}{more}" if names else ", which nothing needs,"
    return Event(
        "blob-damaged",
        Severity.ERROR if names else Severity.INFO,
        about(sha256),
        f"the database's copy{needed} went bad: {fault}; nobody is served it",
        _remedy(uses),
    )


def _remedy(uses: Uses) -> str:
    uploads = [each for each in uses.files if each.upstream_path is None]
    if uploads and len(uploads) == len(uses.files):
        return f"send the same file again, which goes on where it broke: {_create(uploads[0])}"
    if uses.files:
        first = uses.files[0]
        return (
            "boot-resources import fetches again what is missing; if its source has it no more, "
            f"boot-resource delete {first.id} lets it go"
        )
    if uses.documents:
        return "boot-resources import fetches it again, or makes it anew"
    return "nothing; look at the disk of the database"


def _create(upload: LostFile) -> str:
    key = upload.key
    name = key.release if key.os == CUSTOM else f"{key.os}/{key.release}"
    words = [word for word, each in FILE_TYPES.items() if each.ftype == upload.ftype]
    filetype = f" filetype={words[0]}" if words else ""
    architecture = f"{key.arch}/{key.subarch}"
    return f"boot-resources create name={name} architecture={architecture}{filetype} content@=FILE"


def being_repaired(sha256: str) -> StorageError:
    """What is told to whoever may have a blob that went bad."""
    return StorageError(
        "the region's copy went bad and is not there again yet",
        object=sha256,
        code="blob-damaged",
        remedy="on the region: rackferry status says what is to be done",
    )
