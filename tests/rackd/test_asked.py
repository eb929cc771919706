"""What a machine's request is for, and directories as pages."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import NotFound, RackferryError, WrongUsage
from rackd.asked import Asked, asked, listing
from rackd.records import HeldFile


class PathTests(SynchronousTestCase):
    """What may be asked for."""

    def test_good(self) -> None:
        """Clean paths come through, escaped or not; a trailing slash means a directory."""
        self.assertEqual(asked(b"/images/"), Asked("/images/", ""))
        self.assertEqual(asked(b"/images/a/b+c"), Asked("/images/", "a/b+c"))
        self.assertEqual(asked(b"/images/a/b%2Bc/"), Asked("/images/", "a/b+c/"))
        self.assertEqual(asked(b"/generations/12/a"), Asked("/generations/12/", "a", 12))
        self.assertEqual(asked(b"/generations/0/"), Asked("/generations/0/", "", 0))
        self.assertEqual(asked(b"/mirror/1/a"), Asked("/", "mirror/1/a"))
        for path in (b"/mirror/1/streams/v1/a:b.sjson", b"/mirror/1/streams/v1/a%3Ab.sjson"):
            self.assertEqual(asked(path), Asked("/", "mirror/1/streams/v1/a:b.sjson"))

    def test_bad(self) -> None:
        """Anything that is not clean is refused, however it is written."""
        for path in (
            b"/images/..",
            b"/images/../x",
            b"/images/%2e%2e/x",
            b"/images/a/..%2f..%2fetc/passwd",
            b"/images//etc/passwd",
            b"/images/a//b",
            b"/images/./a",
            b"/images/a\x00b",
            b"/images/a%00b",
            b"/images/a\\b",
            b"/images/\xff",
            b"/images/%ff",
            b"/images/" + b"a/" * 600 + b"a",
            b"/mirror/../etc/passwd",
            b"/mirror/1/..",
            b"/mirror/1//etc/passwd",
            b"/mirror/1/a:b",
        ):
            self.assertRaises(WrongUsage, asked, path)
        for path in (
            b"/",
            b"/image",
            b"/images",
            b"/../images/a",
            b"http://x/images/a",
            b"*",
            b"/mirror",
            b"/generations/",
            b"/generations/1",
            b"/generations/-1/a",
            b"/generations/x/a",
            b"/generations/12345678901234567890/a",
        ):
            self.assertRaises(NotFound, asked, path)

    @given(st.binary(max_size=40))
    def test_any(self, path: bytes) -> None:
        """No bytes whatever lead to a path with an empty or dotted segment."""
        try:
            inner = asked(b"/images/" + path).path
        except RackferryError:
            return
        for segment in inner.removesuffix("/").split("/"):
            self.assertNotIn(segment, {".", ".."})
            self.assertTrue(segment or not inner)


class ListingTests(SynchronousTestCase):
    """Directories as pages."""

    def test_listing(self) -> None:
        """A directory shows its own entries once each; one that is not there is none."""
        files = {path: HeldFile("ab" * 32, 5) for path in ("a/b/x", "a/b/y", "a/c", "d/e")}
        page = listing(files, "/images/", "a/")
        assert page is not None
        self.assertEqual(page.count("<li>"), 3)
        self.assertIn('<a href="b/">b/</a>', page)
        self.assertIn('<a href="c">c</a> 5', page)
        self.assertIsNone(listing(files, "/images/", "a/c/"))
        self.assertIsNone(listing(files, "/images/", "z/"))
        self.assertIsNotNone(listing({}, "/images/", ""))
