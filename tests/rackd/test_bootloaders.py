"""Tests of bootloaders from the region's archive to the tree that machines see."""

import json

import attrs

from common.events import Severity
from tests.doubles.disks import broken_at
from tests.doubles.following import JAMMY, FollowerCase
from tests.doubles.tarballs import tarball

UEFI = "grub-efi-signed/amd64/generic/uefi/stable"
PXE = "pxelinux/i386/generic/pxe/stable"
SHIM = tarball(("bootx64.efi", b"shim"))
GRUB = tarball(("grubx64.efi", b"grub"))
PXELINUX = tarball(("lpxelinux.0", b"lpxelinux"), ("ldlinux.c32", b"ldlinux"))


class BootloaderTests(FollowerCase):
    """Syncs with bootloaders."""

    def setUp(self) -> None:
        super().setUp()
        self.current = self.images_dir / "current"

    def test_whole(self) -> None:
        """Firmware finds its files in the root, and the members are hard links to blobs."""
        self.hold(
            3,
            self.image(JAMMY, "kernel"),
            self.bootloader(UEFI, "uefi", SHIM, GRUB),
            self.bootloader(PXE, "pxe", PXELINUX),
        )
        for name, content in {
            "bootx64.efi": b"shim",
            "grubx64.efi": b"grub",
            "pxelinux.0": b"lpxelinux",
            "ldlinux.c32": b"ldlinux",
            "bootloader/pxe/i386/lpxelinux.0": b"lpxelinux",
        }.items():
            self.assertEqual((self.current / name).read_bytes(), content)
        member = self.current / "bootloader/uefi/amd64/grubx64.efi"
        self.assertEqual(member.stat().st_nlink, 2)
        self.assertEqual(member.stat().st_mode & 0o777, 0o444)
        self.assertEqual(list(self.current.rglob("*.tar.xz")), [])
        self.assertEqual(self.codes(), [])
        self.assertIsNotNone(self.reopened().held_view)

    def test_corrupt(self) -> None:
        """A corrupt archive costs its bootloader, with one event; everything else is held."""
        images = [
            self.image(JAMMY, "kernel"),
            self.bootloader(UEFI, "uefi", SHIM, GRUB[:-30]),
            self.bootloader(PXE, "pxe", PXELINUX),
        ]
        self.hold(3, *images)
        self.assertEqual(self.codes(), ["archive-refused", "image-skipped"])
        refused, skipped = (each.event for each in self.events.read())
        self.assertIn("bootloader/uefi/amd64/archive-1.tar.xz", refused.object)
        self.assertIn("it ends too early", refused.cause)
        self.assertEqual(skipped.object, UEFI)
        self.assertFalse((self.current / "bootloader/uefi").exists())
        self.assertFalse((self.current / "bootx64.efi").is_symlink())
        self.assertTrue((self.current / "pxelinux.0").is_file())
        held = {image.key for image in self.library.current.record.images}
        self.assertEqual(held, {JAMMY, PXE})
        self.hold(4, *images, self.image(JAMMY.replace("jammy", "noble"), "kernel2"))
        self.assertEqual(self.codes(), ["archive-refused", "image-skipped"])

    def test_corrupt_successor(self) -> None:
        """Where a new archive is corrupt, the version before stays, over restarts too."""
        kernel = self.image(JAMMY, "kernel")
        loader = self.bootloader(UEFI, "uefi", SHIM, GRUB)
        self.hold(3, kernel, loader)
        bad = self.bootloader(UEFI, "uefi", SHIM, GRUB[:-30], version="2")
        for generation in (4, 5):
            self.clock.advance(10)
            self.hold(generation, self.image(JAMMY, "kernel", f"more-{generation}"), bad)
            self.assertEqual((self.current / "grubx64.efi").read_bytes(), b"grub")
            self.assertEqual((self.current / "bootx64.efi").read_bytes(), b"shim")
            held = {each.key: each.version for each in self.library.current.record.images}
            self.assertEqual(held, {JAMMY: "1", UEFI: "1"})
            meta = json.loads((self.current / "maas.meta").read_bytes())
            loader = meta["grub-efi-signed"]["amd64"]["generic"]["bootloader"]["uefi"]["stable"]
            self.assertEqual(loader["version_name"], "1")
            self.clock.pump([300] * 50)
            self.stopped()
            self.start(self.reopened())
            self.follower.connected()
        codes = self.codes()
        self.assertEqual(codes, [])
        problem = json.loads(self.region.syncs[-1][2])
        self.assertIn("the version before stays", problem["message"])
        good = self.bootloader(UEFI, "uefi", SHIM, tarball(("grubx64.efi", b"new")), version="3")
        self.hold(6, kernel, good)
        self.assertEqual((self.current / "grubx64.efi").read_bytes(), b"new")

    def test_corrupt_successor_of_a_damaged_one(self) -> None:
        """Of a version before that is not whole any more nothing stays."""
        self.hold(3, self.bootloader(UEFI, "uefi", SHIM, GRUB))
        lost = self.library.current.record.shown["bootx64.efi"]
        (self.library.cache / lost.sha256).unlink()
        self.hold(4, self.bootloader(UEFI, "uefi", GRUB[:-30], version="2"))
        self.assertFalse((self.current / "bootloader").exists())

    def test_unreadable_archive(self) -> None:
        """One that the disk cannot give is put aside and fetched again; it is no bug."""
        loader = self.bootloader(UEFI, "uefi", SHIM)
        self.hold(3, loader)
        archive = self.library.cache / loader.files[0].sha256
        self.clock.advance(10)
        digest = self.region.publish(4, loader, self.image(JAMMY, "kernel"))
        with broken_at(archive):
            self.follower.trigger()
            self.fetches.finish_all()
        (problem,) = self.events.problems
        self.assertEqual(problem.code, "blob-damaged")
        self.assertFalse(archive.exists())
        self.clock.pump([60] * 5)
        self.fetches.finish_all()
        self.assertEqual((self.library.held_view, self.events.problems), (digest, []))

    def test_corrupt_writes_nothing(self) -> None:
        """Of an archive that is refused no member is ever on the disk."""
        bad = tarball(("bootx64.efi", b"shim"), ("../evil", b"evil"))
        self.hold(3, self.bootloader(UEFI, "uefi", bad))
        contents = {path.read_bytes() for path in self.library.cache.iterdir()}
        self.assertEqual(contents & {b"shim", b"evil"}, set())
        self.assertFalse((self.images_dir / "evil").exists())

    def test_same_tree(self) -> None:
        """The next sync with the same archive fetches nothing of it, and shows the same blobs."""
        loader = self.bootloader(UEFI, "uefi", SHIM)
        self.hold(3, loader)
        before = (self.current / "bootx64.efi").stat().st_ino
        begun = list(self.fetches.begun)
        self.clock.advance(10)
        self.hold(4, loader, self.image(JAMMY, "kernel"))
        self.assertEqual((self.current / "bootx64.efi").stat().st_ino, before)
        self.assertEqual(self.fetches.begun, [*begun, "file-kernel"])

    def test_damaged_member(self) -> None:
        """A member that was found damaged is made again from its archive: nothing is fetched."""
        digest = self.hold(3, self.bootloader(UEFI, "uefi", SHIM))
        self.clock.advance(10)
        file = self.library.current.record.shown["bootx64.efi"]
        (self.library.cache / file.sha256).unlink()
        self.assertTrue(self.library.doubt(file))
        begun = list(self.fetches.begun)
        self.follower.trigger()
        self.assertEqual(self.library.held_view, digest)
        self.assertEqual((self.current / "bootx64.efi").read_bytes(), b"shim")
        self.assertEqual(self.fetches.begun, begun)

    def test_rotted_archive(self) -> None:
        """One that went bad here is fetched again; machines keep the bootloader meanwhile."""
        loader = self.bootloader(UEFI, "uefi", SHIM)
        before = self.hold(3, loader)
        self.clock.advance(10)
        archive = self.library.cache / loader.files[0].sha256
        rotted = bytearray(archive.read_bytes())
        rotted[len(rotted) // 2] ^= 1
        archive.chmod(0o644)
        archive.write_bytes(rotted)
        digest = self.region.publish(4, loader, self.image(JAMMY, "kernel"))
        self.follower.trigger()
        self.fetches.finish_all()
        self.assertEqual((self.current / "bootx64.efi").read_bytes(), b"shim")
        self.assertNotEqual(before, digest)
        self.assertFalse(archive.exists())
        self.clock.pump([60] * 5)
        self.fetches.finish_all()
        self.assertEqual(self.library.held_view, digest)
        self.assertEqual((self.current / "bootx64.efi").read_bytes(), b"shim")

    def test_archive_is_kept(self) -> None:
        """The archive stays beside its members, for as long as they are selected."""
        loader = self.bootloader(UEFI, "uefi", SHIM)
        self.hold(3, loader)
        self.clock.pump([300] * 50)
        self.assertTrue((self.library.cache / loader.files[0].sha256).exists())
        self.hold(4)
        self.clock.pump([300] * 50)
        self.assertFalse((self.library.cache / loader.files[0].sha256).exists())

    def test_missing(self) -> None:
        """Images without a bootloader for their machines are worth a line, and no failure."""
        image = self.image(JAMMY, "k", "i")
        names = ("boot-kernel", "boot-initrd")
        files = [
            attrs.evolve(file, ftype=name, name=name)
            for file, name in zip(image.files, names, strict=True)
        ]
        self.hold(3, attrs.evolve(image, files=tuple(files)))
        self.assertEqual(self.codes(), ["bootloader-missing", "bootloader-missing"])
        self.assertEqual({each.event.severity for each in self.events.read()}, {Severity.INFO})
        self.assertEqual(self.follower.status, "synced")
