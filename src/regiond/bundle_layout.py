"""What a bundle of this region has where (pure)."""

from collections.abc import Iterable, Mapping, Sequence

import attrs

from common.bundles import (
    FORMAT,
    BundledFile,
    BundleFile,
    BundleImage,
    BundleSource,
    Manifest,
    mirror_path,
    upload_path,
)
from common.images import File, Image, ImageKey, SourceDocument
from common.names import is_document_path
from regiond.restrictions import may_hold

Documents = Mapping[str, Mapping[str, SourceDocument]]


def lay_out(
    images: Iterable[Image],
    documents: Documents,
    sources: Mapping[str, BundleSource],
    words: Sequence[str] | None = None,
    *,
    base_images: Mapping[ImageKey, str] | None = None,
) -> Manifest:
    """The manifest of a bundle.

    Args:
        images: those that racks hold, then those that mirrors need besides.
        documents: what mirrors show: by source (its id as text), then by upstream path.
        sources: the boot sources by id; of each that has an image all documents are in it.
        words: which images, as for a rack that is restricted (None: all).
        base_images: what uploaded images are deployed from, if not from MAAS's default.
    """
    base_images = base_images or {}
    files: dict[str, BundleFile] = {}
    bundled: list[BundleImage] = []
    for image in images:
        is_bootloader = image.bootloader_type is not None
        source = _source_of(image)
        if not may_hold(words, image.key, is_bootloader=is_bootloader):
            continue
        if source is not None and not (source in documents and source in sources):
            continue
        named = {_path(source, file): file for file in image.files}
        if any(files.get(path, _file(file)) != _file(file) for path, file in named.items()):
            continue  # another version has these paths, and came first
        files |= {path: _file(file) for path, file in named.items()}
        bundled.append(
            BundleImage(
                image.key,
                image.version,
                tuple(BundledFile(file.name, file.ftype, path) for path, file in named.items()),
                source,
                image.title,
                base_images.get(image.key, ""),
            )
        )
    used = dict.fromkeys(each.source for each in bundled if each.source is not None)
    for name in used:
        for path, document in documents[name].items():
            files[mirror_path(name, path)] = BundleFile(document.sha256, document.size_bytes)
    return Manifest(
        FORMAT,
        sources={
            name: attrs.evolve(
                sources[name], documents=tuple(filter(is_document_path, documents[name]))
            )
            for name in used
        },
        images=tuple(bundled),
        files=files,
    )


def _source_of(image: Image) -> str | None:
    found = {file.source for file in image.files if file.upstream_path is not None}
    return str(min(filter(None, found))) if found else None


def _path(source: str | None, file: File) -> str:
    if source is None or file.upstream_path is None:
        return upload_path(file.sha256)
    return mirror_path(source, file.upstream_path)


def _file(file: File) -> BundleFile:
    return BundleFile(file.sha256, file.size_bytes)
