"""A source of many small files: what every request, commit and publish costs beside the bytes.

``publish-source`` signs its documents again with each image; here 500 images come at once.
"""

import json
import os
from email.utils import formatdate
from pathlib import Path
from typing import Any

from common.digests import sha256_hex
from common.shell.publication import Publication
from tests.integration.sources import SigningKey

IMAGES = 500
FTYPES = ("boot-dtb", "boot-initrd", "boot-kernel", "squashfs")
FILE_BYTES = 4096


def publish_small_files(tree: Path, key: SigningKey) -> dict[str, str]:
    """Make the signed source; path -> SHA-256 of each of its 2,000 files."""
    digests: dict[str, str] = {}
    products: dict[str, Any] = {}
    for number in range(IMAGES):
        parameters = {
            "key": key.fingerprint,
            "os": "small",
            "release": f"r{number:03}",
            "arch": "amd64",
            "version": "20260101",
        }
        publication = Publication.parse(parameters, dict.fromkeys(FTYPES, ""))
        items = {}
        for ftype in FTYPES:
            content, path = os.urandom(FILE_BYTES), publication.path_of(ftype)
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
            digests[path] = sha256_hex(content)
            items[ftype] = {
                "ftype": ftype,
                "path": path,
                "size": FILE_BYTES,
                "sha256": digests[path],
            }
        versions = {publication.version: {"items": items}}
        products[publication.product] = publication.tags() | {"versions": versions}
    stem, updated = f"streams/v1/{publication.content_id}.sjson", formatdate()
    entry = {"format": "products:1.0", "path": stem, "updated": updated, "products": [*products]}
    _sign(tree / stem, key, format="products:1.0", updated=updated, products=products,
          content_id=publication.content_id)  # fmt: skip
    _sign(tree / "streams/v1/index.sjson", key, format="index:1.0", updated=updated,
          index={publication.content_id: entry})  # fmt: skip
    return digests


def _sign(path: Path, key: SigningKey, **document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # GnuPG cuts lines of a clear-signed text at about 20,000 characters.
    path.write_bytes(key.signed(json.dumps(document, indent=1).encode()))
