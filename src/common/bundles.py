"""What a bundle is: images on a disk that is carried to a region without a network (pure).

```
rackferry-bundle.json                 the manifest
mirror/<source>/<upstream path>       a source's signed documents and files, as upstream has them
uploads/<sha256>                      files of uploaded images
```

Each ``mirror/<source>`` is a simplestreams mirror under the source's own signatures. The
manifest is signed by nobody and vouches for nothing: it says which source a directory is of,
and which files are in an earlier bundle. ``<source>`` is a number of the region that wrote it.
"""

import re
from collections.abc import Iterator, Mapping

import attrs

from common.canonical import canonical_json, parse
from common.digests import is_sha256
from common.errors import ProtocolError, RackferryError
from common.images import ImageKey
from common.names import is_document_path, is_mirror_path

MANIFEST = "rackferry-bundle.json"
FORMAT = "rackferry-bundle:1"
MAX_MANIFEST_BYTES = 16 << 20
MAX_FILES = 200_000

_UPLOAD = re.compile(r"uploads/[0-9a-f]{64}")
_SOURCE = re.compile(r"[0-9]{1,19}")


def mirror_path(source: str, path: str) -> str:
    """Where a bundle has a document or a file of a source."""
    return f"mirror/{source}/{path}"


def upload_path(sha256: str) -> str:
    """Where a bundle has a file of an uploaded image."""
    return f"uploads/{sha256}"


def is_bundle_path(path: str) -> bool:
    """Whether something in a bundle may have that path."""
    return path == MANIFEST or _UPLOAD.fullmatch(path) is not None or is_mirror_path(path)


@attrs.frozen
class BundleFile:
    """A file; if it is ``elsewhere`` an earlier bundle has it, and this one does not."""

    sha256: str
    size_bytes: int
    elsewhere: bool = False


@attrs.frozen
class BundleSource:
    """A boot source, as the region that wrote the bundle had it.

    ``fingerprints`` are the keys that signed its documents; none if it was unsigned.
    """

    url: str
    fingerprints: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()


@attrs.frozen
class BundledFile:
    """A file of an image: its name and type there, and its path in the bundle."""

    name: str
    ftype: str
    path: str


@attrs.frozen
class BundleImage:
    """An image in one version. An uploaded one has no source."""

    key: ImageKey
    version: str
    files: tuple[BundledFile, ...]
    source: str | None = None
    title: str = ""
    base_image: str = ""


@attrs.frozen
class Manifest:
    """What a bundle says of itself. ``sources`` by their number there, ``files`` by path."""

    format: str
    sources: Mapping[str, BundleSource] = attrs.field(factory=dict)
    images: tuple[BundleImage, ...] = ()
    files: Mapping[str, BundleFile] = attrs.field(factory=dict)

    @property
    def uploads(self) -> tuple[BundleImage, ...]:
        """The images that were uploaded."""
        return tuple(image for image in self.images if image.source is None)

    @property
    def here(self) -> dict[str, BundleFile]:
        """The files that this bundle has."""
        return {path: file for path, file in self.files.items() if not file.elsewhere}

    @property
    def size_bytes(self) -> int:
        """The size of the files that this bundle has."""
        return sum(file.size_bytes for file in self.here.values())

    def to_document(self) -> bytes:
        """The manifest as it is written."""
        return canonical_json(self)

    @classmethod
    def from_document(cls, document: bytes) -> "Manifest":
        """A manifest, whoever wrote it.

        Raises:
            ProtocolError: code ``bundle-manifest``.
        """
        if len(document) > MAX_MANIFEST_BYTES:
            raise _wrong(f"it has more than {MAX_MANIFEST_BYTES} bytes")
        try:
            manifest = parse(cls, document, "bundle manifest")
        except (RackferryError, RecursionError) as error:
            raise _wrong(str(error)) from error
        for why in _faults(manifest):
            raise _wrong(why)
        return manifest

    def without(self, earlier: "Manifest") -> "Manifest":
        """The same images, less the files that an earlier bundle names. Documents stay."""
        documents = {
            mirror_path(name, path)
            for name, source in self.sources.items()
            for path in source.documents
        }
        held = {file.sha256 for file in earlier.files.values()}
        files = {
            path: attrs.evolve(file, elsewhere=file.sha256 in held and path not in documents)
            for path, file in self.files.items()
        }
        return attrs.evolve(self, files=files)


def _faults(manifest: Manifest) -> Iterator[str]:
    """What is wrong with it, in words."""
    if manifest.format != FORMAT:
        yield f"its format is {manifest.format[:40]!r}, and {FORMAT!r} is understood"
    if len(manifest.files) > MAX_FILES:
        yield f"it names more than {MAX_FILES} files"
    for path, file in manifest.files.items():
        if path == MANIFEST or not is_bundle_path(path):
            yield f"it names the path {path[:200]!r}, which no bundle may have"
        if not is_sha256(file.sha256) or file.size_bytes < 0:
            yield f"{path} has no SHA-256 or size that can be"
    yield from _image_faults(manifest)


def _image_faults(manifest: Manifest) -> Iterator[str]:
    for name, source in manifest.sources.items():
        if not _SOURCE.fullmatch(name) or not all(map(is_document_path, source.documents)):
            yield f"its source {name[:40]!r} has a name or a document that none may have"
    for image in manifest.images:
        if image.source is not None and image.source not in manifest.sources:
            yield f"{image.key} is of a source that it does not name"
        for part in image.files:
            if part.path not in manifest.files:
                yield f"{image.key} has the file {part.path[:200]!r}, which it does not list"


def _wrong(why: str) -> ProtocolError:
    return ProtocolError(
        f"is no bundle's manifest: {why}",
        object=MANIFEST,
        code="bundle-manifest",
        remedy="write the bundle anew: boot-resources export",
    )
