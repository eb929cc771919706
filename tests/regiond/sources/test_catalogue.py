"""From products to offered images: MAAS's mapping."""

from twisted.trial.unittest import SynchronousTestCase

from regiond.sources.catalogue import Offer, catalogue, folded_subarch
from regiond.sources.simplestreams import Notice, parse_products
from tests.doubles.catalogues import bootloader, full_size, offered
from tests.doubles.stream_documents import STABLE, item, items, product, product_file, text


def only_offer(**tags: object) -> Offer:
    """What one product offers, which must be one image."""
    found = offered(product(**tags))
    assert len(found.newest) == 1, found.ignored
    return found.newest[0]


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
        self.assertEqual(str(found.newest[0].key), "ubuntu/amd64/generic/jammy/stable")

    def test_bootloader(self) -> None:
        """A bootloader's release is its type, its subarch generic, and it has no flavour."""
        [offer] = offered(bootloader()).newest
        self.assertEqual(str(offer.key), "grub-efi-signed/amd64/generic/uefi/stable")
        self.assertEqual((offer.bootloader_type, offer.kflavor), ("uefi", None))

    def test_ubuntu_core(self) -> None:
        """Ubuntu Core has its gadget in the release and its kernel snap as flavour."""
        made = product(os="ubuntu-core", release="16", gadget_snap="pc", kernel_snap="pc-kernel")
        [offer] = offered({"name": "com.ubuntu.maas:v4:core", **made}).newest
        self.assertEqual(str(offer.key), "ubuntu-core/amd64/generic/16-pc/stable")
        self.assertEqual(offer.kflavor, "pc-kernel")

    def test_centos(self) -> None:
        """Another system needs no special product name."""
        made = product(os="centos", release="centos70", subarch="generic")
        [offer] = offered({"name": "com.ubuntu.maas.stable:centos-bases:7.0:amd64", **made}).newest
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
                self.assertEqual(found.newest, ())
                [ignored] = found.ignored
                self.assertIn(reason, ignored.reason)

    def test_supported(self) -> None:
        """A product for a MAAS that is old enough is offered, compared by numbers."""
        for version in ("2.2", "3.8", "3"):
            self.assertEqual(only_offer(maas_supported=version).version, "20250718")

    def test_platform_products(self) -> None:
        """Platform kernels have another version word in their names."""
        made = {"name": "a:v3+platform:b", **product(subarch="nvidia-ga-22.04")}
        self.assertEqual(len(offered(made).newest), 1)

    def test_parse_faults(self) -> None:
        """What the parser skipped is among the ignored."""
        made = product(versions={"1": {"k": item("boot-kernel", "../x")}})
        [ignored] = offered(made).ignored
        self.assertIn("'../x'", ignored.reason)

    def test_same_image_twice(self) -> None:
        """Of two products that give one image the first is offered, the other named."""
        found = offered(product(), {"name": "second:v3:x", **product()})
        self.assertEqual(len(found.newest), 1)
        self.assertIn("already offered by com.ubuntu.maas.stable", found.ignored[0].reason)

    def test_same_image_in_two_documents(self) -> None:
        """Also under one name: of two documents the first gives the image."""
        first = parse_products(text(product_file(product())), STABLE, "x")
        again = product(release_title="another")
        second = parse_products(text(product_file(again, content_id="y")), "y", "y")
        found = catalogue([first, second])
        self.assertEqual([offer.content_id for offer in found.newest], [STABLE])
        self.assertIn("already offered by", found.ignored[0].reason)

    def test_an_older_version_takes_no_image_from_another_product(self) -> None:
        """A product that was another image once offers only what it is now."""
        moved = product(label="candidate")
        moved["versions"]["20240101"] = {"label": "stable", "items": items(version="20240101")}
        found = offered({"name": "moved:v3:x", **moved}, product())
        self.assertEqual([offer.key.label for offer in found.newest], ["candidate", "stable"])
        self.assertEqual(found.ignored, ())

    def test_no_fallback(self) -> None:
        """An image whose newest version cannot be used is not offered in an older one."""
        found = offered(product(versions={"2": {"x": item("mystery", "a/x")}, "1": items()}))
        self.assertEqual((found.newest, found.ignored[0].version), ((), "2"))


class AnyProductsTests(SynchronousTestCase):
    """``any_products``: names that MAAS does not know."""

    names = ("com.example:jammy", "com.example:core", "com.example:grub")

    def products(self) -> list[dict[str, object]]:
        core = product(os="ubuntu-core", release="22", gadget_snap="pc", kernel_snap="pc-kernel")
        made = (product(), core, bootloader())
        return [{**each, "name": name} for each, name in zip(made, self.names, strict=True)]

    def test_taken(self) -> None:
        """Ubuntu, Ubuntu Core and bootloaders of any name are offered if that is wanted."""
        found = offered(*self.products(), any_products=True)
        self.assertEqual([offer.product for offer in found.newest], [*self.names])

    def test_named(self) -> None:
        """Otherwise each is listed, with what to do about it."""
        found = offered(*self.products())
        self.assertEqual([ignored.product for ignored in found.ignored], [*self.names])
        for ignored in found.ignored:
            self.assertIn("any_products=true", ignored.reason)

    def test_everything_else_still_counts(self) -> None:
        """It opens names, not what MAAS cannot boot or does not support."""
        odd = bootloader("pxe", "pxelinux", "amd64")
        found = offered(odd, product(maas_supported="3.9"), any_products=True)
        self.assertEqual((found.newest, len(found.ignored)), ((), 2))


class DisputedPathTests(SynchronousTestCase):
    """A path means the same bytes for ever."""

    def liar(self) -> dict[str, object]:
        made = product(subarch="hwe-22.04")
        made["versions"]["20250718"]["items"]["squashfs"]["size"] += 1
        return made

    def test_across_documents(self) -> None:
        """So are those of different documents of one source."""
        first = parse_products(text(product_file(product(), product(arch="arm64"))), STABLE, "x")
        second = parse_products(text(product_file(self.liar(), content_id="y")), "y", "y")
        found = catalogue([first, second])
        self.assertEqual([offer.key.arch for offer in found.newest], ["arm64"])
        self.assertEqual(len(found.malformed), 2)

    def test_shared(self) -> None:
        """Kernels of one release share a squashfs: the same path twice is no dispute."""
        self.assertEqual(offered(product(), product(subarch="hwe-22.04")).malformed, ())


class NoticeTests(SynchronousTestCase):
    """Release notifications."""

    def notified(self, *notifications: object, **tags: object) -> list[Notice]:
        made = {
            str(n): {"ftype": "notifications", "release_notification": notification}
            for n, notification in enumerate(notifications)
        }
        notice = {"name": "com.ubuntu.maas:stable:1:notices", "versions": {"1": {"items": made}}}
        found = offered(product(), {**notice, **tags})
        self.assertEqual(len(found.newest), 1)
        self.assertEqual([ignored.reason for ignored in found.ignored],
                         ["is a release notification, not an image"])  # fmt: skip
        self.assertEqual(found.malformed, ())
        return list(found.notices)

    def test_read(self) -> None:
        """Message and MAAS version are kept; the product is no fault of anybody."""
        said = {"maas_version": "3.9", "message": "MAAS 3.9 is there", "version": 1}
        self.assertEqual(self.notified(said), [Notice("MAAS 3.9 is there", "3.9")])

    def test_malformed(self) -> None:
        """One that says nothing is left out, whatever it is instead; others are read."""
        good = {"message": "good"}
        odd = [5, None, [], "text", {}, {"message": 5}, {"message": " \n"}, {"message": None}]
        self.assertEqual(self.notified(*odd, good), [Notice("good", "")])

    def test_one_line(self) -> None:
        """Whatever a publisher writes, people see one printable line that is not long."""
        [notice] = self.notified({"message": "a\n\x1b[31mb" + "c" * 9000, "maas_version": "3\r9"})
        self.assertTrue(notice.message.startswith("a [31mbc"))
        self.assertTrue(notice.message.isprintable())
        self.assertEqual((len(notice.message), notice.maas_version), (500, "3 9"))

    def test_other_items(self) -> None:
        """A notification counts only as such: not in an item of another type."""
        made = product()
        said = {"ftype": "other", "release_notification": {"message": "x"}}
        made["versions"]["20250718"]["items"]["notice"] = said
        found = offered(made)
        self.assertEqual((len(found.newest), found.notices), (1, ()))


class OneAmongManyTests(SynchronousTestCase):
    """A catalogue of the real size with one bad product."""

    def test_one_bad_product_costs_that_product_only(self) -> None:
        """Of 242 products the other 241 are offered, whatever is wrong with the one."""
        good = catalogue([parse_products(text(full_size()), STABLE, "x")])
        self.assertEqual((len(good.newest), good.ignored), (242, ()))
        everything = {offer.product for offer in good.newest}
        for change in (
            {"versions": []},
            {"versions": {"1": {"items": {"k": {"path": "../x", "size": 1}}}}},
            {"label": "a/b"},
            {"maas_supported": "99"},
        ):
            document = full_size()
            name = list(document["products"])[100]
            document["products"][name] |= change
            found = catalogue([parse_products(text(document), STABLE, "x")])
            self.assertEqual({offer.product for offer in found.newest}, everything - {name})
            self.assertEqual([ignored.product for ignored in found.ignored], [name])


class NewestTests(SynchronousTestCase):
    """``Catalogue.newest``"""

    def test_newest(self) -> None:
        """Of each product the last version in byte order, and the names of all."""
        versions = {name: items(version=name) for name in ("20250101.2", "20250101.10")}
        found = offered(product(versions=versions), product(arch="arm64"))
        self.assertEqual(
            [(offer.key.arch, offer.version, offer.versions) for offer in found.newest],
            [
                ("amd64", "20250101.2", ("20250101.2", "20250101.10")),
                ("arm64", "20250718", ("20250718",)),
            ],
        )

    def test_order(self) -> None:
        """Versions are ordered by bytes, as every client of these streams orders them."""
        table = [
            ("20250101", "20250101.1"),
            ("20250101.10", "20250101.2"),
            ("20250101.9", "20250102"),
            ("20240622_01", "20240623"),
            ("20240622", "20240622_01"),
            ("20250102", "9"),
        ]
        for older, newer in table:
            for names in ((older, newer), (newer, older)):
                [offer] = offered(
                    product(versions={name: items(version=name) for name in names})
                ).newest
                self.assertEqual(offer.versions, (newer, older))
