"""Everything in a stream that is refused, at which level, and that the rest stays.

An item that cannot be used costs its product, a product itself, a document itself; only
what is wrong with the index costs the whole source.
"""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from common.errors import SourceError
from regiond.sources import simplestreams
from regiond.sources.catalogue import catalogue
from regiond.sources.simplestreams import ProductFile, parse_index, parse_products
from tests.doubles.gpg_keys import signed
from tests.doubles.stream_documents import (
    INDEX_PATH,
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
from tests.regiond.sources.test_documents import DAY, SourceCase
from tests.regiond.sources.test_strict_json import FAULTS

# What is wrong with an item (None: the key is missing).
ITEMS: dict[str, dict[str, object]] = {
    "path: climbs": {"path": "a/../../etc/passwd"},
    "path: climbs at its end": {"path": "a/.."},
    "path: dot segment": {"path": "a/./kernel"},
    "path: three dots": {"path": "a/.../kernel"},
    "path: empty segment": {"path": "a//kernel"},
    "path: empty": {"path": ""},
    "path: a directory": {"path": "a/kernel/"},
    "path: absolute": {"path": "/a/kernel"},
    "path: another host": {"path": "//host/kernel"},
    "path: URL": {"path": "http://host/kernel"},
    "path: file URL": {"path": "file:///etc/passwd"},
    "path: query": {"path": "a/kernel?x"},
    "path: fragment": {"path": "a/kernel#x"},
    "path: escape": {"path": "a/%2e%2e/kernel"},
    "path: blank": {"path": "a/ker nel"},
    "path: control character": {"path": "a/ker\nnel"},
    "path: NUL": {"path": "a/ker\0nel"},
    "path: backslash": {"path": "a\\kernel"},
    "path: non-ASCII": {"path": "a/kernül"},
    "path: option": {"path": "-a/kernel"},
    "path: option further down": {"path": "a/-kernel"},
    "path: among the documents": {"path": "streams/v1/index.json"},
    "path: a mirror's state": {"path": ".data/x"},
    "path: above 1024 bytes": {"path": "a/" * 600 + "kernel"},
    "path: a long segment": {"path": "a" * 256},
    "path: number": {"path": 5},
    "path: list": {"path": ["a"]},
    "size: text": {"size": "6"},
    "size: float": {"size": 6.0},
    "size: bool": {"size": True},
    "size: list": {"size": [6]},
    "size: negative": {"size": -1},
    "size: missing": {"size": None},
    "size: above any": {"size": 2**40},
    "sha256: missing": {"sha256": None},
    "sha256: only md5": {"sha256": None, "md5": "d41d8cd98f00b204e9800998ecf8427e"},
    "sha256: short": {"sha256": "abc"},
    "sha256: number": {"sha256": 5},
    "sha256: not hexadecimal": {"sha256": "g" * 64},
    "sha512: short": {"sha512": "a" * 64},
    "ftype: missing": {"ftype": None},
    "ftype: empty": {"ftype": ""},
    "ftype: number": {"ftype": 1},
}
# What a whole product is, instead of a good one.
PRODUCTS: dict[str, object] = {
    "not an object": 5,
    "no versions": {},
    "versions not an object": {"versions": []},
    "version not an object": {"versions": {"1": 5}},
    "items not an object": {"versions": {"1": {"items": []}}},
    "item not an object": {"versions": {"1": {"items": {"k": 5}}}},
}
# What is merely not for us, with a part of what is said.
UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "missing label": (product(arch="s390x", label=""), "label ''"),
    "missing release": (product(arch="s390x", release="", versions={"1": items()}), "release ''"),
    "tag that climbs": (product(label="..", arch="s390x"), "label '..'"),
    "tag with a slash": (product(label="a/b", arch="s390x"), "label 'a/b'"),
    "only unknown ftypes": (
        product(arch="s390x", versions={"1": {"x": item("mystery", "s/x")}}),
        "only mystery",
    ),
    "nothing to download": (product(arch="s390x", versions={"1": {}}), "nothing to download"),
}
PRODUCT_FILES: dict[str, tuple[dict[str, Any], str]] = {
    "an index": (index(), "document-format"),
    "no format": ({"content_id": STABLE, "products": {}}, "document-format"),
    "unknown format": (product_file() | {"format": "products:2.0"}, "document-format"),
    "old stream format": (product_file() | {"format": "stream:1.0"}, "document-format"),
    "no products": ({"format": "products:1.0", "content_id": STABLE}, "document-format"),
    "products not an object": (product_file() | {"products": []}, "document-format"),
    "another content id": (product_file(content_id="other"), "document-content-id"),
    "no content id": ({"format": "products:1.0", "products": {}}, "document-content-id"),
    "null content id": (product_file() | {"content_id": None}, "document-content-id"),
    "no date": (product_file() | {"updated": 1}, "document-updated"),
    "odd aliases": (product_file() | {"_aliases": []}, "document-alias"),
}
INDEXES: dict[str, tuple[dict[str, Any], str]] = {
    "a product file": (product_file(), "document-format"),
    "no format": ({"index": {}}, "document-format"),
    "unknown format": (index() | {"format": "index:2.0"}, "document-format"),
    "no index": ({"format": "index:1.0"}, "document-format"),
    "index not an object": (index() | {"index": []}, "document-format"),
    "entry not an object": (index() | {"index": {"a": 1}}, "document-format"),
    "no date": (index() | {"updated": "yesterday"}, "document-updated"),
    **{
        f"path {path!r}": (index({STABLE: path}), "document-path")
        for path in (
            "/etc/passwd",
            "//host/streams/v1/x.sjson",
            "http://x/y.sjson",
            "streams/v1/../x.json",
            "streams/v1/a/x.json",
            "streams/v1/x.txt",
            "streams/v1/x.json?y",
            "streams/v1/%78.json",
            "a.json",
            "",
        )
    },
}


def parsed(document: dict[str, Any]) -> ProductFile:
    """A product file as it is read."""
    return parse_products(text(document), STABLE, STABLE_PATH)


def with_item(**changes: object) -> dict[str, Any]:
    """A product file whose first product has one item, changed, and whose second is good."""
    entry = item("boot-kernel", "a/kernel", b"kernel") | changes
    kept = {key: value for key, value in entry.items() if value is not None}
    return product_file(
        product(name="bad:v3:x", versions={"1": {"boot-kernel": kept}}),
        product(name="good:v3:x", arch="arm64"),
    )


class ItemTests(SynchronousTestCase):
    """An item costs its product."""

    def test_items(self) -> None:
        """The product is left out whole, with version, item and reason; the others stay."""
        self.assertEqual(len(parsed(with_item()).products), 2)
        for case, changes in ITEMS.items():
            with self.subTest(case):
                read = parsed(with_item(**changes))
                self.assertEqual([each.name for each in read.products], ["good:v3:x"])
                [skipped] = read.skipped
                self.assertEqual(
                    (skipped.product, skipped.version, skipped.item),
                    ("bad:v3:x", "1", "boot-kernel"),
                )
                self.assertIn(case.partition(":")[0], skipped.reason)
                self.assertTrue(str(skipped).isprintable())
                self.assertLess(len(str(skipped)), 200)

    def test_an_older_version(self) -> None:
        """An item of any version does: a product with a fault is not trusted in part."""
        document = product_file(product(versions={"2": items(), "1": {"k": {"path": "../x"}}}))
        self.assertEqual(parsed(document).products, ())


class ProductTests(SynchronousTestCase):
    """A product costs itself."""

    def test_products(self) -> None:
        """What has not the form of a product is left out by name; the others stay."""
        for case, shape in PRODUCTS.items():
            with self.subTest(case):
                document = product_file(product())
                document["products"]["odd"] = shape
                found = catalogue([parsed(document)])
                self.assertEqual([skipped.product for skipped in found.malformed], ["odd"])
                self.assertEqual(len(found.newest), 1)

    def test_unusable(self) -> None:
        """A missing tag, an odd name or unknown file types: left out with the reason."""
        for case, (made, said) in UNUSABLE.items():
            with self.subTest(case):
                document = product_file(product(), {**made, "name": "odd:v3:x"})
                found = catalogue([parsed(document)])
                self.assertEqual(len(found.newest), 1)
                [ignored] = found.ignored
                self.assertEqual((ignored.product, found.malformed), ("odd:v3:x", ()))
                self.assertIn(said, ignored.reason)

    def test_one_path_with_two_contents(self) -> None:
        """All products that claim the path are left out; nothing tells which one is right."""
        for change in ({"size": 1}, {"sha256": "0" * 64}):
            liar = product(subarch="hwe-22.04")
            liar["versions"]["20250718"]["items"]["squashfs"] |= change
            found = catalogue([parsed(product_file(product(), liar, product(arch="arm64")))])
            self.assertEqual([offer.key.arch for offer in found.newest], ["arm64"])
            self.assertEqual(len(found.malformed), 2)


class DocumentTests(SynchronousTestCase):
    """A document is refused as a whole."""

    def test_json(self) -> None:
        """Not JSON, or JSON that two readers could see differently, or too much of it."""
        for case, (payload, code) in FAULTS.items():
            with self.subTest(case):
                for error in (
                    self.assertRaises(SourceError, parse_index, payload, "x"),
                    self.assertRaises(SourceError, parse_products, payload, STABLE, "x"),
                ):
                    self.assertEqual((error.code, error.object), (code, "x"))

    def test_product_files(self) -> None:
        """Each fault of a product file has its code."""
        for case, (document, code) in PRODUCT_FILES.items():
            with self.subTest(case):
                error = self.assertRaises(SourceError, parsed, document)
                self.assertEqual((error.code, error.object), (code, STABLE_PATH))

    def test_indexes(self) -> None:
        """Each fault of an index has its code."""
        for case, (document, code) in INDEXES.items():
            with self.subTest(case):
                error = self.assertRaises(SourceError, parse_index, text(document), INDEX_PATH)
                self.assertEqual((error.code, error.object), (code, INDEX_PATH))

    def test_too_many_items(self) -> None:
        """A document with more items than anyone needs is refused."""
        self.patch(simplestreams, "MAX_ITEMS", 3)
        error = self.assertRaises(SourceError, parsed, product_file(product()))
        self.assertEqual(error.code, "document-too-large")


class SourceTests(SourceCase):
    """What only a whole source shows: signatures, dates, cycles."""

    other = f"streams/v1/{STABLE}2"

    def name(self, path: str, **more: Any) -> None:
        """A signed index that also names this document."""
        document = index({STABLE: STABLE_PATH, f"{STABLE}2": path}, **more)
        self.source.files[INDEX_PATH] = signed(text(document), "ed25519")

    async def test_an_unsigned_product_file_of_a_signed_index(self) -> None:
        """Whatever it is called, it is not parsed; the signed ones stay."""
        second = text(product_file(product(arch="arm64"), content_id=f"{STABLE}2"))
        for suffix in (".json", ".sjson"):
            self.name(self.other + suffix)
            self.source.files[self.other + suffix] = second
            reading = await self.read()
            self.assertEqual([each.code for each in reading.problems], ["signature-missing"])
            self.assertEqual([each.content_id for each in reading.product_files], [STABLE])

    async def test_a_missing_signature_is_not_made_up_by_a_plain_document(self) -> None:
        """Where the .sjson is missing, its .json is not even asked for."""
        plain = INDEX_PATH.replace(".sjson", ".json")
        self.source.files[plain] = text(index())
        del self.source.files[INDEX_PATH]
        self.assertEqual((await self.refusal()).code, "source-http-404")
        self.assertNotIn(plain, self.source.requests)

    async def test_a_document_that_went_back(self) -> None:
        """The newer one that was read before stays in use."""
        stored = await self.stored()
        self.source.publish(product(), product(arch="arm64"), updated=UPDATED - 60)
        reading = await self.read(stored)
        self.assertEqual({each.path: each.to_stored() for each in reading.documents}, stored)
        self.assertTrue(reading.lagging)

    async def test_a_document_from_the_future(self) -> None:
        """More than a day ahead, a product file costs itself, an index the source."""
        later = UPDATED + 2 * DAY
        self.name(self.other + ".sjson")
        second = product_file(content_id=f"{STABLE}2", updated=later)
        self.source.files[self.other + ".sjson"] = signed(text(second), "ed25519")
        reading = await self.read()
        self.assertEqual([each.code for each in reading.problems], ["source-future"])
        self.assertEqual([each.content_id for each in reading.product_files], [STABLE])
        self.name(self.other + ".sjson", updated=later)
        self.assertEqual((await self.refusal()).code, "source-future")

    async def test_indexes_in_a_circle(self) -> None:
        """An index that names itself, or another that names it, is refused."""
        second = "streams/v1/second.sjson"
        for path in (INDEX_PATH, second):
            document = index()
            document["index"]["more"] = {"format": "index:1.0", "path": path}
            self.source.files[INDEX_PATH] = signed(text(document), "ed25519")
            document["index"]["more"] = {"format": "index:1.0", "path": INDEX_PATH}
            self.source.files[second] = signed(text(document), "ed25519")
            self.assertEqual((await self.refusal()).code, "document-index-cycle")

    async def test_indexes_too_deep(self) -> None:
        """Indexes in indexes in indexes in indexes are refused."""
        paths = [INDEX_PATH, *(f"streams/v1/{n}.sjson" for n in range(4))]
        for path, inner in zip(paths, [*paths[1:], None], strict=True):
            document = index()
            if inner:
                document["index"]["more"] = {"format": "index:1.0", "path": inner}
            self.source.files[path] = signed(text(document), "ed25519")
        self.assertEqual((await self.refusal()).code, "document-index-cycle")
