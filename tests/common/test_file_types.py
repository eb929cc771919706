"""Files of every type are known by their beginning, and nothing else passes for one."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.errors import WrongUsage
from common.file_types import FILE_TYPES, HEAD_BYTES, check_content, look
from common.images import FTYPES
from tests.doubles.streams import some_bytes


def tar(size_bytes: int = 5000, form: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        member = tarfile.TarInfo("./etc/hostname")
        member.size = size_bytes
        archive.addfile(member, io.BytesIO(some_bytes(size_bytes)))
    return file.getvalue()


RAW = b"\xeb\x63\x90" + some_bytes(3 << 20)
SAMPLES: dict[str, Callable[[], bytes]] = {
    "tgz": lambda: gzip.compress(tar()),
    "tbz": lambda: bz2.compress(tar(2 << 20)),
    "txz": lambda: lzma.compress(tar(), preset=9),
    "ddtgz": lambda: gzip.compress(tar()),
    "ddtar": tar,
    "ddraw": lambda: RAW,
    "ddgz": lambda: gzip.compress(RAW),
    "ddbz2": lambda: bz2.compress(RAW),
    "ddxz": lambda: lzma.compress(RAW, preset=0),
    "ddtbz": lambda: bz2.compress(tar()),
    "ddtxz": lambda: lzma.compress(tar()),
    "self-extracting": lambda: b"#!/bin/sh\nexit 0\n" + RAW,
}


class FileTypeTests(SynchronousTestCase):
    def test_every_type_by_every_content(self) -> None:
        """A file passes as exactly those types that have its form."""
        self.assertEqual(set(SAMPLES), set(FILE_TYPES))
        alike = [{"tgz", "ddtgz"}, {"tbz", "ddtbz"}, {"txz", "ddtxz"}]
        for made, sample in SAMPLES.items():
            head = sample()[:HEAD_BYTES]
            fits = next((group for group in alike if made in group), {made})
            if made == "self-extracting":
                fits = {made, "ddraw"}  # a raw disk may begin with anything
            for filetype in FILE_TYPES:
                if filetype in fits:
                    self.assertIs(check_content(filetype, head, "f"), FILE_TYPES[filetype])
                else:
                    self.assertRaises(WrongUsage, check_content, filetype, head, "f")

    def test_the_error_says_what_it_is_and_what_would_fit(self) -> None:
        """One line, with the file."""
        error = self.assertRaises(WrongUsage, check_content, "tgz", SAMPLES["ddxz"](), "my.img")
        self.assertEqual(error.code, "filetype-content")
        self.assertEqual(
            error.line(),
            "my.img: looks like a raw disk in xz, and filetype=tgz is a tar archive in gzip"
            " (give filetype=ddxz)",
        )
        error = self.assertRaises(WrongUsage, check_content, "tgz", b"QFI\xfb" + RAW, "f")
        self.assertIn("looks like a qcow2 disk", error.message)
        self.assertIn("make a tar archive in gzip", error.remedy)
        error = self.assertRaises(WrongUsage, check_content, "ddraw", SAMPLES["txz"](), "f")
        self.assertEqual(error.remedy, "give filetype=txz or ddtxz")

    def test_no_such_type(self) -> None:
        """All there are are named."""
        error = self.assertRaises(WrongUsage, check_content, "zip", b"x", "f")
        self.assertEqual(error.code, "filetype-unknown")
        self.assertIn("self-extracting", error.remedy)

    def test_old_tar_archives(self) -> None:
        """Each of tar's formats is known."""
        for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            self.assertEqual(look(tar(form=form)), "a tar archive")

    def test_damaged_and_empty(self) -> None:
        """They are called that."""
        self.assertEqual(look(b""), "empty")
        self.assertEqual(look(b"\x1f\x8b" + b"\0" * 600), "damaged gzip")
        self.assertEqual(look(gzip.compress(tar())[:8]), "gzip that holds nothing")
        self.assertEqual(look(b"BZh9" + b"\1" * 600), "damaged bzip2")
        self.assertEqual(look(b"\xfd7zXZ\0" + b"\1" * 600), "damaged xz")
        self.assertEqual(look(gzip.compress(b"")), "gzip that holds nothing")

    @given(st.binary(max_size=2000))
    def test_any_bytes(self, head: bytes) -> None:
        """Whatever it is, it is something."""
        self.assertTrue(look(head))
        for magic in (b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0"):
            self.assertTrue(look(magic + head))

    def test_streams_can_carry_them(self) -> None:
        """Each file type is one of an image's."""
        self.assertLessEqual({each.ftype for each in FILE_TYPES.values()}, FTYPES)
