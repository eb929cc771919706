"""Exports on their way to a disk: nothing half is visible, and nothing right is done twice."""

import hashlib
import tarfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.bundles import MANIFEST, BundleFile
from common.errors import Conflict
from common.shell import bundle_target
from common.shell.bundle_files import BundleReader
from common.shell.bundle_target import DirectoryTarget, Growing, Target, TarTarget
from tests.doubles.directories import fresh_directory
from tests.doubles.streams import some_bytes

LONG = "mirror/1/" + "/".join(["a" * 60] * 5)
FILES = {
    "mirror/1/a": some_bytes(3000),
    "mirror/1/b/c": b"",
    "mirror/1/d": some_bytes(512),
    LONG: b"long",
}
TOTAL_BYTES = sum(map(len, FILES.values()))


def file_of(content: bytes) -> BundleFile:
    return BundleFile(hashlib.sha256(content).hexdigest(), len(content))


class StoppedError(Exception):
    """The process was killed here."""


def export(target: Target, most_bytes: int = 1 << 60) -> int:
    """Write all files, but stop after so many bytes; how many had to be written."""
    written = 0
    try:
        for path, content in sorted(FILES.items()):
            growing = target.begin(path, file_of(content))
            if growing is None:
                continue
            rest = content[growing.held_bytes :]
            growing.write(rest[: most_bytes - written])
            written += min(len(rest), most_bytes - written)
            if not growing.is_right:
                raise StoppedError
            target.finish(path, file_of(content))
        target.close(MANIFEST, b"{}")
    finally:
        target.leave()
    return written


class TargetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = fresh_directory(self)

    def check(self, place: Path) -> None:
        """All is there, as it is to be, and nothing besides."""
        if place.suffix == ".tar":
            with tarfile.open(place) as made:
                names = made.getnames()
                found = {name: made.extractfile(name) for name in names}
                content = {name: file.read() for name, file in found.items() if file is not None}
        else:
            paths = [path for path in place.rglob("*") if path.is_file()]
            content = {str(path.relative_to(place)): path.read_bytes() for path in paths}
        self.assertEqual(content, FILES | {MANIFEST: b"{}"})
        with BundleReader(place) as bundle:
            self.assertEqual(bundle.give("mirror/1/a", 0, 3000), (FILES["mirror/1/a"], 3000))

    def target(self, place: Path) -> Target:
        return TarTarget(place) if place.suffix == ".tar" else DirectoryTarget(place)

    def test_whole(self) -> None:
        """A directory and a tar; other programs read the tar, too."""
        for name in ("bundle", "bundle.tar"):
            place = self.directory / "deep" / name
            self.assertEqual(export(self.target(place)), TOTAL_BYTES)
            self.check(place)

    @settings(max_examples=25)
    @given(stops=st.lists(st.integers(0, TOTAL_BYTES), max_size=4))
    def test_stopped_and_gone_on_with(self, stops: list[int]) -> None:
        """However often it is stopped: no byte is written twice, and the end is the same."""
        for name in ("bundle", "bundle.tar"):
            place = fresh_directory(self) / name
            written, is_whole = 0, False
            for most_bytes in stops:
                try:
                    written += export(self.target(place), most_bytes)
                except StoppedError:
                    written += most_bytes
                    self.assertFalse((place / MANIFEST).exists())
                    self.assertFalse(place.is_file(), "half a tar is visible")
                else:
                    is_whole = True
                    break
            if not is_whole:
                written += export(self.target(place))
            self.assertEqual(written, TOTAL_BYTES)
            self.check(place)

    def test_what_is_wrong_is_written_again(self) -> None:
        """A file that was changed meanwhile, of the same size, is found out by its digest."""
        place = self.directory / "bundle"
        export(self.target(place))
        path = place / "mirror/1/a"
        path.chmod(0o644)
        path.write_bytes(bytes(3000))
        (place / "mirror/1/d").unlink()
        (place / "mirror/1/d").symlink_to(path)
        self.assertEqual(export(self.target(place)), 3000 + 512)
        self.check(place)

    def test_a_partial_that_is_wrong(self) -> None:
        """It is not believed: what was there is not what is to be there."""
        for name in ("bundle", "bundle.tar"):
            target = self.target(self.directory / name)
            content = FILES["mirror/1/a"]
            growing = self.begun(target, content)
            growing.write(b"x" * 100)
            target.leave()
            target = self.target(self.directory / name)
            growing = self.begun(target, content)
            self.assertEqual(growing.held_bytes, 100)
            growing.write(content[100:])
            self.assertFalse(growing.is_right)
            growing.forget()
            growing.write(content)
            self.assertTrue(growing.is_right)
            target.leave()

    def test_one_at_a_time(self) -> None:
        """A second export to the same place is refused, and touches nothing; later it may."""
        for name in ("bundle", "bundle.tar"):
            place = self.directory / name
            first = self.target(place)
            growing = self.begun(first, FILES["mirror/1/a"])
            growing.write(FILES["mirror/1/a"][:100])
            error = self.assertRaises(Conflict, self.target, place)
            self.assertEqual((error.code, error.object), ("locked", str(place)))
            self.assertEqual(growing.held_bytes, 100)
            first.leave()
            self.assertEqual(export(self.target(place)), TOTAL_BYTES - 100)
            self.check(place)
            export(self.target(place))
            self.check(place)

    def test_a_tar_that_was_finished_just_now(self) -> None:
        """Who opened the partial tar before it got its name does not write to what has it."""
        place = self.directory / "bundle.tar"
        export(self.target(place))
        whole = place.read_bytes()
        opened = bundle_target.open_partial

        def late(path: Path) -> int:
            fd = opened(path)
            path.rename(place)
            return fd

        self.patch(bundle_target, "open_partial", late)
        place.rename(place.with_name("bundle.tar.part"))
        self.assertRaises(Conflict, self.target, place)
        self.assertEqual(place.read_bytes(), whole)

    def begun(self, target: Target, content: bytes) -> Growing:
        growing = target.begin("mirror/1/a", file_of(content))
        assert growing is not None
        return growing

    def test_a_tar_of_other_files(self) -> None:
        """What is to be written changed since the first run: the tar goes on where both agree."""
        place = self.directory / "bundle.tar"
        target = TarTarget(place)
        for path, content in (("mirror/1/a", FILES["mirror/1/a"]), ("mirror/1/aa", b"gone")):
            growing = target.begin(path, file_of(content))
            assert growing is not None
            growing.write(content)
            target.finish(path, file_of(content))
        target.leave()
        self.assertEqual(export(self.target(place)), TOTAL_BYTES - 3000)
        self.check(place)
