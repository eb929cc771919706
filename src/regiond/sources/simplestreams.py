"""What a simplestreams document says, typed (pure).

Takes the signed text of an index or a product file and nothing else. Two kinds of fault:

* The *document* is wrong (truncated, another format, another content id): it is refused
  as a whole with a ``SourceError`` whose code starts with ``document-``.
* A *product* is wrong (a path that climbs, a size that is text, no sha256): it is left
  out whole and named in ``skipped``, so that no image falls back to an older version
  because its newest one is broken. The rest of the document is used.

Tags inherit as in every client of these streams: top level, product, version, item, the
later wins; only scalars inherit and all become strings. ``path`` never inherits.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import attrs

from common.names import is_document_path, is_item_path
from regiond.sources.aliases import expand_aliases
from regiond.sources.strict_json import fault, parse_json
from regiond.stream_tags import ITEM_TAGS

MAX_ITEMS = 200_000
MAX_ITEM_BYTES = 64 * 1024**3
MAX_NOTICE_LENGTH = 500

NOTIFICATIONS = "notifications"  # the ftype of a release notification

INDEX_FORMAT = "index:1.0"
PRODUCTS_FORMAT = "products:1.0"

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_SHA512 = re.compile(r"[0-9a-fA-F]{128}")


@attrs.frozen
class IndexEntry:
    """One document that an index names. ``updated`` is seconds since the epoch, if said."""

    content_id: str
    path: str
    format: str
    updated: int | None


@attrs.frozen
class Index:
    """An index; entries of other formats than index and products are left out."""

    updated: int | None
    entries: tuple[IndexEntry, ...]


@attrs.frozen
class Item:
    """A file that can be downloaded. Digests are lower-case; ``sha512`` only if given.

    ``tags`` are those of ``stream_tags.ITEM_TAGS`` that it has.
    """

    name: str
    ftype: str
    path: str
    size_bytes: int
    sha256: str
    sha512: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict, hash=False)


@attrs.frozen
class Notice:
    """What a publisher wants to say about a release of MAAS: a release notification."""

    message: str
    maas_version: str


@attrs.frozen
class Version:
    """One version of a product. ``metadata`` are the ftypes of items without a path."""

    name: str
    tags: Mapping[str, str]
    items: tuple[Item, ...]
    metadata: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


@attrs.frozen
class Product:
    """A product and its versions, newest (last in byte order) first."""

    name: str
    versions: tuple[Version, ...]


@attrs.frozen
class Skipped:
    """Something that is not used, and why."""

    product: str
    version: str
    item: str
    reason: str

    def __str__(self) -> str:
        return f"{' '.join(filter(None, (self.product, self.version, self.item)))}: {self.reason}"


@attrs.frozen
class ProductFile:
    """The products of one document that can be used, and what was left out."""

    content_id: str
    updated: int | None
    products: tuple[Product, ...]
    skipped: tuple[Skipped, ...] = ()


class _FaultyProduct(Exception):
    def __init__(self, reason: str, version: str = "", item: str = "") -> None:
        super().__init__(reason)
        self.reason, self.version, self.item = reason, version, item


def parse_index(payload: bytes, path: str) -> Index:
    """The entries of an index.

    Raises:
        SourceError: as ``strict_json.parse_json``; ``document-format`` (not an index),
            ``document-updated`` (no date), ``document-path`` (an entry leads elsewhere).
    """
    document = parse_json(payload, path)
    _demand_format(document, INDEX_FORMAT, path)
    entries = document.get("index")
    if not isinstance(entries, dict):
        raise fault("the index has no 'index' object", "format", path)
    return Index(_updated(document, path), tuple(_index_entries(entries, path)))


def _index_entries(entries: dict[str, Any], path: str) -> Iterator[IndexEntry]:
    for content_id, entry in entries.items():
        if not isinstance(entry, dict):
            raise fault(f"the entry {content_id!r} is not an object", "format", path)
        entry_format = entry.get("format")
        if entry_format not in {INDEX_FORMAT, PRODUCTS_FORMAT}:
            continue
        entry_path = entry.get("path")
        if not isinstance(entry_path, str) or not is_document_path(entry_path):
            reason = f"the entry {content_id!r} has the path {_shown(entry_path)}"
            raise fault(f"{reason}, which no document may have", "path", path)
        yield IndexEntry(content_id, entry_path, entry_format, _updated(entry, path))


def parse_products(payload: bytes, content_id: str, path: str) -> ProductFile:
    """The products of a product file.

    Args:
        payload: the signed text.
        content_id: the key under which the index names this document.
        path: the document's path, for messages.

    Raises:
        SourceError: as ``strict_json.parse_json``; ``document-format``,
            ``document-content-id``, ``document-updated``, ``document-alias``,
            ``document-too-large`` (more than 200,000 items).
    """
    document = parse_json(payload, path)
    _demand_format(document, PRODUCTS_FORMAT, path)
    if document.get("content_id") != content_id:
        found = _shown(document.get("content_id"))
        reason = f"the content_id is {found}, the index says {content_id!r}"
        raise fault(reason, "content-id", path)
    updated = _updated(document, path)
    document = expand_aliases(document, path)
    entries = document.get("products")
    if not isinstance(entries, dict):
        raise fault("the product file has no 'products' object", "format", path)
    products: list[Product] = []
    skipped: list[Skipped] = []
    item_count = 0
    for name, entry in entries.items():
        try:
            product = _product(name, entry, document)
        except _FaultyProduct as faulty:
            skipped.append(Skipped(name, faulty.version, faulty.item, faulty.reason))
            continue
        item_count += sum(len(version.items) for version in product.versions)
        if item_count > MAX_ITEMS:
            raise fault(f"more than {MAX_ITEMS} items", "too-large", path)
        products.append(product)
    return ProductFile(content_id, updated, tuple(products), tuple(skipped))


def _product(name: str, entry: object, document: dict[str, Any]) -> Product:
    if not isinstance(entry, dict):
        raise _FaultyProduct("not an object")
    versions = entry.get("versions")
    if not isinstance(versions, dict):
        raise _FaultyProduct("has no 'versions' object")
    inherited = _scalars(document) | _scalars(entry)
    parsed = (_version(key, versions[key], (entry, document), inherited) for key in versions)
    return Product(name, tuple(sorted(parsed, key=lambda version: version.name, reverse=True)))


def _version(
    name: str, entry: object, above: tuple[dict[str, Any], ...], inherited: Mapping[str, str]
) -> Version:
    if not isinstance(entry, dict) or not isinstance(entry.get("items"), dict):
        raise _FaultyProduct("has no 'items' object", name)
    levels = (entry, *above)
    items: list[Item] = []
    metadata: list[str] = []
    notices: list[Notice] = []
    for item_name, item in entry["items"].items():
        if not isinstance(item, dict):
            raise _FaultyProduct("not an object", name, item_name)
        if "path" not in item:
            metadata.append(str(item.get("ftype", item_name)))
            notices += _notices(item)
            continue
        try:
            items.append(_item(item_name, (item, *levels)))
        except ValueError as error:
            raise _FaultyProduct(str(error), name, item_name) from error
    tags = {**inherited, **_scalars(entry)}
    return Version(name, tags, tuple(items), tuple(metadata), tuple(notices))


def _notices(item: dict[str, Any]) -> Iterator[Notice]:
    """The release notification in an item; one that says nothing is left out."""
    notification = item.get("release_notification")
    if item.get("ftype") != NOTIFICATIONS or not isinstance(notification, dict):
        return
    message = notification.get("message")
    if isinstance(message, str) and (shown := _in_one_line(message)):
        yield Notice(shown, _in_one_line(str(notification.get("maas_version", ""))))


def _in_one_line(text: str) -> str:
    """Text of a publisher for people: printable, on one line, not long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
    return line if len(line) <= MAX_NOTICE_LENGTH else f"{line[: MAX_NOTICE_LENGTH - 3]}..."


def _item(name: str, levels: tuple[dict[str, Any], ...]) -> Item:
    """An item with a path; raises ``ValueError`` with the reason it cannot be used."""
    path = levels[0]["path"]
    if not isinstance(path, str) or not is_item_path(path):
        raise ValueError(f"the path {_shown(path)} is not allowed")
    size = _nearest("size", levels)
    if type(size) is not int or size < 0:
        raise ValueError(f"the size {_shown(size)} is not a whole number of bytes")
    if size > MAX_ITEM_BYTES:
        raise ValueError(f"the size {size} is above {MAX_ITEM_BYTES >> 30} GiB")
    sha256 = _nearest("sha256", levels)
    if sha256 is None:
        raise ValueError("there is no sha256")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError(f"the sha256 {_shown(sha256)} is not 64 hexadecimal digits")
    sha512 = _nearest("sha512", levels)
    if sha512 is not None and not (isinstance(sha512, str) and _SHA512.fullmatch(sha512)):
        raise ValueError(f"the sha512 {_shown(sha512)} is not 128 hexadecimal digits")
    ftype = _nearest("ftype", levels)
    if not isinstance(ftype, str) or not ftype:
        raise ValueError("there is no ftype")
    own = levels[0]
    tags = {tag: own[tag] for tag in ITEM_TAGS if isinstance(own.get(tag), str)}
    return Item(name, ftype, path, size, sha256.lower(), sha512.lower() if sha512 else None, tags)


def _nearest(tag: str, levels: tuple[dict[str, Any], ...]) -> Any:
    """A tag from the item, or else from the version, the product or the top level."""
    for level in levels:
        if tag in level:
            return level[tag]
    return None


def _scalars(level: dict[str, Any]) -> dict[str, str]:
    """The tags of a level that are inherited, as text."""
    return {
        tag: str(value)
        for tag, value in level.items()
        if isinstance(value, str | int | float) and tag != "path"
    }


def _demand_format(document: dict[str, Any], wanted: str, path: str) -> None:
    if document.get("format") != wanted:
        found = _shown(document.get("format"))
        raise fault(f"the format is {found}, expected {wanted!r}", "format", path)


def _updated(level: dict[str, Any], path: str) -> int | None:
    """When a document says it was made: RFC 2822 as seconds since the epoch."""
    text = level.get("updated")
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(str(text))
        if date.tzinfo is None:  # "-0000", or no zone at all: UTC by RFC 2822
            date = date.replace(tzinfo=UTC)
        return int(date.timestamp())
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise fault(f"updated {_shown(text)} is no RFC 2822 date", "updated", path) from error


def _shown(value: object) -> str:
    """A value from a document for a message: quoted, on one line, not long."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
