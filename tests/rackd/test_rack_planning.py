"""Tests of the rack's plan: its laws, and MAAS's tree."""

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.images import Image
from rackd.planning import (
    ARCHIVE,
    MOST_ASIDE,
    MOST_ASIDE_BYTES,
    CleanUp,
    Damaged,
    HeldSnapshot,
    Holdings,
    clean_up,
    lay_out,
    plan,
)
from tests.doubles.images import image_of, named_file

NOW_S = 1_800_000_000.0
WORDS = [f"blob-{number}" for number in range(8)]
BLOBS = {named_file("x", word).sha256: word for word in WORDS}

_files = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True).map(
    lambda words: [named_file(f"file-{number}", word) for number, word in enumerate(words)]
)
_keys = st.tuples(
    st.sampled_from(["ubuntu", "centos"]),
    st.sampled_from(["amd64", "arm64"]),
    st.sampled_from(["ga-22.04", "hwe-22.04", "hwe-j", "generic"]),
    st.sampled_from(["jammy"]),
    st.sampled_from(["stable", "daily"]),
).map("/".join)
_flags = st.fixed_dictionaries(
    {
        "kflavor": st.sampled_from([None, "generic", "lowlatency"]),
        "rolling": st.booleans(),
        "bootloader_type": st.sampled_from([None, None, None, "uefi", "pxe"]),
    }
)


@st.composite
def _image_lists(draw: st.DrawFn) -> list[Image]:
    keys = draw(st.lists(_keys, max_size=5, unique=True))
    return [image_of(key, *draw(_files), **draw(_flags)) for key in keys]


@st.composite
def _holdings(draw: st.DrawFn) -> Holdings:
    blobs = st.sampled_from(sorted(BLOBS))
    snapshots = tuple(
        HeldSnapshot(f"snapshot-{age}", NOW_S - age, draw(st.frozensets(blobs, max_size=3)))
        for age in draw(st.lists(st.integers(0, 20_000), max_size=4, unique=True))
    )
    return Holdings(
        cache=draw(st.dictionaries(blobs, st.sampled_from([1000, 1000, 7]))),
        partials=draw(st.dictionaries(blobs, st.integers(0, 1000))),
        snapshots=snapshots,
        current=draw(st.sampled_from(["", *(snapshot.name for snapshot in snapshots)])),
        free_bytes=draw(st.integers(0, 6000)),
    )


class PlanLaws(SynchronousTestCase):
    """What holds for every selection and every disk."""

    @settings(max_examples=80)
    @given(_image_lists(), _holdings())
    def test_complete(self, images: list[Image], holdings: Holdings) -> None:
        """After fetching, every path of the tree has its blob; nothing is fetched needlessly."""
        made = plan(images, holdings)
        right = {sha256 for sha256, size in holdings.cache.items() if size == 1000}
        fetched = [file.sha256 for file in made.fetch]
        self.assertEqual(len(fetched), len(set(fetched)))
        self.assertEqual(made.layout.blobs - right, set(fetched))
        self.assertEqual(
            made.need_bytes - made.missing_bytes, min(made.need_bytes, holdings.free_bytes)
        )
        after = Holdings(cache={**holdings.cache, **dict.fromkeys(fetched, 1000)})
        self.assertEqual(plan(images, after).fetch, ())

    @settings(max_examples=60)
    @given(_image_lists(), st.randoms())
    def test_order(self, images: list[Image], shuffler: object) -> None:
        """The tree does not depend on the order in which images are named."""
        shuffled = list(images)
        shuffler.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a Random
        self.assertEqual(lay_out(images).files, lay_out(shuffled).files)

    @settings(max_examples=60)
    @given(_image_lists())
    def test_directories(self, images: list[Image]) -> None:
        """A directory never mixes two images, and every image is laid out or named as skipped."""
        layout = lay_out(images)
        contents: dict[str, set[tuple[str, str]]] = {}
        for path, file in layout.files.items():
            directory, _, name = path.rpartition("/")
            contents.setdefault(directory, set()).add((name, file.sha256))
        possible = [{(file.name, file.sha256) for file in image.files} for image in images]
        for found in contents.values():
            self.assertIn(found, possible)
        self.assertEqual(len({skipped.image for skipped in layout.skipped}), len(layout.skipped))

    @settings(max_examples=80)
    @given(_image_lists(), _holdings(), st.booleans(), st.sets(st.integers(0, 3)))
    def test_nothing_wanted_goes(
        self, images: list[Image], holdings: Holdings, is_short: bool, over: set[int]
    ) -> None:
        """What is selected, shown, or not over yet is never deleted."""
        wanted = lay_out(images).blobs
        names = {each.name for number, each in enumerate(holdings.snapshots) if number in over}
        gone = clean_up(wanted, holdings, names, is_short=is_short)
        self.assertFalse(wanted & {*gone.cache, *gone.partials})
        self.assertEqual(set(gone.snapshots), names - {holdings.current})
        for snapshot in holdings.snapshots:
            if snapshot.name not in gone.snapshots:
                self.assertFalse(snapshot.blobs & set(gone.cache))


class RoomTests(SynchronousTestCase):
    """What has to fit."""

    def test_members_of_archives(self) -> None:
        """An archive that is to be fetched needs room for what is in it, too."""
        archive = attrs.evolve(named_file("a.tar.xz", "archive"), ftype=ARCHIVE)
        image = image_of("grub/amd64/generic/uefi/stable", archive, bootloader_type="uefi")
        made = plan([image], Holdings(free_bytes=4999))
        self.assertEqual((made.need_bytes, made.missing_bytes), (1000, 1))
        held = plan([image], Holdings(cache={archive.sha256: 1000}))
        self.assertEqual(held.missing_bytes, 0)


class CleanUpTests(SynchronousTestCase):
    """What may go."""

    def test_blobs_of_snapshots(self) -> None:
        """A blob goes with the last snapshot that shows it."""
        old = HeldSnapshot("old", NOW_S - 90_000, frozenset({"a"}))
        new = HeldSnapshot("new", NOW_S, frozenset({"b"}))
        holdings = Holdings({"a": 1, "b": 1, "c": 1}, {"d": 1}, (old, new), "new")
        self.assertEqual(clean_up({"b"}, holdings), CleanUp((), ("c",), ("d",)))
        gone = CleanUp(("old",), ("a", "c"), ("d",))
        self.assertEqual(clean_up({"b"}, holdings, {"old"}), gone)

    def test_damaged(self) -> None:
        """Of damaged blobs the newest stay, so many and so large; all go when room is missing."""
        third = MOST_ASIDE_BYTES // 3
        damaged = tuple(Damaged(f"d{number}", third, NOW_S - number) for number in range(5))
        holdings = Holdings(damaged=damaged[::-1])
        self.assertEqual(clean_up((), holdings).aside, ("d3", "d4"))
        self.assertEqual(len(clean_up((), holdings, is_short=True).aside), 5)
        small = tuple(Damaged(f"{number}", 0, NOW_S) for number in range(MOST_ASIDE + 7))
        self.assertEqual(len(clean_up((), Holdings(damaged=small)).aside), 7)


class LayoutTests(SynchronousTestCase):
    """MAAS's tree."""

    def directories(self, *images: Image) -> dict[str, str]:
        """The directories of the tree, and the blob of the only file in each."""
        return {
            path.rpartition("/")[0]: BLOBS[file.sha256]
            for path, file in lay_out(images).files.items()
        }

    def test_generic(self) -> None:
        """A GA kernel of the generic flavour also stands under generic; others do not."""
        cases = {
            ("ga-22.04", "jammy", "generic"): True,
            ("ga-22.04-lowlatency", "jammy", "lowlatency"): False,
            ("ga-22.04", "jammy", None): False,
            ("hwe-t", "trusty", "generic"): True,
            ("hwe-u", "trusty", "generic"): False,
            ("hwe-22.04", "jammy", "generic"): False,
        }
        for (subarch, release, kflavor), is_linked in cases.items():
            image = image_of(
                f"ubuntu/amd64/{subarch}/{release}/stable",
                named_file("boot-kernel", "blob-0"),
                kflavor=kflavor,
            )
            found = set(self.directories(image))
            expected = {f"ubuntu/amd64/{subarch}/{release}/stable"}
            if is_linked:
                expected.add(f"ubuntu/amd64/generic/{release}/stable")
            self.assertEqual(found, expected)

    def test_every_kind(self) -> None:
        """Each kind of kernel that MAAS knows, and all the names under which it stands."""
        for subarch, kflavor, rolling, further in (
            ("generic", "generic", False, ()),
            ("ga-22.04", "generic", False, ("generic",)),
            ("ga-22.04", "generic", True, ("generic", "ga-rolling")),
            ("ga-22.04-lowlatency", "lowlatency", False, ()),
            ("hwe-22.04", "generic", False, ()),
            ("hwe-22.04", "generic", True, ("hwe-rolling",)),
            ("hwe-22.04-edge", "generic", False, ()),
            ("hwe-22.04-lowlatency", "lowlatency", True, ("hwe-rolling-lowlatency",)),
            ("hwe-22.04-lowlatency-edge", "lowlatency", True, ("hwe-rolling-lowlatency-edge",)),
            ("hwe-j", "generic", False, ("generic",)),
            ("hwe-j", "lowlatency", False, ()),
            ("nvidia-ga-22.04", "generic", False, ()),
            ("nvidia-ga-22.04", "nvidia", False, ()),
            ("generic", "generic", True, ()),
        ):
            image = image_of(
                f"ubuntu/amd64/{subarch}/jammy/stable",
                named_file("boot-kernel", "blob-0"),
                kflavor=kflavor,
                rolling=rolling,
            )
            expected = {f"ubuntu/amd64/{name}/jammy/stable" for name in (subarch, *further)}
            self.assertEqual(set(self.directories(image)), expected, (subarch, kflavor, rolling))

    def test_other_systems(self) -> None:
        """Images of other systems and custom ones stand where their names say, and there alone."""
        for key in (
            "centos/amd64/generic/centos70/stable",
            "custom/amd64/generic/my-image/uploaded",
            "windows/amd64/generic/win2016/uploaded",
            "ubuntu-core/amd64/generic/16-pc/stable",
        ):
            image = image_of(key, named_file("root-tgz", "blob-0"))
            self.assertEqual(set(self.directories(image)), {key})

    def test_one_place_for_two(self) -> None:
        """Of two that want one place one has it, always the same, and the other is named."""
        first = image_of(
            "a/amd64/generic/uefi/x", named_file("k", "blob-0"), bootloader_type="uefi"
        )
        second = image_of(
            "b/amd64/generic/uefi/x", named_file("k", "blob-1"), bootloader_type="uefi"
        )
        for images in ((first, second), (second, first)):
            layout = lay_out(images)
            self.assertEqual(layout.files, {"bootloader/uefi/amd64/k": first.files[0]})
            self.assertEqual([each.image for each in layout.skipped], [str(second.key)])
            self.assertIn("belongs to a/amd64/generic/uefi/x", layout.skipped[0].reason)

    def test_reserved(self) -> None:
        """No operating system is called like something that the rack makes in the root."""
        for os in ("boot.ipxe", "grub", "maas.meta", "mirror", "pxelinux.cfg", "current"):
            image = image_of(f"{os}/amd64/generic/x/stable", named_file("k", "blob-0"))
            layout = lay_out([image])
            self.assertEqual((layout.files, len(layout.skipped)), ({}, 1))

    def test_archive(self) -> None:
        """An archive is fetched and kept, and stands nowhere itself."""
        file = named_file("a.tar.xz", "blob-0")
        image = image_of(
            "g/amd64/generic/uefi/x", attrs.evolve(file, ftype=ARCHIVE), bootloader_type="uefi"
        )
        made = plan([image], Holdings(free_bytes=5000))
        self.assertEqual(made.layout.files, {})
        self.assertEqual(list(made.layout.archives), ["bootloader/uefi/amd64/a.tar.xz"])
        self.assertEqual([each.sha256 for each in made.fetch], [file.sha256])
        self.assertEqual(clean_up(made.layout.blobs, Holdings({file.sha256: 1})), CleanUp())

    def test_generic_of_its_own(self) -> None:
        """An image that is generic itself keeps its place; a GA kernel goes before an HWE one."""
        own = image_of("ubuntu/amd64/generic/jammy/stable", named_file("k", "blob-0"))
        ga = image_of(
            "ubuntu/amd64/ga-22.04/jammy/stable", named_file("k", "blob-1"), kflavor="generic"
        )
        hwe = image_of(
            "ubuntu/amd64/hwe-j/jammy/stable", named_file("k", "blob-2"), kflavor="generic"
        )
        path = "ubuntu/amd64/generic/jammy/stable"
        self.assertEqual(self.directories(hwe, ga, own)[path], "blob-0")
        self.assertEqual(self.directories(hwe, ga)[path], "blob-1")
        self.assertEqual(self.directories(hwe)[path], "blob-2")

    def test_rolling(self) -> None:
        """A rolling kernel also stands under the rolling name of its flavour."""
        cases = {
            "hwe-22.04": "hwe-rolling",
            "hwe-22.04-edge": "hwe-rolling-edge",
            "hwe-22.04-lowlatency-edge": "hwe-rolling-lowlatency-edge",
        }
        for subarch, rolling in cases.items():
            image = image_of(
                f"ubuntu/amd64/{subarch}/jammy/stable", named_file("k", "blob-0"), rolling=True
            )
            self.assertIn(f"ubuntu/amd64/{rolling}/jammy/stable", self.directories(image))

    def test_bootloader(self) -> None:
        """A bootloader stands under its type and architecture, and nowhere else."""
        image = image_of(
            "grub-efi-signed/amd64/generic/uefi/stable",
            named_file("grub2-signed.tar.xz", "blob-0"),
            bootloader_type="uefi",
        )
        self.assertEqual(
            list(lay_out([image]).files), ["bootloader/uefi/amd64/grub2-signed.tar.xz"]
        )

    def test_unusable(self) -> None:
        """An image that cannot be laid out is skipped and named; the others stand."""
        good = image_of("ubuntu/amd64/ga-22.04/jammy/stable", named_file("k", "blob-0"))
        bad = [
            image_of(".rackferry-view/amd64/generic/jammy/stable", named_file("k", "blob-1")),
            image_of("bootloader/uefi/amd64/x/stable", named_file("k", "blob-1")),
            image_of("a/b/c/d/e", named_file("k", "blob-1"), named_file("k", "blob-2")),
            image_of("a/b/c/d/f", named_file("k", "blob-1"), bootloader_type="../x"),
            image_of("z/b/c/d/g", named_file("k", "blob-0", 999)),
        ]
        layout = lay_out([*bad, good])
        self.assertEqual(
            {skipped.image for skipped in layout.skipped}, {str(image.key) for image in bad}
        )
        self.assertEqual(list(layout.files), ["ubuntu/amd64/ga-22.04/jammy/stable/k"])
