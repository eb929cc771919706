"""A boot source that machines boot from: the Debian installer and its boot loaders.

Of the form of MAAS's streams: clear-signed, one product file for images and one for
bootloaders, whose packages are ``archive.tar.xz`` items.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from tests.doubles.stream_documents import (
    INDEX_PATH,
    UPDATED,
    index,
    item,
    product,
    product_file,
)
from tests.doubles.stream_documents import text as as_text
from tests.doubles.tarballs import tarball
from tests.integration.sources import SigningKey

IMAGES, LOADERS = "com.example.boot:v3:download", "com.example.boot:1:bootloader-download"
DIRECTORY = "debian/amd64/generic/bookworm/stable"
VERSION = "20230607"
NEXT_VERSION = "20230608"


@attrs.frozen
class Loader:
    """A boot loader's package: ``files`` are the members of its archive, by name."""

    type: str
    os: str
    arch: str
    files: Mapping[str, Path]


def write_boot_stream(
    tree: Path,
    key: SigningKey,
    images: Mapping[str, Path],
    loaders: Sequence[Loader],
    *,
    version: str = VERSION,
) -> None:
    """Write the whole source, signed.

    Args:
        tree: the directory that a web server offers.
        key: signs it.
        images: kernel and initrd by file type.
        loaders: what starts them.
        version: of the images; ``NEXT_VERSION`` to publish once more.
    """
    updated = UPDATED + int(version) - int(VERSION)
    files: dict[str, bytes] = {}
    products = {
        IMAGES: [_image(images, version, files)],
        LOADERS: [_loader(loader, files) for loader in loaders],
    }
    paths = {content_id: f"streams/v1/{content_id}.sjson" for content_id in products}
    for content_id, made in products.items():
        document = product_file(*made, content_id=content_id, updated=updated)
        files[paths[content_id]] = key.signed(as_text(document))
    files[INDEX_PATH] = key.signed(as_text(index(paths, updated)))
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)


def _image(images: Mapping[str, Path], version: str, files: dict[str, bytes]) -> dict[str, Any]:
    entries = {}
    for ftype, original in images.items():
        path = f"debian/bookworm/amd64/{version}/{ftype}"
        files[path] = original.read_bytes()
        entries[ftype] = item(ftype, path, files[path])
    return product(
        name="com.example.boot:v3:debian:bookworm:amd64",
        os="debian",
        release="bookworm",
        release_title="Debian 12 installer",
        subarch="generic",
        subarches="generic",
        version="12",
        versions={version: entries},
    )


def _loader(loader: Loader, files: dict[str, bytes]) -> dict[str, Any]:
    path = f"bootloaders/{loader.type}/{loader.arch}/{VERSION}/{loader.os}.tar.xz"
    members = [(name, original.read_bytes()) for name, original in loader.files.items()]
    files[path] = tarball(*members)
    entry = item("archive.tar.xz", path, files[path])
    return {
        "name": f"com.example.boot:1:{loader.os}:{loader.type}:{loader.arch}",
        "arch": loader.arch,
        "bootloader-type": loader.type,
        "label": "stable",
        "os": loader.os,
        "versions": {VERSION: {"items": {loader.os: entry}}},
    }
