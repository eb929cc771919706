"""Bundles on a disk that nobody trusts."""

import io
import os
import tarfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from common.bundles import MANIFEST, mirror_path
from common.commands import BLOB_PIECE_BYTES
from common.errors import NotFound, ProtocolError, Refused, StorageError, WrongUsage
from common.shell.bundle_files import MAX_HEADER_BYTES, MOST_OPEN, BundleReader, read_manifest
from tests.doubles.bundles import NAME, write_bundle
from tests.doubles.directories import fresh_directory

LONG = "/".join(["a" * 60] * 5)
FILES = {"streams/v1/index.sjson": b"signed", "a/b": b"0123456789", LONG: b"long"}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = fresh_directory(self)
        self.root = self.directory / "bundle"
        self.manifest = write_bundle(self.root, FILES, "http://127.0.0.1/")

    def tar(self, *more: tuple[str, bytes], form: int = tarfile.GNU_FORMAT) -> Path:
        """A tar as other programs make it of the directory, with further entries."""
        path = self.directory / "bundle.tar"
        with tarfile.open(path, "w", format=form) as made:
            made.add(self.root, ".")
            for name, content in more:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                made.addfile(entry, io.BytesIO(content))
        return path

    def whole(self, bundle: BundleReader, path: str) -> bytes:
        return bundle.give(mirror_path(NAME, path), 0, BLOB_PIECE_BYTES)[0]


class BothTests(Case):
    def test_what_is_given(self) -> None:
        """From a directory and from its tars: the same pieces, sizes, and refusals."""
        posix = self.tar(form=tarfile.PAX_FORMAT).rename(self.directory / "posix.tar")
        for place in (self.root, self.tar(), posix):
            with BundleReader(place) as bundle:
                self.assertEqual(bundle.manifest(), self.manifest)
                self.assertEqual({path: self.whole(bundle, path) for path in FILES}, FILES)
                path = mirror_path(NAME, "a/b")
                self.assertEqual(bundle.give(path, 3, 4), (b"3456", 10))
                self.assertEqual(bundle.give(path, 8, 100), (b"89", 10))
                self.assertEqual(bundle.give(path, 10, 1), (b"", 10))
                self.assertEqual(bundle.give(path, 1 << 60, 1), (b"", 10))
                missing = self.assertRaises(NotFound, self.whole, bundle, "c")
                self.assertEqual((missing.code, missing.object),
                                 ("bundle-file-missing", "mirror/7/c"))  # fmt: skip

    def test_what_no_region_may_ask_for(self) -> None:
        """Nothing but a bundle's own paths, and no more than a piece."""
        for place in (self.root, self.tar()):
            with BundleReader(place) as bundle:
                for path in ("/etc/passwd", "../bundle.tar", "mirror/7/../../x", "", "mirror"):
                    error = self.assertRaises(Refused, bundle.give, path, 0, 1)
                    self.assertEqual(error.code, "bundle-path")
                for offset, length in ((-1, 1), (0, 0), (0, BLOB_PIECE_BYTES + 1)):
                    self.assertRaises(Refused, bundle.give, MANIFEST, offset, length)

    def test_no_bundle(self) -> None:
        """A name with nothing, or something else, behind it."""
        empty = self.directory / "empty"
        empty.mkdir()
        with tarfile.open(self.directory / "other.tar", "w") as other:
            other.add(self.root / MANIFEST, mirror_path(NAME, "x"))
        for place in (empty, self.directory / "nothing", self.directory / "other.tar"):
            error = self.assertRaises(WrongUsage, BundleReader, place)
            self.assertEqual((error.code, error.object), ("bundle-none", str(place)))

    def test_a_manifest_by_itself(self) -> None:
        """It can be read without its bundle; what is none is refused."""
        self.assertEqual(read_manifest(self.root / MANIFEST), self.manifest)
        (self.directory / "x.json").write_text("{}")
        self.assertRaises(ProtocolError, read_manifest, self.directory / "x.json")


class DirectoryTests(Case):
    def test_links_are_not_followed(self) -> None:
        """A link in place of a file or of a directory is no part of the bundle."""
        place = self.root / "mirror" / NAME
        (place / "a" / "c").symlink_to(place / "a" / "b")
        (place / "d").symlink_to(place / "a")
        os.mkfifo(place / "e")
        with BundleReader(self.root) as bundle:
            for path in ("a/c", "d/b", "e", "a"):
                self.assertRaises(StorageError, self.whole, bundle, path)

    def test_few_files_are_open(self) -> None:
        """However many are read."""
        for number in range(3 * MOST_OPEN):
            (self.root / "mirror" / NAME / f"f{number}").write_bytes(b"%d" % number)
        before = open_files()
        with BundleReader(self.root) as bundle:
            for number in range(3 * MOST_OPEN):
                self.assertEqual(self.whole(bundle, f"f{number}"), b"%d" % number)
            self.assertLessEqual(open_files() - before, MOST_OPEN)
        self.assertEqual(open_files(), before)


class TarTests(Case):
    def refused(self, path: Path) -> str:
        before = open_files()
        error = self.assertRaises(Refused, BundleReader, path)
        self.assertEqual((error.code, error.object), ("bundle-tar", str(path)))
        self.assertEqual(open_files(), before)
        return error.message

    def test_names_that_lead_elsewhere(self) -> None:
        """One such entry, and the tar is not taken; it is named."""
        for name in ("../x", "/etc/passwd", "mirror/7/../../x", "mirror/7/a/b", "x"):
            self.assertIn(name.split("/")[-1], self.refused(self.tar((name, b""))))

    def test_what_is_no_plain_file(self) -> None:
        """Links and devices, wherever they lead."""
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            path = self.tar()
            with tarfile.open(path, "a") as made:
                entry = tarfile.TarInfo("mirror/7/link")
                entry.type, entry.linkname = kind, "mirror/7/a/b"
                made.addfile(entry)
            self.assertIn("mirror/7/link", self.refused(path))

    def test_headers_that_are_too_much(self) -> None:
        """A name of a gigabyte is not read to find out what it says."""
        path = self.directory / "huge.tar"
        for size_bytes in (MAX_HEADER_BYTES + 1, 1 << 30):
            entry = tarfile.TarInfo("././@LongLink")
            entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, size_bytes
            with path.open("wb") as made:
                made.write(entry.tobuf(tarfile.GNU_FORMAT))
                made.truncate(2 * size_bytes)
            self.assertIn(str(size_bytes), self.refused(path))
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as extended:
            entry = tarfile.TarInfo("mirror/7/x")
            entry.pax_headers = {"comment": "x" * MAX_HEADER_BYTES}
            extended.addfile(entry)
        self.assertIn("a header", self.refused(path))
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as extended:
            entry = tarfile.TarInfo("mirror/7/x")
            entry.pax_headers = {"size": "9" * 99}
            extended.addfile(entry)
        self.assertIn("behind its end", self.refused(path))

    def test_damage(self) -> None:
        """Cut anywhere, or with a header that is none: not taken, and said where."""
        path = self.tar()
        content = path.read_bytes()
        for size_bytes in (0, 100, 512, 513, 1024, 2000):
            path.write_bytes(content[:size_bytes])
            self.refused(path)
        path.write_bytes(b"x" * 2048)
        self.assertIn("byte 0", self.refused(path))
        wrong = tarfile.TarInfo("mirror/7/x")
        wrong.size = 1 << 40
        path.write_bytes(wrong.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
        self.assertIn("behind its end", self.refused(path))
