from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.digests import sha256_hex
from common.errors import ProtocolError
from common.images import File, Image, ImageKey, SourceDocument, View, ViewImage

KEY = ImageKey("ubuntu", "amd64", "ga-22.04", "jammy", "stable")
FILE = File("boot-kernel", "boot-kernel", "a" * 64, 5, "b" * 64, 1, "jammy/boot-kernel")
IMAGE = Image(KEY, "20250718", (FILE,), kflavor="generic", subarches=("generic", "hwe-p"))

segments = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._~+-]{0,20}", fullmatch=True)


class ImageKeyTests(SynchronousTestCase):
    @given(st.tuples(segments, segments, segments, segments, segments))
    def test_text_and_back(self, parts: tuple[str, str, str, str, str]) -> None:
        """A key written as a path reads back as the same key."""
        key = ImageKey(*parts)
        self.assertEqual(ImageKey.parse(str(key)), key)

    def test_cannot_leave_the_tree(self) -> None:
        """No part of a key can name a directory outside the tree."""
        for part in ("..", ".", "", "a/b", "-x", "a\0b", "a b", "..."):
            with self.assertRaises(ValueError):
                ImageKey(part, "amd64", "generic", "jammy", "stable")


class ImageTests(SynchronousTestCase):
    def test_document_and_back(self) -> None:
        """An image document holds all of the image."""
        self.assertEqual(Image.from_document(IMAGE.to_document()), IMAGE)

    def test_document_is_canonical(self) -> None:
        """The same image always has the same name."""
        again = Image.from_document(IMAGE.to_document()).to_document()
        self.assertEqual(sha256_hex(again), sha256_hex(IMAGE.to_document()))
        again.decode("ascii")

    def test_unknown_keys_are_ignored(self) -> None:
        """A newer region may say more; an older rack still understands the rest."""
        document = IMAGE.to_document().replace(b'{"boot', b'{"added":1,"boot', 1)
        self.assertEqual(Image.from_document(document), IMAGE)

    def test_bad_documents_are_refused(self) -> None:
        """Wrong types, bad names and non-JSON give one ProtocolError, nothing else."""
        good = IMAGE.to_document()
        for bad in (
            b"",
            b"[]",
            b"{",
            b"\xff",
            b"[" * 100_000,
            good.replace(b'"size_bytes":5', b'"size_bytes":"5"'),
            good.replace(b'"size_bytes":5', b'"size_bytes":-5'),
            good.replace(b'"size_bytes":5', b'"size_bytes":true'),
            good.replace(b'"name":"boot-kernel"', b'"name":"../boot-kernel"'),
            good.replace(b"a" * 64, b"a" * 63),
            good.replace(b'"version":"20250718"', b'"version":20250718'),
        ):
            self.assertNotEqual(bad, good)
            with self.assertRaises(ProtocolError, msg=bad[:80]):
                Image.from_document(bad)

    def test_size_is_the_sum_of_its_files(self) -> None:
        """The size of an image is the size of all its files."""
        self.assertEqual(IMAGE.size_bytes, 5)


class ViewTests(SynchronousTestCase):
    def test_document_and_back(self) -> None:
        """A view document holds all of the view, and the digest names the document."""
        view = View(3, {str(KEY): ViewImage("1", "c" * 64)})
        self.assertEqual(View.from_document(view.to_document()), view)
        self.assertEqual(view.digest, sha256_hex(view.to_document()))

    def test_order_does_not_matter(self) -> None:
        """Two views with the same images have the same digest, however they were built."""
        one, two = ViewImage("1", "c" * 64), ViewImage("2", "d" * 64)
        other = str(ImageKey("centos", "amd64", "generic", "8", "stable"))
        self.assertEqual(
            View(1, {str(KEY): one, other: two}).digest,
            View(1, {other: two, str(KEY): one}).digest,
        )

    def test_bad_keys_are_refused(self) -> None:
        """A view cannot name a place outside the tree."""
        for key in ("a/b/c", "a/b/c/../e", "/a/b/c/d", "a/b/c/d/e/f"):
            view = View(1, {key: ViewImage("1", "c" * 64)})
            with self.assertRaises(ProtocolError, msg=key):
                View.from_document(view.to_document())

    def test_a_view_without_a_mirror_says_nothing_of_mirrors(self) -> None:
        """Views of regions that know no mirrors keep their names, and are still read."""
        old = b'{"generation":3,"images":{}}'
        self.assertEqual(View.from_document(old), View(3))
        self.assertEqual(View(3).to_document(), old)

    def test_what_mirrors_show_survives_the_document(self) -> None:
        """Documents by source and path, and the superseded images."""
        document = SourceDocument("a" * 64, 5, "b" * 64)
        view = View(3, {}, {"1": {"streams/v1/index.sjson": document}}, ("c" * 64,))
        self.assertEqual(View.from_document(view.to_document()), view)

    def test_a_mirror_without_names_is_refused(self) -> None:
        """Whatever stands for bytes is a SHA-256."""
        document = b'{"sha256":"x","size_bytes":1,"digests_sha256":"x"}'
        for mirror in (b'"mirror_only":["x"]', b'"documents":{"1":{"a":' + document + b"}}"):
            view = b'{"generation":3,' + mirror + b"}"
            self.assertRaises(ProtocolError, View.from_document, view)
