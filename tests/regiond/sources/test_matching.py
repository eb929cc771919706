"""Which images a selection means: MAAS's rules."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.images import Selection
from regiond.sources.catalogue import Offer, catalogue
from regiond.sources.matching import (
    SourceOffers,
    could_mean,
    explain_unmatched,
    resolved,
    select,
    select_from_sources,
)
from regiond.sources.simplestreams import parse_products
from tests.doubles.stream_documents import STABLE, item, product, product_file, text


def ubuntu(release: str, version: str, arch: str = "amd64") -> list[dict[str, Any]]:
    """The kernels of one release as MAAS's stream has them."""
    title = f"{version} LTS" if version.endswith("04") and int(version[:2]) % 2 == 0 else version
    common = {"release": release, "version": version, "arch": arch, "release_title": title}
    older = f"generic,ga-18.04,ga-{version}"
    newer = f"{older},hwe-{version}"
    return [
        product(**common, subarch=f"ga-{version}", subarches=older),
        product(
            **common,
            subarch=f"ga-{version}",
            subarches=older,
            kflavor="lowlatency",
            name="l:v3:1" + arch + version,
        ),
        product(**common, subarch=f"hwe-{version}", subarches=newer),
        product(**common, subarch=f"hwe-{version}-edge", subarches=f"{newer},hwe-{version}-edge"),
    ]


def bootloader(
    arch: str = "amd64", os: str = "grub-efi-signed", kind: str = "uefi"
) -> dict[str, Any]:
    """A bootloader product."""
    entry = item("archive.tar.xz", f"bootloaders/{kind}/{arch}/{os}.tar.xz", arch.encode())
    return {
        "name": f"com.ubuntu.maas.stable:1:{os}:{kind}:{arch}",
        "os": os,
        "arch": arch,
        "label": "stable",
        "bootloader-type": kind,
        "versions": {"1": {"items": {os: entry}}},
    }


def offers_of(*products: dict[str, Any]) -> tuple[Offer, ...]:
    """What a source with these products offers."""
    found = catalogue([parse_products(text(product_file(*products)), STABLE, "x")])
    assert not found.ignored, found.ignored
    return found.newest


OFFERS = offers_of(
    *ubuntu("jammy", "22.04"),
    *ubuntu("noble", "24.04"),
    *ubuntu("noble", "24.04", "arm64"),
    *ubuntu("plucky", "25.04"),
    bootloader(),
    bootloader("i386", "pxelinux", "pxe"),
)


def chosen(*selections: Selection, offers: tuple[Offer, ...] = OFFERS) -> list[str]:
    """The images that are selected, bootloaders left out, without os and label."""
    return [
        f"{offer.key.release}/{offer.key.arch}/{offer.key.subarch}"
        for offer in select(selections, offers)
        if offer.bootloader_type is None
    ]


JAMMY = [
    "jammy/amd64/ga-22.04",
    "jammy/amd64/ga-22.04-lowlatency",
    "jammy/amd64/hwe-22.04",
    "jammy/amd64/hwe-22.04-edge",
]


class SelectTests(SynchronousTestCase):
    """``select``"""

    def test_nothing(self) -> None:
        """No selection selects nothing, not even bootloaders."""
        self.assertEqual(select((), OFFERS), ())

    def test_empty_lists(self) -> None:
        """An empty list of arches, subarches or labels selects no image."""
        for empty in ({"arches": ()}, {"subarches": ()}, {"labels": ()}):
            self.assertEqual(chosen(Selection("ubuntu", "jammy", **empty)), [])

    def test_everything_of_a_release(self) -> None:
        """Stars select every kernel and flavour of a release."""
        self.assertEqual(chosen(Selection("ubuntu", "jammy", ("amd64",))), JAMMY)

    def test_all(self) -> None:
        """Stars everywhere select all images."""
        self.assertEqual(len(chosen(Selection("*", "*"))), 16)

    def test_case_and_prefix(self) -> None:
        """Names match whole and with their case: no prefixes."""
        for selection in (
            Selection("Ubuntu", "jammy"),
            Selection("ubuntu", "jam"),
            Selection("ubuntu", "jammy", ("amd",)),
            Selection("ubuntu", "jammy", labels=("daily",)),
        ):
            self.assertEqual(chosen(selection), [])

    def test_globs(self) -> None:
        """Globs work in every field."""
        selection = Selection("ubu*", "[jn]*", ("arm*",), ("hwe-*-edge",), ("sta?le",))
        self.assertEqual(chosen(selection), ["noble/arm64/hwe-24.04-edge"])

    def test_own_name(self) -> None:
        """A kernel's own name selects that kernel, though newer ones list it too."""
        self.assertEqual(
            chosen(Selection("ubuntu", "jammy", ("amd64",), ("hwe-22.04",))), [JAMMY[2]]
        )

    def test_own_name_any_flavour(self) -> None:
        """A kernel's name selects it in every flavour: flavours are not asked for."""
        self.assertEqual(chosen(Selection("ubuntu", "jammy", ("amd64",), ("ga-22.04",))), JAMMY[:2])

    def test_folded_name(self) -> None:
        """The name with the flavour, as listings show it, selects that flavour alone."""
        selection = Selection("ubuntu", "jammy", ("amd64",), ("ga-22.04-lowlatency",))
        self.assertEqual(chosen(selection), [JAMMY[1]])

    def test_listed_name(self) -> None:
        """A name without a product of its own selects the first product that lists it."""
        self.assertEqual(chosen(Selection("ubuntu", "jammy", ("amd64",), ("ga-18.04",))), JAMMY[:2])

    def test_generic_is_ga(self) -> None:
        """Generic is the GA kernel, in whatever order the products come."""
        for products in (ubuntu("jammy", "22.04"), ubuntu("jammy", "22.04")[::-1]):
            selection = Selection("ubuntu", "jammy", ("amd64",), ("generic",))
            names = chosen(selection, offers=offers_of(*products))
            self.assertEqual(sorted(names), JAMMY[:2])

    def test_generic_of_old_releases(self) -> None:
        """In releases before 16.04 the GA kernel is hwe- and the release's first letter."""
        common = {"release": "trusty", "version": "14.04"}
        offers = offers_of(
            product(**common, subarch="hwe-u", subarches="generic,hwe-t,hwe-u"),
            product(**common, subarch="hwe-t", subarches="generic,hwe-t"),
        )
        selection = Selection("ubuntu", "trusty", ("*",), ("generic",))
        self.assertEqual(chosen(selection, offers=offers), ["trusty/amd64/hwe-t"])

    def test_bootloaders(self) -> None:
        """Any selection brings all bootloaders of the source: amd64 needs i386's pxelinux."""
        found = select((Selection("ubuntu", "jammy", ("amd64",)),), OFFERS)
        boot = {offer.key.arch for offer in found if offer.bootloader_type}
        self.assertEqual(boot, {"amd64", "i386"})

    @settings(max_examples=50, deadline=None)
    @given(st.sets(st.sampled_from(["jammy", "noble", "plucky", "x"]), max_size=3))
    def test_union(self, releases: set[str]) -> None:
        """Several selections select what each of them does, and nothing else."""
        selections = [Selection("ubuntu", release) for release in sorted(releases)]
        each = {name for selection in selections for name in chosen(selection)}
        self.assertEqual(set(chosen(*selections)), each)


class LatestLtsTests(SynchronousTestCase):
    """``latest-lts``"""

    def test_newest(self) -> None:
        """latest-lts is the newest LTS, not the newest release."""
        selection = Selection("ubuntu", "latest-lts", ("arm64",), ("generic",))
        self.assertEqual(
            chosen(selection), ["noble/arm64/ga-24.04", "noble/arm64/ga-24.04-lowlatency"]
        )
        self.assertEqual(resolved(selection, OFFERS).release, "noble")

    def test_none(self) -> None:
        """Where no LTS is offered, latest-lts stays symbolic and selects nothing."""
        offers = offers_of(*ubuntu("plucky", "25.04"))
        selection = Selection("ubuntu", "latest-lts")
        self.assertEqual(resolved(selection, offers), selection)
        self.assertEqual(chosen(selection, offers=offers), [])

    def test_numbers(self) -> None:
        """Versions compare as numbers: 22.04 is newer than 8.04."""
        offers = offers_of(
            *ubuntu("jammy", "22.04"),
            product(release="hardy", version="8.04", release_title="8.04 LTS"),
        )
        self.assertEqual(resolved(Selection("ubuntu", "latest-lts"), offers).release, "jammy")


class SelectFromSourcesTests(SynchronousTestCase):
    """``select_from_sources``"""

    def test_priority(self) -> None:
        """Per image the highest priority wins; what only another source has comes from there."""
        jammy, both = offers_of(*ubuntu("jammy", "22.04")), OFFERS
        everything = (Selection("ubuntu", "*"),)
        found = select_from_sources(
            [SourceOffers(1, 1, everything, both), SourceOffers(2, 5, everything, jammy)]
        )
        sources = {(selected.offer.key.release, selected.source_id) for selected in found}
        self.assertLessEqual({("jammy", 2), ("noble", 1)}, sources)
        self.assertNotIn(("jammy", 1), sources)
        keys = [selected.offer.key for selected in found]
        self.assertEqual(len(keys), len(set(keys)))

    def test_unselected_source(self) -> None:
        """A source gives only what its own selections want, whatever its priority."""
        found = select_from_sources(
            [
                SourceOffers(1, 9, (), OFFERS),
                SourceOffers(2, 0, (Selection("ubuntu", "jammy"),), OFFERS),
            ]
        )
        self.assertEqual({selected.source_id for selected in found}, {2})

    def test_equal_priority(self) -> None:
        """Of two sources with one priority the older wins, in whatever order they come."""
        wanted = (Selection("ubuntu", "jammy"),)
        sources = [SourceOffers(n, 0, wanted, OFFERS) for n in (2, 1)]
        for order in (sources, sources[::-1]):
            self.assertEqual({one.source_id for one in select_from_sources(order)}, {1})


class CouldMeanTests(SynchronousTestCase):
    """``could_mean``, for images that vanished upstream"""

    def test_agrees_with_select(self) -> None:
        """Whatever a selection selects, it also could mean."""
        for selection in (
            Selection("ubuntu", "jammy"),
            Selection("*", "*", ("arm64",)),
            Selection("ubuntu", "noble", ("*",), ("generic",)),
            Selection("ubuntu", "latest-lts"),
        ):
            for offer in select((selection,), OFFERS):
                self.assertTrue(could_mean(selection, offer), (selection, offer.key))

    def test_others(self) -> None:
        """Images of another name are not meant."""
        jammy = offers_of(*ubuntu("jammy", "22.04"))[0]
        for selection in (
            Selection("centos", "jammy"),
            Selection("ubuntu", "noble"),
            Selection("ubuntu", "jammy", ("arm64",)),
            Selection("ubuntu", "jammy", ("*",), ("hwe-24.04",)),
            Selection("ubuntu", "jammy", labels=("daily",)),
        ):
            self.assertFalse(could_mean(selection, jammy), selection)


class ExplainUnmatchedTests(SynchronousTestCase):
    """``explain_unmatched``"""

    def test_matched(self) -> None:
        """A selection that matches needs no explanation."""
        self.assertIsNone(explain_unmatched(Selection("ubuntu", "jammy"), OFFERS))

    def test_nearest(self) -> None:
        """The first word that leads nowhere is named with the nearest right one."""
        cases = {
            "no os 'ubunut'; did you mean 'ubuntu'?": Selection("ubunut", "jammy"),
            "no release 'jamy'; did you mean 'jammy'?": Selection("ubuntu", "jamy"),
            "no arch 'amd46'; did you mean 'amd64'?": Selection("ubuntu", "jammy", ("amd46",)),
            "no arch 'x86'; offered: amd64": Selection("ubuntu", "jammy", ("x86",)),
            "no subarch 'ga-22.4'; did you mean 'ga-22.04'?": Selection(
                "ubuntu", "jammy", ("*",), ("ga-22.4",)
            ),
            "no label 'stabel'; did you mean 'stable'?": Selection(
                "ubuntu", "jammy", labels=("stabel",)
            ),
        }
        for explanation, selection in cases.items():
            self.assertEqual(explain_unmatched(selection, OFFERS), explanation)

    def test_nothing_offered(self) -> None:
        """A source without images says so."""
        for offers in ((), offers_of(bootloader())):
            explained = explain_unmatched(Selection("ubuntu", "jammy"), offers)
            self.assertEqual(explained, "the source offers no images")
