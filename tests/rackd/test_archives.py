"""Tests of unpacking: what comes out of good archives, and that bad ones are refused whole."""

import errno
import io
import lzma
import tarfile
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.digests import sha256_hex
from common.errors import SourceError, StorageError
from rackd.archives import Caps, Member, unpack
from tests.doubles.images import content
from tests.doubles.tarballs import entry, tarball

LONG = "/".join(["directory-with-a-long-name"] * 6 + ["grubx64.efi"])
SMALL = Caps(members=4, member_bytes=1 << 20, total_bytes=2 << 20, memory_bytes=32 << 20)


class ArchiveCase(SynchronousTestCase):
    """An archive in a file."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "archive"
        self.kept: dict[str, bytes] = {}

    def keep(self, member: Member, parts: Iterator[bytes]) -> None:
        self.kept[member.sha256] = b"".join(parts)

    def unpacked(self, archive: bytes, caps: Caps | None = None) -> dict[str, bytes]:
        """The content at each path."""
        self.path.write_bytes(archive)
        return {
            member.path: self.kept[member.sha256] for member in unpack(self.path, self.keep, caps)
        }

    def refused(self, archive: bytes, *reasons: str, caps: Caps | None = None) -> None:
        self.path.write_bytes(archive)
        error = self.assertRaises(SourceError, unpack, self.path, self.keep, caps)
        self.assertEqual(error.code, "archive-refused")
        for reason in reasons:
            self.assertIn(reason, error.message)
        self.assertEqual(self.kept, {}, "something was written")


class DiskTests(ArchiveCase):
    """What is no fault of the archive."""

    def test_a_disk_that_cannot_give_all(self) -> None:
        """A read that fails is the disk's failure, with the path, and no refusal."""
        self.path.write_bytes(tarball(("a", content(1 << 20))))
        opened = mock.MagicMock()
        opened.__enter__.return_value.read.side_effect = OSError(errno.EIO, "x")
        with mock.patch("rackd.archives.os.fdopen", return_value=opened):
            error = self.assertRaises(StorageError, unpack, self.path, self.keep)
        self.assertEqual(error.object, str(self.path))


class GoodTests(ArchiveCase):
    """What real archives have."""

    def test_members(self) -> None:
        """Files come out with their content; "./", directories and empty files are fine."""
        archive = tarball(
            (entry("./", tarfile.DIRTYPE), b""),
            ("./grubx64.efi", b"grub" * 1000),
            (entry("x86_64/", tarfile.DIRTYPE), b""),
            ("x86_64/empty", b""),
        )
        self.assertEqual(
            self.unpacked(archive), {"grubx64.efi": b"grub" * 1000, "x86_64/empty": b""}
        )

    def test_formats(self) -> None:
        """Long names come through in each of tar's formats, with all the headers they add."""
        for format_ in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
            header = entry(LONG)
            header.mtime = 1.5 if format_ == tarfile.PAX_FORMAT else 1
            self.assertEqual(self.unpacked(tarball((header, b"x"), format=format_)), {LONG: b"x"})

    def test_links_inside(self) -> None:
        """A link inside the archive is the file that it leads to, in whatever order they come."""
        archive = tarball(
            (entry("boot/b.efi", tarfile.SYMTYPE, "../real/a.efi"), b""),
            (entry("c.efi", tarfile.LNKTYPE, "real/a.efi"), b""),
            (entry("d.efi", tarfile.SYMTYPE, "./c.efi"), b""),
            ("real/a.efi", b"grub"),
        )
        paths = ("boot/b.efi", "c.efi", "d.efi", "real/a.efi")
        self.assertEqual(self.unpacked(archive), dict.fromkeys(paths, b"grub"))
        self.assertEqual(len(self.kept), 1)

    def test_streams(self) -> None:
        """Several xz streams with padding between are one archive, as some compressors write."""
        plain = lzma.decompress(tarball(("a", b"a" * 700), ("b", b"b")))
        parts = [lzma.compress(part) for part in (plain[:600], plain[600:])]
        found = self.unpacked(b"\0\0\0\0".join(parts))
        self.assertEqual(found, {"a": b"a" * 700, "b": b"b"})

    def test_same(self) -> None:
        """The same archive gives the same members, sorted, hashed and sized."""
        self.path.write_bytes(tarball(("b", b"12"), ("a", b"1")))
        members = unpack(self.path, self.keep)
        self.assertEqual(
            members, (Member("a", sha256_hex(b"1"), 1), Member("b", sha256_hex(b"12"), 2))
        )
        self.assertEqual(unpack(self.path, self.keep), members)

    @given(
        st.dictionaries(
            st.from_regex(r"([a-z]{1,3}/){0,2}[A-Z]{1,3}", fullmatch=True),
            st.binary(max_size=2000),
            max_size=6,
        )
    )
    def test_any(self, files: dict[str, bytes]) -> None:
        """Whatever tar wrote comes out again."""
        self.assertEqual(self.unpacked(tarball(*files.items())), files)


class RefusedTests(ArchiveCase):
    """Nothing is written of what cannot be trusted whole."""

    def test_names(self) -> None:
        """A name that leads out, or that is no plain name, refuses the archive."""
        for name in (
            "../evil",
            "/etc/passwd",
            "a/../../evil",
            "a//b",
            "a/./b",
            "..",
            "a\\b",
            "-rf",
            "a b",
            "a\nb",
            "gr\u00fcb",
            "x/" * 600 + "x",
        ):
            self.refused(tarball(("good.efi", b"x"), (name, b"evil")), "is not a plain path")

    def test_kinds(self) -> None:
        """Devices, pipes and unknown kinds refuse the archive."""
        for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"S", b"Z", b"M"):
            self.refused(tarball((entry("a", kind), b"")), "'a'")

    def test_links_out(self) -> None:
        """A link that leads out of the archive, nowhere, round in circles, or to a directory."""
        for kind, link in (
            (tarfile.SYMTYPE, "/etc/passwd"),
            (tarfile.SYMTYPE, "../../etc/passwd"),
            (tarfile.LNKTYPE, "../x"),
            (tarfile.LNKTYPE, "/x"),
            (tarfile.SYMTYPE, "nothing"),
            (tarfile.SYMTYPE, "link"),
            (tarfile.SYMTYPE, ""),
            (tarfile.SYMTYPE, "."),
        ):
            archive = tarball(("a/b", b"x"), (entry("a/link", kind, link), b""))
            self.refused(archive, "'a/link' is a link")
        circle = (("a", "b"), ("b", "c"), ("c", "a"))
        entries = [(entry(name, tarfile.SYMTYPE, link), b"") for name, link in circle]
        self.refused(tarball(*entries), "is a link")

    def test_through_a_link(self) -> None:
        """A file below a link of the archive is refused: a link is never a directory."""
        link = entry("d", tarfile.SYMTYPE, "e")
        self.refused(tarball(("e", b"1"), (link, b""), ("d/f", b"2")), "'d' is a directory and")

    def test_twice(self) -> None:
        """A name that occurs twice, or as file and as directory, refuses the archive."""
        self.refused(tarball(("a", b"1"), ("./a", b"2")), "occurs twice")
        self.refused(tarball(("a", b"1"), ("a/b", b"2")), "'a' is a directory and something else")
        link = entry("a", tarfile.LNKTYPE, "a")
        self.refused(tarball(("a", b"1"), (link, b"")), "occurs twice")

    def test_too_much(self) -> None:
        """Members, sizes and the whole are capped, before anything is written."""
        many = tarball(*((f"m{number}", b"") for number in range(5)))
        self.refused(many, "more than 4 members", caps=SMALL)
        self.refused(tarball(("a", bytes((1 << 20) + 1))), "impossible size", caps=SMALL)
        large = tarball(*((f"m{number}", bytes(1 << 20)) for number in range(3)))
        self.refused(large, "too large", caps=SMALL)

    def test_bomb(self) -> None:
        """An xz bomb ends at the cap, in bounded memory, whatever its headers say."""
        liar = entry("a")
        liar.size = 900 << 20
        plain = liar.tobuf(tarfile.GNU_FORMAT)
        compressor = lzma.LZMACompressor(preset=0)
        bomb = compressor.compress(plain)
        bomb += b"".join(compressor.compress(bytes(1 << 20)) for _ in range(64))
        caps = Caps(member_bytes=1 << 30, total_bytes=32 << 20)
        self.path.write_bytes(bomb + compressor.flush())
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        error = self.assertRaises(SourceError, unpack, self.path, self.keep, caps)
        self.assertIn("too large", error.message)
        self.assertLess(tracemalloc.get_traced_memory()[1], 8 << 20)

    def test_dictionary(self) -> None:
        """An xz file that wants more memory than allowed is refused."""
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 64 << 20}]
        archive = lzma.compress(bytes(5000), lzma.FORMAT_XZ, filters=filters)
        self.refused(archive, "no good xz file", caps=SMALL)

    def test_headers(self) -> None:
        """Huge names, sparse files and names for all members at once are refused."""
        name = entry("././@LongLink", tarfile.GNUTYPE_LONGNAME)
        for size_bytes in (0, 1 << 17, -1):
            name.size = size_bytes
            header = name.tobuf(tarfile.GNU_FORMAT)
            self.refused(lzma.compress(header + bytes(1 << 18)), "a header of")
        for key, value in {"GNU.sparse.major": "1", "size": "5"}.items():
            member = entry("a")
            member.pax_headers = {key: value}
            self.refused(tarball((member, b""), format=tarfile.PAX_FORMAT), "sparse or huge")
        plain = io.BytesIO()
        with tarfile.open(
            fileobj=plain, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "a"}
        ) as tar:
            tar.addfile(entry("b"))
        self.refused(lzma.compress(plain.getvalue()), "names its members globally")

    def test_damaged_pax(self) -> None:
        """Pax headers that lie about their lengths are refused."""
        for record in (b"5 path=a\n", b"99 path=a\n", b"x path=a\n", b"999999999 a=b\n", b"7"):
            header = entry("pax", tarfile.XHDTYPE)
            header.size = len(record)
            block = header.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")
            self.refused(lzma.compress(block + bytes(1024)), "pax headers are damaged")

    def test_cut_anywhere(self) -> None:
        """An archive that ends too early is refused, wherever it was cut."""
        archive = tarball(("a", content(3000)), ("b", b"b"))
        for length in (*range(0, len(archive) - 4, 37), len(archive) - 4):
            self.refused(archive[:length], "ends too early")
        plain = lzma.decompress(archive)
        for length in (0, 100, 512, 1000, 512 + 3072):
            self.refused(lzma.compress(plain[:length]), "ends too early")

    def test_damaged_xz(self) -> None:
        """What does not fit xz's checksums is refused, at the very end, too."""
        archive = bytearray(tarball(("a", content(3000))))
        for at in (5, 300, len(archive) // 2, len(archive) - 12, len(archive) - 1):
            damaged = bytearray(archive)
            damaged[at] ^= 1
            self.refused(bytes(damaged), "no good xz file")

    @given(st.integers(0, 3000), st.integers(1, 255))
    def test_flipped_anywhere(self, at: int, flip: int) -> None:
        """A changed byte of the tar is found or harmless: no path but a plain one comes out."""
        plain = bytearray(lzma.decompress(tarball(("a/b", b"12345"), ("c", b"6"))))
        plain[at] ^= flip
        self.path.write_bytes(lzma.compress(bytes(plain)))
        try:
            members = unpack(self.path, self.keep)
        except SourceError:
            return
        for member in members:
            self.assertRegex(member.path, r"\A[\w.~+][\w.~+/-]*\Z")

    def test_nothing_of_it(self) -> None:
        """What is no xz at all is refused."""
        self.refused(b"", "ends too early")
        self.refused(b"hello" * 100, "no good xz file")
