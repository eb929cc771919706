"""The documents of the region's own stream: their form, and when they are written anew."""

import json
from collections.abc import Mapping
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.digests import sha256_hex
from common.images import ImageKey
from regiond.sources.catalogue import Offer, catalogue
from regiond.sources.simplestreams import parse_index, parse_products
from regiond.store.images import NeededFile, StoredImage
from regiond.stream_documents import Drafts, Written, draft, manifest, path_of
from regiond.stream_tags import StreamTags

AT = 1_800_000_000
KERNEL, ROOT = ("boot-kernel", "boot-initrd", "squashfs"), ("root-tgz",)


def image(
    key: str, ftypes: tuple[str, ...] = KERNEL, version: str = "20261101", **more: Any
) -> StoredImage:
    """A published image whose files are named as their types."""
    files = tuple(
        NeededFile(ftype, ftype, sha256_hex(f"{key} {version} {ftype}".encode()), len(ftype))
        for ftype in sorted(ftypes)
    )
    made = StoredImage(
        id=1,
        key=ImageKey.parse(key),
        version=version,
        state="published",
        type="synced",
        source_id=1,
        kflavor="generic",
        bootloader_type=None,
        rolling=False,
        title="",
        subarches=("generic",),
        document_sha256=None,
        created_at=0.0,
        published_at=0.0,
        retired_at=None,
        files=files,
        complete_bytes=0,
    )
    return attrs.evolve(made, **more)


GA = image(
    "ubuntu/amd64/ga-22.04/jammy/stable",
    subarches=("generic", "ga-22.04"),
    title="Ubuntu 22.04 LTS",
    stream_tags=StreamTags(
        {
            "os_title": "Ubuntu",
            "release_title": "22.04 LTS",
            "release_codename": "Jammy Jellyfish",
            "support_eol": "2027-04-21",
            "version": "22.04",
            "kflavor": "generic",
            "subarch": "ga-22.04",
            "release": "jammy",
        },
        {"boot-kernel": {"item": "boot-kernel", "kpackage": "linux-generic"}},
    ),
)
LOWLATENCY = image(
    "ubuntu/amd64/hwe-22.04-lowlatency-edge/jammy/stable",
    kflavor="lowlatency",
    rolling=True,
    stream_tags=StreamTags({"subarch": "hwe-22.04-edge", "kflavor": "lowlatency"}),
)
CORE = image(
    "ubuntu-core/amd64/generic/20-pc/stable",
    ("root-dd.xz",),
    kflavor="pc-kernel",
    title="20 pc",
    stream_tags=StreamTags(
        {
            "release": "20",
            "release_title": "20",
            "gadget_snap": "pc",
            "gadget_title": "pc",
            "kernel_snap": "pc-kernel",
        }
    ),
)
CENTOS = image("centos/amd64/generic/centos70/stable", ROOT, "20240622_01", title="CentOS 7")
GRUB = attrs.evolve(
    image(
        "grub-efi-signed/amd64/generic/uefi/stable",
        ("grub2-signed.tar.xz", "shim-signed.tar.xz"),
        "20231004.0",
        kflavor=None,
        bootloader_type="uefi",
        subarches=(),
        stream_tags=StreamTags(
            {"arches": "amd64", "release": "?"},
            {
                "grub2-signed.tar.xz": {
                    "item": "grub2-signed",
                    "src_package": "grub2-signed",
                    "src_release": "focal",
                    "src_version": "1.167",
                }
            },
        ),
    )
)
GRUB = attrs.evolve(
    GRUB, files=tuple(attrs.evolve(file, ftype="archive.tar.xz") for file in GRUB.files)
)
UPLOADED = image("custom/arm64/generic/mine/uploaded", ("root-dd",), type="uploaded", title="Mine")
ALL = (GA, LOWLATENCY, CORE, CENTOS, GRUB, UPLOADED)

STATES = st.lists(
    st.tuples(st.sets(st.sampled_from(range(len(ALL)))), st.integers(-100, 100)), max_size=6
)
"""Which of the images are published, and by how much the clock was moved."""


def there(drafts: Drafts, known: Mapping[str, Written] | None = None) -> dict[str, Written]:
    """The documents that there are when these were written."""
    new = {path: Written(each.basis_sha256, each.updated) for path, each in drafts.new.items()}
    return {path: (known or {}).get(path, new.get(path)) for path in drafts.paths} | new  # type: ignore[dict-item]


def offers(drafts: Drafts, suffix: str = ".sjson") -> dict[ImageKey, Offer]:
    """What another region reads in the documents."""
    index = parse_index(drafts.new[f"streams/v1/index{suffix}"].text, "index")
    files = [
        parse_products(drafts.new[each.path].text, each.content_id, each.path)
        for each in index.entries
    ]
    found = catalogue(files)
    assert not found.ignored, found.ignored
    return {each.key: each for each in found.newest}


def products(drafts: Drafts) -> dict[str, dict[str, Any]]:
    """Every product of the signed documents."""
    found: dict[str, dict[str, Any]] = {}
    for path, each in drafts.new.items():
        if path.endswith(".sjson"):
            found |= json.loads(each.text).get("products", {})
    return found


class FormTests(SynchronousTestCase):
    def test_another_region_reads_what_is_published(self) -> None:
        """Key, version, names, titles and every file: nothing is lost on the way."""
        for suffix in (".json", ".sjson"):
            found = offers(draft(ALL, {}, AT), suffix)
            self.assertEqual(set(found), {each.key for each in ALL})
            for each in ALL:
                offer = found[each.key]
                self.assertEqual(offer.version, each.version)
                self.assertEqual(offer.bootloader_type, each.bootloader_type)
                self.assertEqual(offer.rolling, each.rolling)
                self.assertEqual(
                    [(file.name, file.ftype, file.sha256, file.size_bytes) for file in offer.files],
                    [(file.name, file.ftype, file.sha256, file.size_bytes) for file in each.files],
                )
                if each.bootloader_type is None:
                    self.assertEqual(offer.kflavor, each.kflavor)
                    self.assertEqual(offer.title, each.title or each.key.release)

    def test_what_the_source_said_is_said_again(self) -> None:
        """End of support, titles, packages: a chain of regions loses none of it."""
        made = draft(ALL, {}, AT)
        jammy = offers(made)[GA.key]
        self.assertEqual((jammy.support_eol, jammy.os_version), ("2027-04-21", "22.04"))
        self.assertEqual(jammy.subarches, GA.subarches)
        again = {name: dict(tags) for name, tags in jammy.stream_tags.items.items()}
        self.assertEqual(again["boot-kernel"], {"item": "boot-kernel", "kpackage": "linux-generic"})
        said = jammy.stream_tags.product.items()
        self.assertLessEqual(GA.stream_tags.product.items(), said)
        grub = products(made)["com.rackferry.stable:1:grub-efi-signed:uefi:amd64"]
        item = grub["versions"]["20231004.0"]["items"]["grub2-signed"]
        self.assertEqual(item["src_version"], "1.167")

    def test_what_the_newest_maas_demands(self) -> None:
        """Its readers refuse a document in which a single product lacks one of these."""
        made = draft((GA, LOWLATENCY, CENTOS, GRUB), {}, AT)
        common = {"arch", "label", "os", "versions"}
        images = common | {
            "release", "release_title", "subarch", "subarches", "support_eol", "version",
            "kflavor", "krel", "release_codename",
        }  # fmt: skip
        wanted = {"v3": images, "1": common | {"arches", "bootloader-type"}}
        for name, product in products(made).items():
            self.assertLessEqual(wanted[name.split(":")[1]], set(product), name)
            for version in product["versions"].values():
                items = version["items"]
                is_loader = name.split(":")[1] == "1"
                self.assertEqual("manifest" in items, not is_loader, name)
                for item in items.values():
                    self.assertLessEqual({"ftype", "path", "sha256", "size"}, set(item))
        for path, each in made.new.items():
            document = json.loads(each.text)
            self.assertEqual(document["updated"], "Fri, 15 Jan 2027 08:00:00 +0000")
            for entry in document.get("index", {}).values():
                self.assertEqual(entry["datatype"], "image-downloads")
                self.assertTrue(entry["path"].endswith(path[path.rindex(".") :]))

    def test_kinds_of_images_do_not_mix(self) -> None:
        """The newest MAAS wants each kind in a document of its own."""
        index = json.loads(draft(ALL, {}, AT).new["streams/v1/index.json"].text)
        self.assertEqual(
            {key: len(entry["products"]) for key, entry in index["index"].items()},
            {
                "com.rackferry:images:v3:download": 2,
                "com.rackferry:images:single:v3:download": 1,
                "com.rackferry:images:other:v3:download": 2,
                "com.rackferry:images:1:bootloader-download": 1,
            },
        )

    def test_lines_are_short(self) -> None:
        """GnuPG cuts the lines of a clear-signed text at 20,000 bytes."""
        many = [image(f"ubuntu/amd64/generic/r{n}/stable") for n in range(300)]
        for each in draft(many, {}, AT).new.values():
            self.assertLess(max(map(len, each.text.splitlines())), 1000)

    def test_paths(self) -> None:
        """As in a rack's tree, with the version; a version that is no name gets one."""
        self.assertEqual(
            path_of(GA, "squashfs"), "ubuntu/amd64/ga-22.04/jammy/stable/20261101/squashfs"
        )
        odd = attrs.evolve(GA, version="20261101_12:30")
        self.assertEqual(path_of(odd, "x").split("/")[5], sha256_hex(b"20261101_12:30"))
        self.assertIn(GA.key, offers(draft((odd,), {}, AT)))

    def test_what_can_have_no_path_is_left_out(self) -> None:
        """The directory of the documents is theirs; the rest is offered."""
        made = draft((image("streams/amd64/generic/x/stable", ROOT), GA), {}, AT)
        self.assertEqual(set(offers(made)), {GA.key})

    def test_manifest(self) -> None:
        """What sha256sum would say; for the kinds of which MAAS wants one."""
        lines = (manifest(CENTOS) or b"").decode()
        self.assertEqual(lines, f"{CENTOS.files[0].sha256}  root-tgz\n")
        self.assertIsNone(manifest(GRUB))
        self.assertIsNone(manifest(UPLOADED))


class ChangeTests(SynchronousTestCase):
    def test_nothing_changed_writes_nothing(self) -> None:
        """Whenever and however often it is asked."""
        first = draft(ALL, {}, AT)
        again = draft(reversed(ALL), there(first), AT + 999)
        self.assertEqual((dict(again.new), again.paths), ({}, first.paths))

    def test_only_what_changed_is_written(self) -> None:
        """Another document than the changed one and the indexes keeps its bytes."""
        known = there(draft(ALL, {}, AT))
        newer = image(str(CENTOS.key), ROOT, "20261212")
        changed = draft((GA, LOWLATENCY, CORE, newer, GRUB, UPLOADED), known, AT + 60)
        single = "streams/v1/com.rackferry:images:single:v3:download"
        index = "streams/v1/index"
        self.assertEqual(
            set(changed.new),
            {f"{stem}{end}" for stem in (single, index) for end in (".json", ".sjson")},
        )
        self.assertEqual({each.updated for each in changed.new.values()}, {AT + 60})
        entries = json.loads(changed.new[f"{index}.json"].text)["index"]
        self.assertEqual(
            {each["updated"] for each in entries.values()},
            {"Fri, 15 Jan 2027 08:00:00 +0000", "Fri, 15 Jan 2027 08:01:00 +0000"},
        )

    def test_a_document_whose_images_are_gone_goes(self) -> None:
        """The indexes name it no more."""
        known = there(draft(ALL, {}, AT))
        left = draft((GA,), known, AT + 60)
        self.assertEqual(len(known) - len(left.paths), 6)
        self.assertEqual(set(offers(draft((GA,), {}, AT))), {GA.key})
        self.assertEqual(
            draft((), known, AT).paths, {"streams/v1/index.json", "streams/v1/index.sjson"}
        )

    def test_signed_documents_name_signed_ones(self) -> None:
        """And only they are signed."""
        for path, each in draft(ALL, {}, AT).new.items():
            self.assertEqual(each.is_signed, path.endswith(".sjson"))

    @settings(max_examples=50)
    @given(STATES)
    def test_time_never_goes_back(self, states: list[tuple[set[int], int]]) -> None:
        """Readers refuse a document older than the one before, whatever this machine's clock did."""
        known: dict[str, Written] = {}
        for chosen, later in states:
            drafts = draft([ALL[n] for n in sorted(chosen)], known, AT + later)
            for path, each in drafts.new.items():
                if path in known:
                    self.assertGreater(each.updated, known[path].updated)
            known = there(drafts, known)
