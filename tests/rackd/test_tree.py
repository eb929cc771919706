"""Tests of the whole tree: members, links, what is generated, and MAAS's index."""

import json

from twisted.trial.unittest import SynchronousTestCase

from common.digests import sha256_hex
from common.images import File, Image
from rackd.archives import Member
from rackd.menus import MenuSettings
from rackd.planning import lay_out
from rackd.records import Record
from rackd.tree import Tree, grow, maas_meta
from tests.doubles.images import image_of, named_file

JAMMY = "ubuntu/amd64/ga-22.04/jammy/stable"
GENERATED = {
    "boot.ipxe",
    "grub/grub.cfg",
    "grub/grub.cfg-default-amd64",
    "maas.meta",
    "pxelinux.cfg/default",
}
MEMBERS = {
    "syslinux": ("lpxelinux.0", "chain.c32", "ldlinux.c32", "modules/menu.c32", "README"),
    "pxelinux": ("pxelinux.0", "ldlinux.c32"),
    "shim": ("bootx64.efi",),
    "grub": ("grubx64.efi",),
    "grub-arm": ("grubaa64.efi",),
    "grub-ppc": ("bootppc64.bin",),
    "grub-too": ("grubx64.efi",),
    "nested": ("grubx64.efi/x",),
}


def archive(name: str) -> File:
    """An archive that ``MEMBERS`` knows."""
    file = named_file(f"{name}.tar.xz", name)
    return File(file.name, "archive.tar.xz", file.sha256, 5, file.digests_sha256)


def bootloader(type_: str, arch: str, *names: str, label: str = "stable") -> Image:
    """A bootloader of these archives."""
    return image_of(
        f"loader/{arch}/generic/{type_}/{label}",
        *map(archive, names),
        bootloader_type=type_,
    )


def bootable(key: str, **further: object) -> Image:
    """An image with a kernel and an initrd."""
    return image_of(key, named_file("boot-kernel", "k"), named_file("boot-initrd", "i"), **further)


def grown(*images: Image, without: str = "") -> Tree:
    """The tree of images, in which the archive ``without`` could not be unpacked."""
    members = {
        archive(name).sha256: tuple(Member(path, sha256_hex(path.encode()), 1) for path in paths)
        for name, paths in MEMBERS.items()
        if name != without
    }
    return grow(lay_out(images), images, members, MenuSettings(), 7)


def images_part(tree: Tree) -> set[str]:
    return set(tree.files) - GENERATED


class MemberTests(SynchronousTestCase):
    """Bootloaders."""

    def test_members_stand_where_the_archive_would(self) -> None:
        """The members of all archives of a bootloader stand side by side, and no archive."""
        tree = grown(bootloader("uefi", "amd64", "shim", "grub"))
        self.assertEqual(
            images_part(tree),
            {"bootloader/uefi/amd64/bootx64.efi", "bootloader/uefi/amd64/grubx64.efi"},
        )

    def test_bad_archive(self) -> None:
        """A bootloader of which one archive is bad is left out whole and named; the rest stands."""
        bad = bootloader("uefi", "amd64", "shim", "grub")
        tree = grown(bad, bootloader("uefi", "arm64", "grub-arm"), without="grub")
        self.assertEqual(images_part(tree), {"bootloader/uefi/arm64/grubaa64.efi"})
        self.assertEqual([each.image for each in tree.skipped], [str(bad.key)])
        self.assertIn("grub.tar.xz cannot be unpacked", tree.skipped[0].reason)
        self.assertEqual(set(tree.links), {"grubaa64.efi"})

    def test_clash(self) -> None:
        """Two archives that want one path, also as file and directory, leave the bootloader out."""
        for other in ("grub-too", "nested"):
            bad = bootloader("uefi", "amd64", "grub", other)
            tree = grown(bad, bootable(JAMMY))
            self.assertEqual(images_part(tree), {f"{JAMMY}/boot-kernel", f"{JAMMY}/boot-initrd"})
            self.assertIn("would stand at bootloader/uefi/amd64/grubx64", tree.skipped[0].reason)

    def test_clash_with_a_file(self) -> None:
        """A plain file and a member of the same name leave the bootloader out."""
        image = bootloader("uefi", "amd64", "grub")
        plain = named_file("grubx64.efi", "plain")
        bad = image_of(str(image.key), *image.files, plain, bootloader_type="uefi")
        self.assertEqual(images_part(grown(bad)), set())

    def test_one_directory_one_bootloader(self) -> None:
        """Of two bootloaders for the same machines one stands, and the other is named."""
        tree = grown(
            bootloader("uefi", "amd64", "grub"),
            bootloader("uefi", "amd64", "shim", label="daily"),
        )
        self.assertEqual(images_part(tree), {"bootloader/uefi/amd64/bootx64.efi"})
        self.assertEqual(len(tree.skipped), 1)

    def test_any_image(self) -> None:
        """An archive of any image is unpacked in each of its directories."""
        image = image_of("ubuntu/amd64/ga-22.04/jammy/stable", archive("grub"), kflavor="generic")
        self.assertEqual(
            images_part(grown(image)),
            {
                "ubuntu/amd64/ga-22.04/jammy/stable/grubx64.efi",
                "ubuntu/amd64/generic/jammy/stable/grubx64.efi",
            },
        )


class LinkTests(SynchronousTestCase):
    """What firmware asks for."""

    def test_all(self) -> None:
        """Each boot method's files stand in the root; nested and other members do not."""
        tree = grown(
            bootloader("pxe", "i386", "syslinux"),
            bootloader("uefi", "amd64", "shim", "grub"),
            bootloader("uefi", "arm64", "grub-arm"),
            bootloader("open-firmware", "ppc64el", "grub-ppc"),
        )
        self.assertEqual(
            tree.links,
            {
                "lpxelinux.0": "bootloader/pxe/i386/lpxelinux.0",
                "pxelinux.0": "bootloader/pxe/i386/lpxelinux.0",
                "chain.c32": "bootloader/pxe/i386/chain.c32",
                "ldlinux.c32": "bootloader/pxe/i386/ldlinux.c32",
                "bootx64.efi": "bootloader/uefi/amd64/bootx64.efi",
                "grubx64.efi": "bootloader/uefi/amd64/grubx64.efi",
                "grubaa64.efi": "bootloader/uefi/arm64/grubaa64.efi",
                "bootppc64.bin": "bootloader/open-firmware/ppc64el/bootppc64.bin",
            },
        )

    def test_pxelinux(self) -> None:
        """An archive with pxelinux.0 itself is believed; amd64 serves where i386 is missing."""
        links = grown(bootloader("pxe", "amd64", "pxelinux")).links
        self.assertEqual(links["pxelinux.0"], "bootloader/pxe/amd64/pxelinux.0")
        self.assertNotIn("lpxelinux.0", links)
        both = grown(bootloader("pxe", "amd64", "pxelinux"), bootloader("pxe", "i386", "syslinux"))
        self.assertEqual(set(both.links.values()) & set(both.files), set(both.links.values()))
        self.assertEqual(both.links["pxelinux.0"], "bootloader/pxe/i386/lpxelinux.0")

    def test_missing(self) -> None:
        """A method is missing if there are kernels for its machines and nothing to start them."""
        self.assertEqual(grown(bootable(JAMMY)).missing, ("pxe", "uefi/amd64"))
        self.assertEqual(grown(bootable(JAMMY.replace("amd64", "s390x"))).missing, ())
        self.assertEqual(grown().missing, ())
        tree = grown(bootable(JAMMY), bootloader("pxe", "i386", "syslinux"))
        self.assertEqual(tree.missing, ("uefi/amd64",))

    def test_names_in_use(self) -> None:
        """A link never takes the name of a directory of the tree."""
        tree = grown(bootable("chain.c32/amd64/a/b/c"), bootloader("pxe", "i386", "syslinux"))
        self.assertNotIn("chain.c32", tree.links)
        self.assertIn("chain.c32/amd64/a/b/c/boot-kernel", tree.files)


class GeneratedTests(SynchronousTestCase):
    """What is made on the rack."""

    def test_made(self) -> None:
        """Every generated file is a blob like any other, in an empty tree, too."""
        for images in ((), (bootable(JAMMY),)):
            tree = grown(*images)
            self.assertLessEqual(GENERATED, set(tree.files))
            made = {(sha256_hex(content), len(content)) for content in tree.made}
            found = {(tree.files[path].sha256, tree.files[path].size_bytes) for path in GENERATED}
            self.assertEqual(found, made)

    def test_skipped_images_are_in_no_menu(self) -> None:
        """An image that is not laid out is named by no generated file."""
        image = bootable("grub/amd64/generic/jammy/stable")
        tree = grown(image, bootable(JAMMY))
        self.assertEqual([each.image for each in tree.skipped], [str(image.key)])
        for content in tree.made:
            self.assertNotIn(str(image.key).encode(), content)

    def test_deterministic(self) -> None:
        """The order in which images are named does not matter, and a record can hold it all."""
        images = [
            bootable(JAMMY, kflavor="generic"),
            bootable(JAMMY.replace("ga-22.04", "hwe-22.04"), rolling=True),
            bootloader("pxe", "i386", "syslinux"),
        ]
        tree = grown(*images)
        self.assertEqual(tree, grown(*reversed(images)))
        record = Record(7, "ab" * 32, (), tree.files, tree.links)
        self.assertEqual(Record.from_document(record.to_document()), record)


class MaasMetaTests(SynchronousTestCase):
    """MAAS's index."""

    def index(self, *images: Image) -> dict[str, object]:
        return json.loads(maas_meta(images))

    def test_depth(self) -> None:
        """The levels are os > arch > subarch > kflavor > release > label > item."""
        image = bootable(JAMMY, title="22.04 LTS", subarches=("generic", "hwe-p"))
        item = {
            "version_name": "20261121",
            "subarches": "generic,hwe-p",
            "release_title": "22.04 LTS",
        }
        leaf = {"generic": {"jammy": {"stable": item}}}
        self.assertEqual(
            self.index(image),
            {"ubuntu": {"amd64": {"ga-22.04": leaf, "generic": leaf, "hwe-p": leaf}}},
        )

    def test_own_before_answered(self) -> None:
        """A subarch that an image has itself is that image's; generic is the GA kernel's."""
        ga = bootable(JAMMY, kflavor="generic", version="1", subarches=("hwe-22.04",))
        hwe = bootable(
            JAMMY.replace("ga", "hwe"), kflavor="generic", version="2", subarches=("generic",)
        )
        index = self.index(hwe, ga)["ubuntu"]["amd64"]  # type: ignore[index,call-overload]  # JSON

        def version(subarch: str) -> str:
            return str(index[subarch]["generic"]["jammy"]["stable"]["version_name"])

        self.assertEqual(
            {subarch: version(subarch) for subarch in index},
            {"ga-22.04": "1", "generic": "1", "hwe-22.04": "2"},
        )

    def test_rolling_and_bootloader(self) -> None:
        """A rolling kernel is listed under its rolling name; a bootloader as MAAS names one."""
        rolling = bootable(JAMMY.replace("ga", "hwe"), rolling=True)
        index = self.index(rolling, bootloader("uefi", "amd64", "grub"))
        self.assertIn("hwe-rolling", index["ubuntu"]["amd64"])  # type: ignore[index,call-overload]  # JSON
        self.assertEqual(
            index["loader"],
            {
                "amd64": {
                    "generic": {
                        "bootloader": {
                            "uefi": {"stable": {"version_name": "20261121", "subarches": ""}}
                        }
                    }
                }
            },
        )
