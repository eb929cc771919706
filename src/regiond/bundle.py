"""A bundle as a region reads it: a boot source whose bytes the shell gives, piece by piece.

Documents and files are asked for by the paths at which upstream has them, and judged as if
upstream had sent them. The manifest only says in which directory a source is, and what is in
an earlier bundle.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from common.bundles import MANIFEST, MAX_MANIFEST_BYTES, Manifest, mirror_path
from common.commands import BLOB_PIECE_BYTES
from common.errors import (
    NotFound,
    ProtocolError,
    RackferryError,
    SourceError,
    TimedOut,
    TransferError,
)
from common.piecewise import PieceBody
from regiond.import_plan import Place, PlannedImage
from regiond.source_fields import location_of
from regiond.sources.retrieval import Retrieved, Validators
from regiond.sources.strict_json import MAX_DOCUMENT_BYTES
from regiond.store.sources import BootSource

Read = Callable[[str, int, int], Awaitable[tuple[bytes, int]]]
"""A piece of a file: (path, offset, length) -> the bytes, and the file's size."""


class Bundle:
    """A bundle, and what its manifest says.

    Args:
        read: gives its files.
        manifest: as it was read from the same place.
    """

    def __init__(self, read: Read, manifest: Manifest) -> None:
        self._read = read
        self.manifest = manifest

    @classmethod
    async def open(cls, read: Read) -> "Bundle":
        """The bundle that the shell gives.

        Raises:
            ProtocolError: code ``bundle-manifest``.
            NotFound, Refused: the shell does not give it.
        """
        return cls(read, Manifest.from_document(await _whole(read, MANIFEST, MAX_MANIFEST_BYTES)))

    def documents(self, name: str, base: str) -> "BundleDocuments":
        """The documents of the source that is called ``name`` there, whose URL is ``base``."""
        return BundleDocuments(self._read, name, base)

    def origin(self, name: str, path: str, size_bytes: int) -> "BundleOrigin":
        """A file of that source."""
        return self.origin_at(mirror_path(name, path), size_bytes)

    def origin_at(self, path: str, size_bytes: int) -> "BundleOrigin":
        """A file, by its path in the bundle."""
        return BundleOrigin(self._read, self.manifest, path, size_bytes)


class BundledSources:
    """The boot sources of this region that a bundle brings something of.

    Args:
        bundle: the bundle.
        names: how each source, by its id here, is called in the bundle.
    """

    def __init__(self, bundle: Bundle, names: Mapping[int, str]) -> None:
        self._bundle = bundle
        self.names = names

    def has(self, place: Place) -> bool:
        """Whether the bundle, or one before it, has a file of one of these sources."""
        source_id, path = place
        return mirror_path(self.names[source_id], path) in self._bundle.manifest.files

    def documents(self, source: BootSource) -> "BundleDocuments":
        """The source's documents."""
        return self._bundle.documents(self.names[source.id], location_of(source).base)

    def origin(self, source: BootSource, path: str, size_bytes: int) -> "BundleOrigin":
        """A file of the source."""
        return self._bundle.origin(self.names[source.id], path, size_bytes)

    def brings(self, planned: PlannedImage) -> bool:
        """Whether the bundle, or one before it, is to have something of an image.

        If it has not, the image was left out when the bundle was written, and is not missing.
        """
        name = self.names.get(planned.source_id)
        if name is None:
            return False
        listed = self._bundle.manifest.files
        return planned.is_held or any(
            mirror_path(name, file.upstream_path) in listed for file in planned.offer.files
        )


class BundleDocuments:
    """Asks a bundle for documents, as ``Retriever`` asks a server."""

    def __init__(self, read: Read, name: str, base: str) -> None:
        self._read = read
        self._name = name
        self._base = base

    async def get(self, url: str, known: Validators) -> Retrieved:  # noqa: ARG002 - a bundle has none
        """The document that upstream has at ``url``.

        Raises:
            SourceError: codes ``bundle-document-missing`` and ``bundle-unreadable``.
        """
        path = mirror_path(self._name, url.removeprefix(self._base))
        try:
            content = await _whole(self._read, path, MAX_DOCUMENT_BYTES)
        except NotFound as error:
            raise SourceError(
                "is not in the bundle",
                object=path,
                code="bundle-document-missing",
                remedy="write the bundle anew, or say by source=ID which boot source it is of",
            ) from error
        except RackferryError as error:
            raise _unreadable(path, error) from error
        return Retrieved(content, Validators())


class BundleOrigin:
    """A file of a bundle (an ``Origin`` of ``common.fetching``)."""

    def __init__(self, read: Read, manifest: Manifest, path: str, size_bytes: int) -> None:
        self.name = f"the bundle's {path}"
        self._read = read
        self._listed = manifest.files.get(path)
        self._path = path
        self._size_bytes = size_bytes

    async def open(self, offset: int) -> PieceBody:
        """Read the first piece from ``offset`` on; the rest follows when it is wanted.

        Raises:
            NotFound: codes ``bundle-file-missing`` and ``bundle-file-elsewhere``.
            SourceError: codes ``bundle-file-size`` and ``bundle-unreadable``.
            TransferError: the shell does not answer.
        """
        body = PieceBody(self.piece, offset, self._size_bytes, cut=partial(_cut, self.name))
        await body.begin()
        return body

    async def piece(self, offset: int, length: int) -> tuple[bytes, int]:
        """A piece of it, and its size; raises as ``open`` does."""
        try:
            piece, size_bytes = await self._read(self._path, offset, length)
        except NotFound as error:
            if self._listed is not None and self._listed.elsewhere:
                raise NotFound(
                    "is in an earlier bundle, and not in this one",
                    object=self._path,
                    code="bundle-file-elsewhere",
                    remedy="import that one first",
                ) from error
            raise
        except TimedOut as error:
            raise _cut(self.name, error.message) from error
        except TransferError:
            raise
        except RackferryError as error:
            raise _unreadable(self._path, error) from error
        if size_bytes != self._size_bytes:
            raise SourceError(
                f"has {size_bytes} bytes in the bundle, and {self._size_bytes} were signed",
                object=self._path,
                code="bundle-file-size",
                remedy="copy the bundle again",
            )
        if len(piece) != length:
            raise _cut(self.name, f"{len(piece)} bytes in place of {length}")
        return piece, size_bytes


async def _whole(read: Read, path: str, most_bytes: int) -> bytes:
    """A small file of a bundle."""
    content, size_bytes = await read(path, 0, BLOB_PIECE_BYTES)
    parts, held_bytes = [content], len(content)
    while held_bytes < size_bytes <= most_bytes:
        piece, _ = await read(path, held_bytes, BLOB_PIECE_BYTES)
        if not piece:
            break
        parts.append(piece)
        held_bytes += len(piece)
    if held_bytes != size_bytes:
        raise ProtocolError(
            f"has {size_bytes} bytes, of which {held_bytes} could be read, {most_bytes} at most",
            object=path,
            code="bundle-unreadable",
            remedy="copy the bundle again",
        )
    return b"".join(parts)


def _unreadable(path: str, error: RackferryError) -> SourceError:
    return SourceError(
        f"cannot be read: {error.message}",
        object=path,
        code="bundle-unreadable",
        remedy=error.remedy or "copy the bundle again",
    )


def _cut(name: str, reason: str) -> TransferError:
    return TransferError(f"{name} broke off: {reason}", code="transfer-cut")
