"""Manifests of bundles: what is written is read, and nothing else is."""

import json

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.bundles import (
    FORMAT,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    BundledFile,
    BundleFile,
    BundleImage,
    BundleSource,
    Manifest,
    is_bundle_path,
    mirror_path,
    upload_path,
)
from common.errors import ProtocolError
from common.images import ImageKey

DOCUMENT = "streams/v1/index.sjson"
KEY = ImageKey("ubuntu", "amd64", "ga-22.04", "jammy", "stable")
SHA256 = st.binary(min_size=32, max_size=32).map(bytes.hex)
FILES = st.dictionaries(
    st.from_regex(r"mirror/1/[a-z]{1,5}(/[a-z0-9]{1,5}){0,3}", fullmatch=True).filter(
        is_bundle_path
    ),
    st.builds(BundleFile, SHA256, st.integers(0, 1 << 40), st.booleans()),
    min_size=1,
)


def manifest_of(files: dict[str, BundleFile]) -> Manifest:
    path = next(iter(files))
    image = BundleImage(KEY, "20250718", (BundledFile("squashfs", "squashfs", path),), "1")
    document = {mirror_path("1", DOCUMENT): BundleFile("0" * 64, 5)}
    source = BundleSource("http://127.0.0.1/", ("AB",), (DOCUMENT,))
    return Manifest(FORMAT, {"1": source}, (image,), {**files, **document})


class ManifestTests(SynchronousTestCase):
    @given(files=FILES)
    def test_what_is_written_is_read(self, files: dict[str, BundleFile]) -> None:
        """Every manifest comes back as it was, in bytes that never differ."""
        manifest = manifest_of(files)
        document = manifest.to_document()
        self.assertEqual(Manifest.from_document(document), manifest)
        self.assertEqual(Manifest.from_document(document).to_document(), document)

    @given(files=FILES, earlier=FILES)
    def test_incremental(
        self, files: dict[str, BundleFile], earlier: dict[str, BundleFile]
    ) -> None:
        """All is listed still; elsewhere is what the earlier one names, and no document."""
        manifest, before = manifest_of(files), manifest_of(earlier)
        rest = manifest.without(before)
        self.assertEqual(rest.files.keys(), manifest.files.keys())
        held = {file.sha256 for file in before.files.values()}
        for path, file in rest.files.items():
            is_document = path == mirror_path("1", DOCUMENT)
            self.assertEqual(file.elsewhere, file.sha256 in held and not is_document, path)
        self.assertEqual(rest.size_bytes, sum(file.size_bytes for file in rest.here.values()))

    def wrong(self, **changed: object) -> str:
        fields = json.loads(manifest_of({"mirror/1/a": BundleFile("1" * 64, 1)}).to_document())
        document = json.dumps(fields | changed).encode()
        error = self.assertRaises(ProtocolError, Manifest.from_document, document)
        self.assertEqual((error.code, error.object), ("bundle-manifest", MANIFEST))
        return error.message

    def test_what_cannot_be(self) -> None:
        """Each fault is named."""
        file = {"sha256": "0" * 64, "size_bytes": 1, "elsewhere": False}
        self.assertIn("format", self.wrong(format="rackferry-bundle:2"))
        for path in ("../x", "/etc/passwd", "mirror/1/../x", "mirror/x/y", "uploads/x", MANIFEST):
            self.assertIn("path", self.wrong(files={path: file}), path)
        self.assertIn("SHA-256", self.wrong(files={"mirror/1/a": file | {"sha256": "x"}}))
        self.assertIn("size", self.wrong(files={"mirror/1/a": file | {"size_bytes": -1}}))
        self.assertIn("source", self.wrong(sources={}))
        source = {"url": "http://x/", "fingerprints": [], "documents": ["../x"]}
        self.assertIn("document", self.wrong(sources={"1": source}))
        self.assertIn("does not list", self.wrong(files={}))
        self.assertIn("manifest", self.wrong(images=[1]))

    def test_documents_that_are_none(self) -> None:
        """Not JSON, not an object, nested too deep, or too large."""
        for document in (
            b"",
            b"[]",
            b"{}",
            b"\xff",
            b"[" * 99_999,
            b" " * (MAX_MANIFEST_BYTES + 1),
        ):
            error = self.assertRaises(ProtocolError, Manifest.from_document, document)
            self.assertEqual(error.code, "bundle-manifest")

    def test_uploads_have_no_source(self) -> None:
        """They are told from what upstream signed."""
        manifest = manifest_of({"mirror/1/a": BundleFile("1" * 64, 1)})
        self.assertEqual(manifest.uploads, ())
        upload = BundleImage(KEY, "20250718", (BundledFile("root-tgz", "root-tgz", "mirror/1/a"),))
        self.assertEqual(attrs.evolve(manifest, images=(upload,)).uploads, (upload,))

    def test_paths(self) -> None:
        """Those of documents, files, uploads and the manifest; no other."""
        for path in (MANIFEST, mirror_path("1", DOCUMENT), upload_path("0" * 64)):
            self.assertTrue(is_bundle_path(path))
        for path in ("", ".", "x", "mirror/1/", "mirror/1/streams/x", f"uploads/{'0' * 63}"):
            self.assertFalse(is_bundle_path(path), path)
