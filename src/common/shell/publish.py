"""``publish-source``: add an image to a signed simplestreams tree.

The tree is one that Rackferry, MAAS and ``sstream-mirror`` can all import from: product
names and tags follow MAAS's. Every document is written twice, signed (``.sjson``) and plain
(``.json``); the plain index names plain product files.

Publishing again is safe at any point. Files come first, then signed documents, then plain
ones: a version that the plain index knows is completely there, anything less is done again.
A version that was published never changes its bytes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

import gnupg

from common.canonical import lined_json
from common.clear_signing import clear_signed
from common.durable import lock_directory, make_directory, write_durably
from common.errors import ConfigError, Conflict, IntegrityError, StorageError, WrongUsage
from common.shell.publication import Publication

_COPY_BYTES = 1 << 20
_INDEX = "streams/v1/index"


def publish_source(
    out: Path,
    parameters: Mapping[str, Any],
    files: Mapping[str, str],
    *,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Add one version of one image to the tree at ``out``; made if it is not there.

    Args:
        out: the tree's directory, to be served as it is.
        parameters: key (fingerprint), os, release, arch, version; perhaps subarch, label
            and gnupg_home.
        files: path by file type.
        now: the date that the documents get.

    Returns:
        What the shell shows: out, content_id, product, version, changed, size_bytes, index.

    Raises:
        WrongUsage: a name, file type or file that cannot be published.
        Conflict: the version exists with other bytes.
        ConfigError: GnuPG cannot sign with that key.
        NoSpace, StorageError: the tree cannot be written.
    """
    publication = Publication.parse(parameters, files)
    signer = _Signer(str(parameters["key"]), parameters.get("gnupg_home"))
    make_directory(out / "streams" / "v1")
    lock = lock_directory(out / "streams")
    try:
        items = _items(publication)
        changed = _publish(out, publication, items, signer, now or datetime.now(UTC))
    finally:
        lock.release()
    return {
        "out": str(out),
        "content_id": publication.content_id,
        "product": publication.product,
        "version": publication.version,
        "changed": changed,
        "size_bytes": sum(item["size"] for item in items.values()),
        "index": f"{_INDEX}.sjson",
    }


def _items(publication: Publication) -> dict[str, dict[str, Any]]:
    """The item of each file, with its size and digest."""
    items: dict[str, dict[str, Any]] = {}
    for ftype, path in sorted(publication.files.items()):
        sha256, size = hashlib.sha256(), 0
        for piece in _pieces(path):
            sha256.update(piece)
            size += len(piece)
        items[ftype] = {
            "ftype": ftype,
            "path": publication.path_of(ftype),
            "sha256": sha256.hexdigest(),
            "size": size,
        }
    return items


def _publish(
    out: Path,
    publication: Publication,
    items: dict[str, dict[str, Any]],
    signer: "_Signer",
    now: datetime,
) -> bool:
    """Write what is not there yet; whether anything was written."""
    stem = f"streams/v1/{publication.content_id}"
    products = _read(out / f"{stem}.json") or _no_products(publication.content_id)
    index = _read(out / f"{_INDEX}.json") or {"format": "index:1.0", "index": {}}
    product = products["products"].setdefault(publication.product, {"versions": {}})
    published = product["versions"].get(publication.version)
    if published is not None and published["items"] != items:
        raise Conflict(
            f"version {publication.version} is published with other files",
            object=publication.product,
            code="publish-version-exists",
            remedy="what was published never changes: give another version",
        )
    missing = [ftype for ftype, item in items.items() if not (out / item["path"]).exists()]
    entry = index["index"].get(publication.content_id, {})
    is_indexed = entry.get("updated") == products.get(
        "updated"
    ) and publication.product in entry.get("products", ())
    is_complete = published is not None and is_indexed
    if is_complete:
        for ftype in missing:
            _copy(publication.files[ftype], out / items[ftype]["path"], items[ftype]["sha256"])
        return bool(missing)
    products["updated"] = index["updated"] = _later(now, products, index)
    product |= publication.tags()
    product["versions"][publication.version] = {"items": items}
    index["index"][publication.content_id] = {
        "datatype": "image-downloads",
        "format": "products:1.0",
        "path": f"{stem}.json",
        "products": sorted(products["products"]),
        "updated": products["updated"],
    }
    signed_index = {
        **index,
        "index": {
            content_id: {**entry, "path": entry["path"].removesuffix(".json") + ".sjson"}
            for content_id, entry in index["index"].items()
        },
    }
    # Signed before anything is written: a key that cannot sign leaves no trace.
    signed = [signer.sign(lined_json(products)), signer.sign(lined_json(signed_index))]
    for ftype, item in items.items():
        _copy(publication.files[ftype], out / item["path"], item["sha256"])
    write_durably(out / f"{stem}.sjson", signed[0])
    write_durably(out / f"{_INDEX}.sjson", signed[1])
    write_durably(out / f"{stem}.json", lined_json(products))
    write_durably(out / f"{_INDEX}.json", lined_json(index))
    return True


def _no_products(content_id: str) -> dict[str, Any]:
    return {
        "content_id": content_id,
        "datatype": "image-downloads",
        "format": "products:1.0",
        "products": {},
    }


def _later(now: datetime, *documents: Mapping[str, Any]) -> str:
    """The date of the new documents: readers refuse one that goes back."""
    dates = [parsedate_to_datetime(old["updated"]) for old in documents if "updated" in old]
    return format_datetime(max([now.astimezone(UTC), *dates]))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        remedy = "repair it, or publish into an empty directory"
        raise StorageError(f"cannot be read: {error}", object=str(path), remedy=remedy) from error
    if not isinstance(document, dict):
        raise StorageError("is no stream document", object=str(path))
    return document


def _copy(source: Path, target: Path, sha256: str) -> None:
    make_directory(target.parent)
    copied = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for piece in _pieces(source):
            copied.update(piece)
            yield piece
        if copied.hexdigest() != sha256:
            raise IntegrityError("changed while it was read", object=str(source))

    write_durably(target, hashed())


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(_COPY_BYTES):
                yield piece
    except OSError as error:
        reason = error.strerror or str(error)
        raise WrongUsage(f"cannot be read: {reason}", object=str(path)) from error


class _Signer:
    """Signs documents with one key, in batch mode."""

    def __init__(self, key: str, gnupg_home: object) -> None:
        self._key = key
        try:
            self._gpg = gnupg.GPG(gnupghome=str(gnupg_home) if gnupg_home else None)
        except ValueError as error:
            raise ConfigError("is not a directory", object=f"gnupg_home={gnupg_home}") from error
        except OSError as error:
            remedy = "install GnuPG (package gnupg or gpg)"
            raise ConfigError("gpg cannot be run", object="gpg", remedy=remedy) from error

    def sign(self, document: bytes) -> bytes:
        """The document clear-signed; raises ``ConfigError``."""
        return clear_signed(
            self._gpg,
            self._key,
            document,
            object=f"key={self._key}",
            code="publish-signing",
            remedy="look at gpg --list-secret-keys, and give gnupg_home= if the key is elsewhere",
        )
