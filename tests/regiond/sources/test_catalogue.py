"""From products to offered images: MAAS's mapping."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from regiond.sources.catalogue import Catalogue, Offer, catalogue, folded_subarch
from regiond.sources.simplestreams import parse_products
from tests.doubles.stream_documents import STABLE, item, items, product, product_file, text


def offered(*products: dict[str, Any]) -> Catalogue:
    """The catalogue of one document with these products."""
    return catalogue([parse_products(text(product_file(*products)), STABLE, "x")])


def only_offer(**tags: object) -> Offer:
    """What one product offers, which must be one image."""
    found = offered(product(**tags))
    assert len(found.offers) == 1, found.ignored
    return found.offers[0]


def bootloader(
    kind: str = "uefi", os: str = "grub-efi-signed", arch: str = "amd64", **tags: object
) -> Any:
    """A bootloader product as MAAS's stream has it."""
    path = f"bootloaders/{kind}/{arch}/20231004.0/{os}.tar.xz"
    return {
        "name": f"com.ubuntu.maas.stable:1:{os}:{kind}:{arch}",
        "arch": arch,
        "arches": "i386,amd64",
        "bootloader-type": kind,
        "label": "stable",
        "os": os,
        "versions": {"20231004.0": {"items": {os: item("archive.tar.xz", path)}}},
        **tags,
    }


class MappingTests(SynchronousTestCase):
    """Names of images."""

    def test_ga_kernel(self) -> None:
        """A GA kernel keeps its names, flavour, title and the names it also answers to."""
        offer = only_offer()
        self.assertEqual(str(offer.key), "ubuntu/amd64/ga-22.04/jammy/stable")
        self.assertEqual(
            (offer.version, offer.kflavor, offer.title), ("20250718", "generic", "22.04 LTS")
        )
        self.assertEqual(offer.subarches, ("generic", "hwe-t", "ga-18.04", "ga-20.04", "ga-22.04"))
        self.assertEqual((offer.os_version, offer.support_eol), ("22.04", "2027-04-21"))

    def test_flavours(self) -> None:
        """A flavour is folded into ga- and hwe- kernels, before edge, and never twice."""
        table = {
            ("ga-18.04", "generic"): "ga-18.04",
            ("ga-18.04", None): "ga-18.04",
            ("ga-18.04", "lowlatency"): "ga-18.04-lowlatency",
            ("hwe-18.04-edge", "lowlatency"): "hwe-18.04-lowlatency-edge",
            ("ga-18.04-lowlatency", "lowlatency"): "ga-18.04-lowlatency",
            ("hwe-18.04-edge-lowlatency", "lowlatency"): "hwe-18.04-edge-lowlatency",
            ("hwe-18.04-lowlatency-edge", "lowlatency"): "hwe-18.04-lowlatency-edge",
            ("xgene-uboot", "xgene"): "xgene-uboot",
            ("generic", "lowlatency"): "generic",
            ("nvidia-ga-22.04", "64k"): "nvidia-ga-22.04-64k",
        }
        for (subarch, flavour), folded in table.items():
            with self.subTest(subarch, flavour=flavour):
                self.assertEqual(folded_subarch(subarch, flavour), folded)

    def test_folded_key(self) -> None:
        """The key has the folded name, the offer still knows the stream's own."""
        offer = only_offer(subarch="hwe-22.04-edge", kflavor="lowlatency")
        self.assertEqual(offer.key.subarch, "hwe-22.04-lowlatency-edge")
        self.assertEqual((offer.own_subarch, offer.kflavor), ("hwe-22.04-edge", "lowlatency"))

    def test_defaults(self) -> None:
        """Without os and subarch a product is Ubuntu and generic."""
        made = product()
        del made["os"], made["subarch"]
        found = offered({"name": "x:v3:y", **made})
        self.assertEqual(str(found.offers[0].key), "ubuntu/amd64/generic/jammy/stable")

    def test_bootloader(self) -> None:
        """A bootloader's release is its type, its subarch generic, and it has no flavour."""
        [offer] = offered(bootloader()).offers
        self.assertEqual(str(offer.key), "grub-efi-signed/amd64/generic/uefi/stable")
        self.assertEqual((offer.bootloader_type, offer.kflavor), ("uefi", None))

    def test_ubuntu_core(self) -> None:
        """Ubuntu Core has its gadget in the release and its kernel snap as flavour."""
        made = product(os="ubuntu-core", release="16", gadget_snap="pc", kernel_snap="pc-kernel")
        [offer] = offered({"name": "com.ubuntu.maas:v4:core", **made}).offers
        self.assertEqual(str(offer.key), "ubuntu-core/amd64/generic/16-pc/stable")
        self.assertEqual(offer.kflavor, "pc-kernel")

    def test_centos(self) -> None:
        """Another system needs no special product name."""
        made = product(os="centos", release="centos70", subarch="generic")
        [offer] = offered({"name": "com.ubuntu.maas.stable:centos-bases:7.0:amd64", **made}).offers
        self.assertEqual(str(offer.key), "centos/amd64/generic/centos70/stable")

    def test_rolling(self) -> None:
        """``rolling`` is true as a JSON value and as a text, and false otherwise."""
        for value, rolling in ((True, True), ("true", True), (False, False), ("no", False)):
            self.assertEqual(only_offer(rolling=value).rolling, rolling)

    def test_title(self) -> None:
        """The title is made of what titles there are."""
        titles = {"os_title": "Ubuntu", "release_title": "16", "gadget_title": "PC"}
        self.assertEqual(only_offer(**titles).title, "Ubuntu 16 PC")


class FilesTests(SynchronousTestCase):
    """Files of an image."""

    def test_files(self) -> None:
        """Files are named by the last part of their path; the manifest is not fetched."""
        names = {file.name: file.upstream_path for file in only_offer().files}
        self.assertEqual(set(names), {"boot-kernel", "boot-initrd", "squashfs"})
        self.assertEqual(names["boot-kernel"], "jammy/amd64/20250718/ga-22.04/generic/boot-kernel")

    def test_squashfs_wins(self) -> None:
        """Squashfs makes root-image.gz superfluous; alone, root-image.gz is taken."""
        root = item("root-image.gz", "jammy/amd64/20250718/root-image.gz")
        both = items() | {"root-image.gz": root}
        without = {name: entry for name, entry in both.items() if name != "squashfs"}
        for entries, taken in ((both, "squashfs"), (without, "root-image.gz")):
            ftypes = {file.ftype for file in only_offer(versions={"20250718": entries}).files}
            self.assertEqual(ftypes, {"boot-kernel", "boot-initrd", taken})

    def test_size(self) -> None:
        """An offer's size is that of its files."""
        offer = only_offer()
        self.assertEqual(offer.size_bytes, sum(file.size_bytes for file in offer.files))


class IgnoredTests(SynchronousTestCase):
    """What is not offered has a visible reason."""

    def test_reasons(self) -> None:
        """Each kind of product that cannot be used is named with its reason."""
        notice = {"x": {"ftype": "notifications", "release_notification": {"version": 1}}}
        unknown = {"x": item("mystery", "a/x")}
        twins = {"a": item("boot-kernel", "a/x"), "b": item("boot-initrd", "b/x")}
        cases = {
            "lacks ':v2:' and ':v3:'": {"name": "com.example:jammy", **product()},
            "lacks ':v4:'": {"name": "a:v3:b", **product(os="ubuntu-core")},
            "lacks ':1:'": bootloader(name="grub"),
            "boots no machine here": bootloader("pxe", "pxelinux", "amd64"),
            "is for MAAS 3.10 and newer": product(maas_supported="3.10"),
            "release ''": product(release="", versions={"1": items()}),
            "label ''": product(label=""),
            "arch '../x'": {"name": "a:v3:b", **product(arch="../x", versions={"1": items()})},
            "nothing to download": product(versions={"1": {}}),
            "release notification": product(versions={"1": notice}),
            "only mystery": product(versions={"1": unknown}),
            "same name": product(versions={"1": twins}),
            "no versions": product(versions={}),
        }
        for reason, made in cases.items():
            with self.subTest(reason):
                found = offered(made)
                self.assertEqual(found.offers, ())
                [ignored] = found.ignored
                self.assertIn(reason, ignored.reason)

    def test_supported(self) -> None:
        """A product for a MAAS that is old enough is offered, compared by numbers."""
        for version in ("2.2", "3.8", "3"):
            self.assertEqual(only_offer(maas_supported=version).version, "20250718")

    def test_platform_products(self) -> None:
        """Platform kernels have another version word in their names."""
        made = {"name": "a:v3+platform:b", **product(subarch="nvidia-ga-22.04")}
        self.assertEqual(len(offered(made).offers), 1)

    def test_parse_faults(self) -> None:
        """What the parser skipped is among the ignored."""
        made = product(versions={"1": {"k": item("boot-kernel", "../x")}})
        [ignored] = offered(made).ignored
        self.assertIn("'../x'", ignored.reason)

    def test_same_image_twice(self) -> None:
        """Of two products that give one image the first is offered, the other named."""
        found = offered(product(), {"name": "second:v3:x", **product()})
        self.assertEqual(len(found.offers), 1)
        self.assertIn("already offered by com.ubuntu.maas.stable", found.ignored[0].reason)

    def test_no_fallback(self) -> None:
        """An image whose newest version cannot be used is not offered in an older one."""
        found = offered(product(versions={"2": {"x": item("mystery", "a/x")}, "1": items()}))
        self.assertEqual((found.offers, found.ignored[0].version), ((), "2"))


class NewestTests(SynchronousTestCase):
    """``Catalogue.newest``"""

    def test_newest(self) -> None:
        """Of each product only the last version in byte order is the newest."""
        versions = {name: items(version=name) for name in ("20250101.2", "20250101.10")}
        found = offered(product(versions=versions), product(arch="arm64"))
        newest = [(offer.key.arch, offer.version) for offer in found.newest]
        self.assertEqual(newest, [("amd64", "20250101.2"), ("arm64", "20250718")])
        self.assertEqual(len(found.offers), 3)
