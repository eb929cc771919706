"""MAAS's matching, case by case: the products of its streams, what is typed, what is selected."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from common.images import Selection
from regiond.sources.catalogue import Offer
from regiond.sources.matching import select
from tests.doubles.catalogues import TODAY, bootloader, offered, offers_of
from tests.doubles.stream_documents import item, items, product


def kernel(
    release: str, version: str, subarch: str, subarches: str, kflavor: str = "generic", **tags: Any
) -> dict[str, Any]:
    """One kernel of an Ubuntu release."""
    name = f"com.ubuntu.maas.stable:v3:boot:{version}:amd64:{subarch}-{kflavor}"
    said = {"release": release, "version": version, "subarch": subarch, "subarches": subarches}
    return product(name=name, kflavor=kflavor, **said, **tags)


def system(os: str, release: str, **tags: Any) -> dict[str, Any]:
    """An image of another system: one root archive."""
    path = f"{os}/{release}/amd64/1/root-tgz"
    made = {"1": {"root-tgz": item("root-tgz", path, release.encode())}}
    usual = {"subarch": "generic", "subarches": "generic", "version": release}
    return product(name=f"com.ubuntu.maas.stable:{os}-bases:{release}:amd64", os=os,
                   release=release, versions=made, **{**usual, **tags})  # fmt: skip


TRUSTY_NAMES = ["generic", "hwe-p", "hwe-q", "hwe-r", "hwe-s", "hwe-t"]
TRUSTY = [
    kernel("trusty", "14.04", f"hwe-{letter}", ",".join([*TRUSTY_NAMES, *newer]))
    for letter, newer in (("t", []), ("u", ["hwe-u"]), ("v", ["hwe-u", "hwe-v"]),
                          ("x", ["hwe-u", "hwe-v", "hwe-w", "hwe-x"]))
]  # fmt: skip
XENIAL_NAMES = "generic,hwe-t,hwe-u,hwe-v,hwe-w,ga-16.04"
XENIAL_HWE = f"{XENIAL_NAMES},hwe-16.04"
XENIAL = [
    kernel("xenial", "16.04", "ga-16.04", XENIAL_NAMES),
    kernel("xenial", "16.04", "ga-16.04", XENIAL_NAMES, "lowlatency"),
    kernel("xenial", "16.04", "hwe-16.04", XENIAL_HWE, rolling=True),
    kernel("xenial", "16.04", "hwe-16.04", XENIAL_HWE, "lowlatency", rolling=True),
    kernel("xenial", "16.04", "hwe-16.04-edge", f"{XENIAL_HWE},hwe-16.04-edge"),
    kernel("xenial", "16.04", "hwe-16.04-edge", f"{XENIAL_HWE},hwe-16.04-edge", "lowlatency"),
]
PLATFORM = [
    kernel("jammy", "22.04", "ga-22.04", "generic,ga-22.04"),
    kernel("jammy", "22.04", "hwe-22.04", "generic,ga-22.04,hwe-22.04"),
    {
        **kernel("jammy", "22.04", "nvidia-ga-22.04", "nvidia-ga-22.04", platform="nvidia"),
        "name": "com.ubuntu.maas.stable:v3+platform:boot:22.04:amd64:nvidia-ga-22.04",
    },
]
OTHERS = [system("centos", name) for name in ("centos66", "centos70", "8")]
CORE = {
    **system("ubuntu-core", "16", gadget_snap="pc", kernel_snap="pc-kernel"),
    "name": "com.ubuntu.maas:v4:ubuntu-core:16:amd64:pc",
}
LOADERS = [
    bootloader("pxe", "pxelinux", "i386"),
    bootloader("uefi", "grub-efi-signed", "amd64"),
    bootloader("uefi", "grub-efi", "arm64"),
    bootloader("open-firmware", "grub-ieee1275", "ppc64el"),
]


def fresh(products: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Copies: building a document takes the names out of its products."""
    return [dict(each) for each in products]


OFFERS = offers_of(*fresh([*TRUSTY, *XENIAL, *PLATFORM, *OTHERS, CORE, *LOADERS]))
ALL_XENIAL = {
    "ga-16.04", "ga-16.04-lowlatency", "hwe-16.04", "hwe-16.04-lowlatency", "hwe-16.04-edge",
    "hwe-16.04-lowlatency-edge",
}  # fmt: skip
ALL_TRUSTY = {"hwe-t", "hwe-u", "hwe-v", "hwe-x"}

# release and subarches as they are typed -> the kernels that are selected
KERNELS: list[tuple[str, str, set[str]]] = [
    # Old kernels have letters; a letter without a kernel of its own means the first that has it.
    ("trusty", "hwe-t", {"hwe-t"}),
    ("trusty", "hwe-u", {"hwe-u"}),
    ("trusty", "hwe-x", {"hwe-x"}),
    ("trusty", "hwe-w", {"hwe-x"}),
    ("trusty", "hwe-p", {"hwe-t"}),
    ("trusty", "hwe-t,hwe-x", {"hwe-t", "hwe-x"}),
    ("trusty", "hwe-[tu]", {"hwe-t", "hwe-u"}),
    ("trusty", "generic", {"hwe-t"}),
    ("trusty", "*", ALL_TRUSTY),
    # The flavour is never asked for; the name with the flavour means that flavour.
    ("xenial", "ga-16.04", {"ga-16.04", "ga-16.04-lowlatency"}),
    ("xenial", "ga-16.04-lowlatency", {"ga-16.04-lowlatency"}),
    ("xenial", "hwe-16.04", {"hwe-16.04", "hwe-16.04-lowlatency"}),
    ("xenial", "hwe-16.04-edge", {"hwe-16.04-edge", "hwe-16.04-lowlatency-edge"}),
    ("xenial", "hwe-16.04-lowlatency-edge", {"hwe-16.04-lowlatency-edge"}),
    ("xenial", "hwe-w", {"ga-16.04", "ga-16.04-lowlatency"}),
    ("xenial", "generic", {"ga-16.04", "ga-16.04-lowlatency"}),
    ("xenial", "*", ALL_XENIAL),
    ("xenial", "hwe-16", set()),
    ("xenial", "lowlatency", set()),
    # The kernel of a platform is nobody's GA kernel.
    ("jammy", "nvidia-ga-22.04", {"nvidia-ga-22.04"}),
    ("jammy", "ga-22.04", {"ga-22.04"}),
    ("jammy", "generic", {"ga-22.04"}),
    ("jammy", "nvidia-*", {"nvidia-ga-22.04"}),
    ("jammy", "*", {"ga-22.04", "hwe-22.04", "nvidia-ga-22.04"}),
]
# A selection -> the releases that are selected
SYSTEMS: list[tuple[Selection, set[str]]] = [
    (Selection("centos", "centos66"), {"centos66"}),
    (Selection("centos", "centos70", ("amd64",), ("generic",), ("stable",)), {"centos70"}),
    (Selection("centos", "8"), {"8"}),
    (Selection("centos", "7"), set()),
    (Selection("centos", "*"), {"centos66", "centos70", "8"}),
    (Selection("ubuntu-core", "16-pc"), {"16-pc"}),
    (Selection("ubuntu-core", "16"), set()),
    (Selection("ubuntu", "*"), {"trusty", "xenial", "jammy"}),
    (Selection("*", "*"), {"trusty", "xenial", "jammy", "centos66", "centos70", "8", "16-pc"}),
    (Selection("ubuntu", ""), set()),
    (Selection("ubuntu", "xenial", ("amd",)), set()),
    (Selection("ubuntu", "Xenial"), set()),
    (Selection("ubuntu", "xenial", labels=("daily",)), set()),
    (Selection("ubuntu", "xenial", arches=()), set()),
]


def images(*selections: Selection, offers: tuple[Offer, ...] = OFFERS) -> list[Offer]:
    """What is selected besides bootloaders."""
    chosen = select(selections, offers, TODAY)
    return [offer for offer in chosen if offer.bootloader_type is None]


class SelectingTests(SynchronousTestCase):
    """What is selected"""

    def test_kernels(self) -> None:
        """GA, HWE, edge, flavours, letters, platforms and generic, each by its names."""
        for release, typed, expected in KERNELS:
            selection = Selection("ubuntu", release, ("amd64",), tuple(typed.split(",")))
            found = {offer.key.subarch for offer in images(selection)}
            self.assertEqual(found, expected, f"{release} {typed}")

    def test_kernels_in_any_order(self) -> None:
        """What has a kernel of its own does not depend on the order of the products."""
        backwards = offers_of(*fresh([*TRUSTY, *XENIAL, *PLATFORM])[::-1])
        listed_only = {"hwe-w", "hwe-p"}
        for release, typed, expected in KERNELS:
            if typed not in listed_only:
                selection = Selection("ubuntu", release, ("amd64",), tuple(typed.split(",")))
                found = {offer.key.subarch for offer in images(selection, offers=backwards)}
                self.assertEqual(found, expected, f"{release} {typed}")

    def test_systems(self) -> None:
        """CentOS by its historical names, Ubuntu Core with its gadget, and whole names only."""
        for selection, expected in SYSTEMS:
            found = {offer.key.release for offer in images(selection)}
            self.assertEqual(found, expected, selection)

    def test_bootloaders(self) -> None:
        """All bootloaders come with whatever is selected, and with nothing none."""
        for selection in (Selection("ubuntu", "xenial", ("arm64",)), Selection("x", "y")):
            found = select((selection,), OFFERS, TODAY)
            loaders = {offer.key.arch for offer in found if offer.bootloader_type}
            self.assertEqual(loaders, {"i386", "amd64", "arm64", "ppc64el"})
        self.assertEqual(select((), OFFERS, TODAY), ())

    def test_generic_is_never_a_hwe_kernel(self) -> None:
        """The HWE kernel lists generic, too, and comes first: generic is the GA kernel."""
        offers = offers_of(*fresh([XENIAL[0], XENIAL[2]])[::-1])
        [found] = images(Selection("ubuntu", "xenial", ("*",), ("generic",)), offers=offers)
        self.assertEqual(found.key.subarch, "ga-16.04")

    def test_a_kernel_called_generic_gives_way_to_the_ga_kernel(self) -> None:
        """A product whose own name is generic loses it to the GA kernel of its release."""
        plain = kernel("xenial", "16.04", "generic", "generic")
        offers = offers_of(*fresh([plain, XENIAL[0]]))
        [found] = images(Selection("ubuntu", "xenial", ("*",), ("generic",)), offers=offers)
        self.assertEqual(found.key.subarch, "ga-16.04")


class OfferingTests(SynchronousTestCase):
    """What is offered"""

    def test_product_names(self) -> None:
        """The version word in a product's name: Ubuntu, Ubuntu Core, bootloaders, others."""
        ubuntu, core, loader, other = {}, {"os": "ubuntu-core"}, bootloader(), {"os": "centos"}
        loader.pop("name")
        table: list[tuple[dict[str, Any], dict[str, bool]]] = [
            (ubuntu, {"a:v2:b": True, "a:v3:b": True, "a:V3:b": True, "a:v3+platform:b": True,
                      "a:v4:b": False, "a:1:b": False, "a:v1:b": False, "a:v33:b": False,
                      "a:v3+other:b": False, "v3": False, "a:b": False}),
            ({"os": "xubuntu-x"}, {"a:v3:b": True, "a:b": False}),
            (core, {"a:v4:b": True, "a:v3:b": False, "a:v3+platform:b": False}),
            (loader, {"a:1:b": True, "a:v3:b": False, "a:2:b": False}),
            (other, {"a:b": True, "a:v9:b": True, "x": True}),
        ]  # fmt: skip
        for tags, names in table:
            for name, is_offered in names.items():
                made = dict(tags) if "versions" in tags else product(**tags)
                found = offered({**made, "name": name})
                self.assertEqual(len(found.newest), is_offered, (tags.get("os"), name))
                self.assertEqual(len(found.ignored), not is_offered)

    def test_maas_supported(self) -> None:
        """Compared number by number with 3.8: 3.10 is newer, 3.8.0 is not older than 3.8."""
        table = {"": True, "2.2": True, "3": True, "3.8": True, "3.08": True, "3.9": False,
                 "3.10": False, "3.8.1": False, "4": False, "10.0": False}  # fmt: skip
        for version, is_offered in table.items():
            found = offered(product(maas_supported=version))
            self.assertEqual(len(found.newest), is_offered, version)

    def test_files(self) -> None:
        """Squashfs instead of root-image.gz; archives whole; unknown types are left out."""
        usual = items()
        table: list[tuple[set[str], set[str]]] = [
            ({"boot-kernel", "boot-initrd", "squashfs", "root-image.gz", "manifest"},
             {"boot-kernel", "boot-initrd", "squashfs"}),
            ({"boot-kernel", "boot-initrd", "root-image.gz"},
             {"boot-kernel", "boot-initrd", "root-image.gz"}),
            ({"root-tgz", "manifest"}, {"root-tgz"}),
            ({"root-dd.xz"}, {"root-dd.xz"}),
            ({"boot-kernel", "boot-dtb", "boot-initrd"}, {"boot-kernel", "boot-dtb",
                                                          "boot-initrd"}),
            ({"archive.tar.xz", "installer.bin"}, {"archive.tar.xz"}),
            ({"manifest", "squashfs.manifest"}, set()),
        ]  # fmt: skip
        for ftypes, expected in table:
            made = {
                ftype: usual.get(ftype) or item(ftype, f"jammy/{ftype}", ftype.encode())
                for ftype in ftypes
            }
            offers = offered(product(versions={"1": made})).newest
            found = {file.ftype for offer in offers for file in offer.files}
            self.assertEqual(found, expected)

    def test_rolling(self) -> None:
        """A rolling kernel says so, under its own name."""
        rolling = {offer.key.subarch for offer in OFFERS if offer.rolling}
        self.assertEqual(rolling, {"hwe-16.04", "hwe-16.04-lowlatency"})

    def test_ignored_bootloader(self) -> None:
        """Upstream's pxelinux for amd64 boots nothing, as in MAAS, and is named."""
        found = offered(bootloader("pxe", "pxelinux", "amd64"), *map(dict, LOADERS))
        self.assertEqual(len(found.newest), 4)
        self.assertIn("pxe/pxelinux/amd64", found.ignored[0].reason)
