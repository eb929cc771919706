"""Which images a selection means: MAAS's rules."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.images import Selection
from regiond.sources.catalogue import Offer
from regiond.sources.matching import SourceOffers, could_mean, select, select_from_sources
from regiond.sources.releases import Releases
from tests.doubles.catalogues import TODAY, bootloader, offers_of, ubuntu
from tests.doubles.stream_documents import product

OFFERS = offers_of(
    *ubuntu("jammy", "22.04"),
    *ubuntu("noble", "24.04"),
    *ubuntu("noble", "24.04", "arm64"),
    *ubuntu("plucky", "25.04"),
    bootloader(),
    bootloader("pxe", "pxelinux", "i386"),
)
RELEASES = Releases.of(OFFERS, TODAY)


def chosen(*selections: Selection, offers: tuple[Offer, ...] = OFFERS) -> list[str]:
    """The images that are selected, bootloaders left out, without os and label."""
    return [
        f"{offer.key.release}/{offer.key.arch}/{offer.key.subarch}"
        for offer in select(selections, offers, TODAY)
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
        self.assertEqual(select((), OFFERS, TODAY), ())

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

    def test_generic_is_never_hwe(self) -> None:
        """Where the GA kernel is missing, or faulty, another one does not take its place."""
        newer = offers_of(*ubuntu("jammy", "22.04")[2:])
        for subarch, names in (("generic", []), ("hwe-22.04", [JAMMY[2]]), ("*", JAMMY[2:])):
            selection = Selection("ubuntu", "jammy", ("amd64",), (subarch,))
            self.assertEqual(chosen(selection, offers=newer), names)

    def test_bootloaders(self) -> None:
        """Any selection brings all bootloaders of the source: amd64 needs i386's pxelinux."""
        found = select((Selection("ubuntu", "jammy", ("amd64",)),), OFFERS, TODAY)
        boot = {offer.key.arch for offer in found if offer.bootloader_type}
        self.assertEqual(boot, {"amd64", "i386"})

    @settings(max_examples=50)
    @given(st.sets(st.sampled_from(["jammy", "noble", "plucky", "x"]), max_size=3))
    def test_union(self, releases: set[str]) -> None:
        """Several selections select what each of them does, and nothing else."""
        selections = [Selection("ubuntu", release) for release in sorted(releases)]
        each = {name for selection in selections for name in chosen(selection)}
        self.assertEqual(set(chosen(*selections)), each)


class SelectFromSourcesTests(SynchronousTestCase):
    """``select_from_sources``"""

    def test_priority(self) -> None:
        """Per image the highest priority wins; what only another source has comes from there."""
        jammy, both = offers_of(*ubuntu("jammy", "22.04")), OFFERS
        everything = (Selection("ubuntu", "*"),)
        found = select_from_sources(
            [
                SourceOffers(1, 1, everything, both, TODAY),
                SourceOffers(2, 5, everything, jammy, TODAY),
            ]
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
                SourceOffers(1, 9, (), OFFERS, TODAY),
                SourceOffers(2, 0, (Selection("ubuntu", "jammy"),), OFFERS, TODAY),
            ]
        )
        self.assertEqual({selected.source_id for selected in found}, {2})

    def test_equal_priority(self) -> None:
        """Of two sources with one priority the older wins, in whatever order they come."""
        wanted = (Selection("ubuntu", "jammy"),)
        sources = [SourceOffers(n, 0, wanted, OFFERS, TODAY) for n in (2, 1)]
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
            for offer in select((selection,), OFFERS, TODAY):
                self.assertTrue(could_mean(selection, offer, RELEASES), (selection, offer.key))

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
            self.assertFalse(could_mean(selection, jammy, RELEASES), selection)
