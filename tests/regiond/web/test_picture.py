"""The picture of the fleet."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from regiond.web.picture import SIDE, done_of, picture_of


def racks(count: int) -> list[dict[str, object]]:
    """So many racks in sync."""
    return [{"name": f"r{n}", "status": "synced", "progress": None} for n in range(count)]


class PictureTests(SynchronousTestCase):
    @given(st.integers(0, 500))
    def test_every_rack_has_a_place_of_its_own_inside(self, count: int) -> None:
        """Whatever the size of the fleet."""
        picture = picture_of(racks(count))
        places = {(dot.x, dot.y) for dot in picture.dots}
        self.assertEqual(len(places), count)
        for x, y in places:
            self.assertLessEqual(x + SIDE, picture.width)
            self.assertLessEqual(y + SIDE, picture.height)

    def test_a_square_fills_from_below(self) -> None:
        """As far as the sync is."""
        progress = {"generation": 2, "fetched_bytes": 30, "total_bytes": 100}
        (dot,) = picture_of([{"name": "r", "status": "syncing", "progress": progress}]).dots
        self.assertEqual((dot.filled, dot.filled_y, dot.said), (3.0, 7.0, "syncing 30 %"))

    def test_how_far_is_never_more_than_all(self) -> None:
        """A rack may find more to do than it thought; of nothing there is no part."""
        for fetched_bytes, total_bytes, done in ((120, 100, 1.0), (0, 0, None), (0, 5, 0.0)):
            progress = {"fetched_bytes": fetched_bytes, "total_bytes": total_bytes}
            self.assertEqual(done_of({"progress": progress}), done)
