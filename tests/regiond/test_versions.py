"""Which versions of an image stay."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from regiond.versions import HeldVersion, previous, surplus

STATES = st.sampled_from(["importing", "published", "kept"])


@st.composite
def held(draw: st.DrawFn) -> list[HeldVersion]:
    """The versions of one image; at most one of them is published."""
    rows = draw(st.lists(st.tuples(st.sampled_from("abcdef"), STATES), max_size=10))
    is_published = [state == "published" for _, state in rows]
    return [
        HeldVersion(n, version, "kept" if is_published[n] and any(is_published[:n]) else state)
        for n, (version, state) in enumerate(rows)
    ]


class SurplusTests(SynchronousTestCase):
    @given(held(), st.integers(-1, 12))
    def test_the_newest_complete_ones_stay(self, versions: list[HeldVersion], most: int) -> None:
        """As many as are wanted or there, whatever is being imported; the published always."""
        complete = {each.id: each for each in versions if each.state != "importing"}
        gone = surplus(versions, most)
        self.assertLessEqual(gone, complete.keys())
        stay = [each for each in complete.values() if each.id not in gone]
        names = {each.version for each in complete.values()}
        self.assertEqual(len(stay), min(max(most, 1), len(names)))
        self.assertEqual(len({each.version for each in stay}), len(stay))
        for each in complete.values():
            if each.state == "published":
                self.assertIn(each, stay)
        stay_names = {each.version for each in stay}
        for each in stay:
            if each.state != "published":
                self.assertFalse([name for name in names - stay_names if name > each.version])

    @given(held(), st.integers(1, 12))
    def test_what_stays_stays(self, versions: list[HeldVersion], most: int) -> None:
        """Asked again about what is left, nothing more goes."""
        gone = surplus(versions, most)
        self.assertEqual(surplus([v for v in versions if v.id not in gone], most), frozenset())

    def test_a_corrected_version_counts_once(self) -> None:
        """Of two that are called alike the later one stays."""
        twice = [HeldVersion(1, "a", "kept"), HeldVersion(2, "a", "published")]
        self.assertEqual(surplus(twice, 5), {1})


class PreviousTests(SynchronousTestCase):
    @given(held())
    def test_the_newest_that_is_older(self, versions: list[HeldVersion]) -> None:
        """Never a newer one, never one that is not complete, and none only if there is none."""
        for published in (each for each in versions if each.state == "published"):
            older = [
                each.version
                for each in versions
                if each.state == "kept"
                and (each.version, each.id) < (published.version, published.id)
            ]
            found = previous(versions, published)
            self.assertEqual(found and (found.state, found.version), (
                ("kept", max(older)) if older else None))  # fmt: skip
