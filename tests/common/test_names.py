from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.names import is_document_path, is_item_path, is_mirror_path, is_segment

ESCAPES = (
    "", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", "/a", "a/...", "a\\b", "a\0b",
    "a\nb", "http://host/x", "//host/x", "file:///x", "a?b", "a#b", "a%2e", "-a", "a/-b", "é",
    "streams/v1/x", ".data/x", "a b", "x" * 1025, "a/" * 600 + "a", "y" * 256,
)  # fmt: skip


class ItemPathTests(SynchronousTestCase):
    def test_real_paths(self) -> None:
        """The paths of the public streams are accepted."""
        for path in (
            "jammy/amd64/20250718/ga-22.04/generic/boot-kernel",
            "centos/centos70/amd64/20240622_01/root-tgz",
            "bootloaders/uefi/amd64/20231004.0/grub2-signed.tar.xz",
            "a~b/c+d/e.f",
        ):
            self.assertTrue(is_item_path(path), path)

    def test_escapes(self) -> None:
        """Nothing that could leave the base, or mean something else in a URL, is accepted."""
        for path in ESCAPES:
            self.assertFalse(is_item_path(path), path)

    @given(st.text(max_size=30))
    def test_whatever_is_accepted_stays_inside(self, path: str) -> None:
        """An accepted path has only plain, non-dot segments, whatever it is made from."""
        if is_item_path(path):
            for segment in path.split("/"):
                self.assertTrue(is_segment(segment))
                self.assertNotIn(segment, {"", ".", "..", "..."})
                self.assertTrue(segment.isascii())


class DocumentPathTests(SynchronousTestCase):
    def test_only_below_streams_v1(self) -> None:
        """A product file lies directly in streams/v1."""
        self.assertTrue(is_document_path("streams/v1/com.ubuntu.maas:stable:v3:download.sjson"))
        self.assertTrue(is_document_path("streams/v1/index.json"))
        for path in ("index.json", "streams/v1/../x.json", "streams/v1/a/b.json",
                     "streams/v1/x.txt", "/streams/v1/x.json", "streams/v1/.json/"):  # fmt: skip
            self.assertFalse(is_document_path(path), path)


class MirrorPathTests(SynchronousTestCase):
    def test_what_stands_in_a_mirror(self) -> None:
        """Items and documents, below the id of their source; nothing else."""
        for path in ("jammy/amd64/squashfs", "streams/v1/a:b.sjson"):
            self.assertTrue(is_mirror_path(f"mirror/1/{path}"), path)
            self.assertFalse(is_mirror_path(path), path)
            self.assertFalse(is_mirror_path(f"mirror/one/{path}"), path)
        for path in (*ESCAPES, f"streams/v1/{'x' * 250}.sjson"):
            self.assertFalse(is_mirror_path(f"mirror/1/{path}"), path)
