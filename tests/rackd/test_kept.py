"""Which older versions a rack gets, and which go when its disk is short."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.images import Image
from rackd.kept import blobs_of, missing, staying, to_fetch
from rackd.planning import HeldSnapshot, Holdings
from tests.doubles.images import image_of, named_file

WORDS = [named_file(word, word, size) for word, size in zip("abcdef", range(1, 7), strict=True)]
SIZES = {file.sha256: file.size_bytes for file in WORDS}
KEY = "ubuntu/amd64/ga-22.04/jammy/stable"


@st.composite
def kept_images(draw: st.DrawFn) -> list[Image]:
    """Versions that share files."""
    versions = draw(st.lists(st.sampled_from("12345"), unique=True, max_size=4))
    files = st.lists(st.sampled_from(WORDS), unique=True, min_size=1, max_size=3)
    return [image_of(KEY, *draw(files), version=version) for version in versions]


@st.composite
def disks(draw: st.DrawFn) -> Holdings:
    """What is on a disk: whole files, begun ones, an old snapshot."""
    names = st.sets(st.sampled_from(sorted(SIZES)))
    whole, begun = draw(names), draw(names)
    return Holdings(
        cache={name: SIZES[name] for name in whole},
        partials={name: draw(st.integers(0, SIZES[name])) for name in begun - whole},
        snapshots=(HeldSnapshot("old", 1.0, frozenset(draw(names))),),
        free_bytes=draw(st.integers(0, 20)),
    )


class StayingTests(SynchronousTestCase):
    @given(kept_images(), st.sets(st.sampled_from(sorted(SIZES))), disks(), st.integers(0, 30))
    def test_the_oldest_go_and_no_more_than_is_needed(
        self, kept: list[Image], needed: set[str], holdings: Holdings, missing_bytes: int
    ) -> None:
        """What stays is newer than what goes; the last that went was needed."""
        stay = staying(kept, needed, holdings, missing_bytes)
        gone = sorted((each for each in kept if each not in stay), key=lambda each: each.version)
        self.assertFalse(
            [1 for old in gone for new in stay if old.version > new.version], "newer ones went"
        )
        named = needed | holdings.snapshots[0].blobs

        def freed(images: list[Image], rest: list[Image]) -> int:
            blobs = blobs_of(images) - named - blobs_of(rest)
            return sum(holdings.cache.get(b, 0) + holdings.partials.get(b, 0) for b in blobs)

        if stay:
            self.assertGreaterEqual(freed(gone, list(stay)), missing_bytes)
        if gone:
            self.assertLess(freed(gone[:-1], [gone[-1], *stay]), missing_bytes)


class FetchTests(SynchronousTestCase):
    @given(kept_images(), disks())
    def test_only_what_fits_and_only_whole_images(
        self, kept: list[Image], holdings: Holdings
    ) -> None:
        """Never more than is free; each file fetched makes some image complete."""
        files = to_fetch(kept, holdings)
        names = {file.sha256 for file in files}
        self.assertEqual(len(names), len(files))
        self.assertLessEqual(
            sum(file.size_bytes - holdings.partials.get(file.sha256, 0) for file in files),
            holdings.free_bytes,
        )
        whole = [image for image in kept if set(missing(image, holdings)) <= names]
        self.assertLessEqual(names, blobs_of(whole))

    @given(kept_images(), disks())
    def test_with_room_everything_is_fetched_and_then_nothing(
        self, kept: list[Image], holdings: Holdings
    ) -> None:
        """And what is here is not fetched again."""
        roomy = Holdings(holdings.cache, holdings.partials, free_bytes=1000)
        files = to_fetch(kept, roomy)
        self.assertEqual(
            {file.sha256 for file in files}, blobs_of(kept) - frozenset(holdings.cache)
        )
        after = {**holdings.cache, **{file.sha256: file.size_bytes for file in files}}
        self.assertEqual(to_fetch(kept, Holdings(after)), ())

    def test_the_newest_comes_first(self) -> None:
        """It is the one that people go back to."""
        old, new = (image_of(KEY, WORDS[n], version=str(n)) for n in (0, 1))
        self.assertEqual(to_fetch([old, new], Holdings(free_bytes=50)), (WORDS[1], WORDS[0]))
        self.assertEqual(to_fetch([old, new], Holdings(free_bytes=2)), (WORDS[1],))
