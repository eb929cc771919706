"""What documents say."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import SourceError
from regiond.sources.simplestreams import Index, ProductFile, parse_index, parse_products
from tests.doubles.stream_documents import (
    STABLE,
    STABLE_PATH,
    UPDATED,
    index,
    item,
    items,
    product,
    product_file,
    text,
)


def parsed(document: dict[str, Any]) -> ProductFile:
    """A product file as it is read."""
    return parse_products(text(document), STABLE, STABLE_PATH)


def one_item(**changes: object) -> dict[str, Any]:
    """A product file with one product with one item, changed; None removes a key."""
    entry = item("boot-kernel", "a/kernel", b"kernel") | changes
    kept = {key: value for key, value in entry.items() if value is not None}
    return product_file(product(versions={"1": {"boot-kernel": kept}}))


class ParseIndexTests(SynchronousTestCase):
    """``parse_index``"""

    def read(self, document: dict[str, Any]) -> Index:
        return parse_index(text(document), "streams/v1/index.sjson")

    def test_entries(self) -> None:
        """Entries come with content id, path and date."""
        read = self.read(index())
        self.assertEqual(read.updated, UPDATED)
        [entry] = read.entries
        self.assertEqual(
            (entry.content_id, entry.path, entry.updated), (STABLE, STABLE_PATH, UPDATED)
        )

    def test_other_formats(self) -> None:
        """An entry that is neither index nor products is left out."""
        document = index()
        document["index"] |= {"x": {"format": "stream:1.0", "path": "../x"}, "y": {"path": "y"}}
        self.assertEqual([entry.content_id for entry in self.read(document).entries], [STABLE])

    def test_undated(self) -> None:
        """A stream without dates is read."""
        self.assertIsNone(self.read(index(updated=None)).updated)

    def test_dates(self) -> None:
        """Any zone is understood, none is UTC; what is no date is refused."""
        document = index(updated=None)
        for time in ("04:01:49 -0400", "08:01:49 +0000", "08:01:49 -0000", "08:01:49"):
            date = f"Thu, 24 Jul 2025 {time}"
            self.assertEqual(self.read(document | {"updated": date}).updated, UPDATED)
        for date in (5, "2025-07-24", "", "Thu, 24 Jul 99999999 04:01:49 +0000"):
            error = self.assertRaises(SourceError, self.read, {**document, "updated": date})
            self.assertEqual(error.code, "document-updated")


class ParseProductsTests(SynchronousTestCase):
    """``parse_products``: the document"""

    def test_products(self) -> None:
        """Products come with versions newest first, and items with size and digest."""
        versions = {name: items(version=name) for name in ("20250615", "20250718")}
        read = parsed(product_file(product(versions=versions)))
        [only] = read.products
        self.assertEqual([version.name for version in only.versions], ["20250718", "20250615"])
        squashfs = next(entry for entry in only.versions[0].items if entry.ftype == "squashfs")
        self.assertEqual(squashfs.path, "jammy/amd64/20250718/squashfs")
        self.assertEqual(squashfs.size_bytes, len(b"squashfs jammy/amd64/20250718"))
        self.assertEqual((read.updated, read.skipped), (UPDATED, ()))

    def test_version_order(self) -> None:
        """Versions are ordered by bytes, as for every client of these streams."""
        names = ["20250101", "20250101.1", "20250101.10", "20250101.2", "20250102", "9"]
        shuffled = {name: items(version=name) for name in sorted(names, key=hash)}
        [only] = parsed(product_file(product(versions=shuffled))).products
        self.assertEqual([version.name for version in only.versions], names[::-1])

    def test_aliases(self) -> None:
        """Aliases are merged before tags are read."""
        document = product_file(product(arch="a")) | {
            "_aliases": {"arch": {"a": {"arch": "amd64"}}}
        }
        self.assertEqual(parsed(document).products[0].versions[0].tags["arch"], "amd64")


class InheritanceTests(SynchronousTestCase):
    """Tags of a version, from all levels above it."""

    def test_later_wins(self) -> None:
        """Product tags override those of the document, and version tags those of the product."""
        document = product_file(product(label="product"), label="document", license="l", n=5)
        made = next(iter(document["products"].values()))
        made["flag"] = True
        made["versions"]["20250718"]["label"] = "version"
        tags = parsed(document).products[0].versions[0].tags
        self.assertEqual(
            (tags["label"], tags["license"], tags["n"], tags["flag"]), ("version", "l", "5", "True")
        )

    def test_size_and_digest_inherit(self) -> None:
        """Size and sha256 may stand at the version."""
        document = one_item(size=None, sha256=None)
        version = next(iter(document["products"].values()))["versions"]["1"]
        version |= {"size": 6, "sha256": "a" * 64}
        [read] = parsed(document).products[0].versions[0].items
        self.assertEqual((read.size_bytes, read.sha256), (6, "a" * 64))

    def test_path_never_inherits(self) -> None:
        """An item without a path of its own is metadata, whatever stands above it."""
        document = one_item(path=None)
        next(iter(document["products"].values()))["path"] = "a/kernel"
        [version] = parsed(document).products[0].versions
        self.assertEqual((version.items, version.metadata), ((), ("boot-kernel",)))
        self.assertNotIn("path", version.tags)


class DigestTests(SynchronousTestCase):
    """Digests of items; what is refused stands in test_rejections."""

    def test_upper_case(self) -> None:
        """Digests in upper case mean the same."""
        document = one_item(sha256="AB" * 32, sha512="CD" * 64)
        [read] = parsed(document).products[0].versions[0].items
        self.assertEqual((read.sha256, read.sha512), ("ab" * 32, "cd" * 64))

    @settings(max_examples=100)
    @given(st.binary(max_size=60) | st.text(max_size=60).map(json.dumps).map(str.encode))
    def test_any_bytes(self, payload: bytes) -> None:
        """Whatever arrives is either typed or refused with an expected error."""
        try:
            parse_products(payload, STABLE, STABLE_PATH)
        except SourceError as error:
            self.assertTrue(error.code.startswith("document-"))
