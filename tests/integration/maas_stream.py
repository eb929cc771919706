"""A boot source like MAAS's own: releases old and new, their kernels, bootloaders.

Small, but of MAAS's form: product names, tags, paths; a clear-signed index and one product
file each for images and bootloaders.
"""

from pathlib import Path
from typing import Any

from tests.doubles.stream_documents import INDEX_PATH, index, item, items, product, product_file
from tests.doubles.stream_documents import text as as_text
from tests.integration.sources import SigningKey

# release: (version, title, the GA kernel, the HWE kernel)
RELEASES = {
    "precise": ("12.04", "12.04 LTS", "hwe-p", "hwe-t"),
    "trusty": ("14.04", "14.04 LTS", "hwe-t", "hwe-x"),
    "xenial": ("16.04", "16.04 LTS", "ga-16.04", "hwe-16.04"),
    "jammy": ("22.04", "22.04 LTS", "ga-22.04", "hwe-22.04"),
}
BOOTLOADERS = (
    ("uefi", "grub-efi-signed", "amd64", "shim-signed"),
    ("pxe", "pxelinux", "i386", "syslinux"),
)
VERSION = "20181203"
IMAGES, LOADERS = "com.ubuntu.maas:daily:v3:download", "com.ubuntu.maas:daily:1:bootloader-download"


def write_stream(tree: Path, key: SigningKey) -> None:
    """Write the whole source, signed, to a directory that a web server offers."""
    paths = {}
    for content_id, products in ((IMAGES, _images()), (LOADERS, _bootloaders())):
        paths[content_id] = f"streams/v1/{content_id}.sjson"
        document = product_file(*products, content_id=content_id)
        _write(tree / paths[content_id], key.signed(as_text(document)))
        for made in products:
            _write_files(tree, made)
    _write(tree / INDEX_PATH, key.signed(as_text(index(paths))))


def _images() -> list[dict[str, Any]]:
    return [
        product(
            name=f"com.ubuntu.maas.daily:v3:boot:{version}:amd64:{kernel}:{release}",
            release=release,
            release_title=title,
            version=version,
            subarch=kernel,
            subarches=f"generic,{ga},{kernel}" if kernel == ga else f"generic,{kernel}",
            label="daily",
            versions={VERSION: items(release, "amd64", VERSION, kernel)},
        )
        for release, (version, title, ga, hwe) in RELEASES.items()
        for kernel in (ga, hwe)
    ]


def _bootloaders() -> list[dict[str, Any]]:
    return [
        {
            "name": f"com.ubuntu.maas.daily:1:{os}:{kind}:{arch}",
            "arch": arch,
            "arches": arch,
            "bootloader-type": kind,
            "label": "daily",
            "os": os,
            "versions": {VERSION: {"items": {package: _loader(kind, arch, package)}}},
        }
        for kind, os, arch, package in BOOTLOADERS
    ]


def _loader(kind: str, arch: str, package: str) -> dict[str, Any]:
    path = f"bootloaders/{kind}/{arch}/{VERSION}/{package}"
    return item("bootloader", path, f"bootloader {path}".encode())


def _write_files(tree: Path, made: dict[str, Any]) -> None:
    """The files of a product, with the bytes that ``stream_documents`` counted."""
    for version in made["versions"].values():
        for entry in version["items"].values():
            path = entry["path"]
            word = {"boot-kernel": "kernel", "boot-initrd": "initrd"}.get(
                entry["ftype"], entry["ftype"]
            )
            about = path if word == "bootloader" else path.rpartition("/")[0]
            _write(tree / path, f"{word} {about}".encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
