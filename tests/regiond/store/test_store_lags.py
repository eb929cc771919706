"""How far racks are behind, in the database."""

from regiond.store import generations, images, racks
from regiond.store.lags import Lag, lags
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, Store, content, key

JAMMY, NOBLE = key("jammy"), key("noble")


class LagSuite(Store):
    """Two images, and two racks of which one is to hold one of them."""

    def setUp(self) -> None:
        super().setUp()
        self.take_lease()
        self.publish([content(10, seed=1)], of=JAMMY)
        self.publish([content(12, seed=2)], of=NOBLE)
        for name in ("small", "large"):
            self.write(lambda conn, name=name: racks._active_rack(conn, name, NOW))
        self.write(generations.restrict_rack, "small", ["*/noble"], NOW)
        self.first = {name: self.digest(name) for name in ("small", "large")}

    def digest(self, name: str) -> str:
        return self.read(generations.current_view, name)[1]

    def newer(self, seed: int, now: float) -> None:
        self.publish([content(10, seed=seed)], of=JAMMY, version=f"202611{seed:02}", now=now)

    def test_nobody_is_behind(self) -> None:
        """Who holds its view lacks nothing, whatever number that has."""
        self.assertEqual(self.read(lags, self.first), (3, {"small": Lag(), "large": Lag()}))

    def test_what_does_not_concern_a_rack_is_no_lag(self) -> None:
        """Counted is from the last generation in which its view was what it holds."""
        self.newer(3, NOW + 60)
        self.newer(4, NOW + 120)
        number, found = self.read(lags, self.first)
        self.assertEqual(number, 5)
        self.assertEqual(found, {"small": Lag(), "large": Lag(2, NOW + 60)})

    def test_a_rack_that_holds_nothing(self) -> None:
        """It lacks all there is; one that nobody knows of lacks it, too."""
        _, found = self.read(lags, {"large": "", "other": "0" * 64})
        self.assertEqual(found, {"large": Lag(3, NOW), "other": Lag(3, NOW)})

    def test_old_generations_are_forgotten_and_their_number_is_not(self) -> None:
        """A rack that was away for days is as many generations behind as it is."""
        self.write(racks.report_sync, "large", 3, self.first["large"], None, NOW)
        late = NOW + images.GRACE_S + 1
        self.newer(3, late)
        self.newer(4, late + 60)
        self.write(generations.prune, late + 61)
        _, found = self.read(lags, {"large": self.first["large"]})
        self.assertEqual(found["large"].generations, 5 - self.number_of("large"))
        self.assertEqual(found["large"].since, late)

    def number_of(self, name: str) -> int:
        """The number in the document of the rack's first view."""
        content_of = self.read(generations.read_document, self.first[name])
        assert content_of is not None
        return generations.View.from_document(content_of).generation

    def test_a_region_without_racks(self) -> None:
        """It has its number, and nobody is behind."""
        self.assertEqual(self.read(lags, {}), (3, {}))


class LagsOnSQLite(LagSuite, OnSQLite):
    pass


class LagsOnPostgreSQL(LagSuite, OnPostgreSQL):
    pass
