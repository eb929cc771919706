"""Where a source is."""

from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from regiond.sources.locations import SIGNED_INDEX, UNSIGNED_INDEX, SourceLocation


class SourceLocationTests(SynchronousTestCase):
    """``SourceLocation.parse``"""

    def test_forms(self) -> None:
        """With or without slash, or with the path of an index: the same base."""
        table = {
            "http://h": ("http://h/", SIGNED_INDEX),
            "http://h/a/b": ("http://h/a/b/", SIGNED_INDEX),
            " http://h/a//": ("http://h/a/", SIGNED_INDEX),
            "https://h:8443/a/streams/v1/index.sjson": ("https://h:8443/a/", SIGNED_INDEX),
            "http://h/streams/v1/other:1.json": ("http://h/", "streams/v1/other:1.json"),
            "http://[::1]:80/x": ("http://[::1]/x/", SIGNED_INDEX),
            "http://h/a b": ("http://h/a%20b/", SIGNED_INDEX),
        }
        for typed, (base, path) in table.items():
            location = SourceLocation.parse(typed)
            self.assertEqual((location.base, location.index_path), (base, path))

    def test_unsigned(self) -> None:
        """An unsigned source has a plain index by default."""
        location = SourceLocation.parse("http://h", unsigned=True)
        self.assertEqual(location.index_path, UNSIGNED_INDEX)

    def test_credentials(self) -> None:
        """User and password become a header, and stand in no text."""
        location = SourceLocation.parse("http://user:p%40ss@h/a")
        self.assertEqual(location.base, "http://h/a/")
        self.assertEqual(location.authorization, "Basic dXNlcjpwQHNz")
        self.assertNotIn("dXNlcjpwQHNz", repr(location))

    def test_url_of(self) -> None:
        """Paths are joined as text: none can lead to another host."""
        location = SourceLocation.parse("http://h/a")
        self.assertEqual(location.url_of("//evil/x"), "http://h/a///evil/x")

    def test_refused(self) -> None:
        """Anything else than an http or https address is refused, without its password."""
        for typed in (
            "",
            "h/a",
            "ftp://h/",
            "file:///etc/passwd",
            "http://",
            "http://h/?x=1",
            "http://h/#x",
            "http://h:0/",
            "http://h:70000/",
            "http://h:x/",
            "ftp://user:secret@h/",
        ):
            with self.subTest(typed):
                error = self.assertRaises(WrongUsage, SourceLocation.parse, typed)
                self.assertEqual(error.code, "source-url")
                self.assertNotIn("secret", error.line())
