"""A bundle as it was carried here, made of what a source has."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from common.bundles import FORMAT, MANIFEST, BundleFile, BundleSource, Manifest, mirror_path
from common.shell.bundle_files import BundleReader
from regiond.bundle import Read

NAME = "7"
"""What the region that wrote it called the source."""


def listed(files: Mapping[str, bytes], url: str) -> Manifest:
    """The manifest of a bundle of these files (by upstream path) of one source."""
    documents = tuple(path for path in files if path.startswith("streams/"))
    return Manifest(
        FORMAT,
        sources={NAME: BundleSource(url, (), documents)},
        files={
            mirror_path(NAME, path): BundleFile(hashlib.sha256(content).hexdigest(), len(content))
            for path, content in files.items()
        },
    )


def write_bundle(root: Path, files: Mapping[str, bytes], url: str) -> Manifest:
    """Such a bundle in a directory; its manifest."""
    manifest = listed(files, url)
    for path, content in files.items():
        place = root / mirror_path(NAME, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    (root / MANIFEST).write_bytes(manifest.to_document())
    return manifest


def reading(bundle: BundleReader) -> Read:
    """What a region reads of it, without a socket between."""

    async def read(path: str, offset: int, length: int) -> tuple[bytes, int]:
        return bundle.give(path, offset, length)

    return read
