"""Views of racks that are restricted, in the database."""

from common.errors import NotFound
from common.images import View
from regiond.store import generations, images, publication, racks
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite, Store, content, key

KERNEL = content(10, seed=1)
ROOT = content(12, seed=2)
NEWER = content(14, seed=3)
JAMMY, NOBLE = key("jammy"), key("noble")


class RackViewSuite(Store):
    """Two images, and two racks of which one is to hold one of them."""

    def setUp(self) -> None:
        super().setUp()
        self.take_lease()
        self.publish([KERNEL], of=JAMMY)
        self.publish([ROOT], of=NOBLE)
        for name in ("small", "large"):
            self.write(lambda conn, name=name: racks._active_rack(conn, name, NOW))

    def restrict(self, *words: str, name: str = "small") -> int:
        return self.write(generations.restrict_rack, name, words or None, NOW)

    def digest(self, name: str) -> str:
        return self.read(generations.current_view, name)[1]

    def held(self, name: str) -> list[str]:
        document = self.read(generations.read_document, self.digest(name))
        assert document is not None
        return sorted(View.from_document(document).images)

    def test_a_restricted_rack_holds_what_its_words_mean(self) -> None:
        """A new generation, in which only that rack's view is another."""
        before = self.read(generations.current_view, "large")
        self.assertEqual(self.restrict("*/jammy"), before[0] + 1)
        self.assertEqual(self.held("small"), [str(JAMMY)])
        self.assertEqual(self.held("large"), sorted([str(JAMMY), str(NOBLE)]))
        self.assertEqual(self.digest("large"), before[1])
        self.assertEqual(self.read(racks.rack_named, "small").selections, ["*/jammy"])

    def test_what_changes_nothing_for_a_rack_leaves_its_view(self) -> None:
        """Another image, or another rack's restriction: it has nothing to do."""
        self.restrict("*/jammy")
        before = self.digest("small")
        self.publish([NEWER], of=NOBLE, version="20261102")
        self.assertEqual(self.digest("small"), before)
        self.restrict("*/noble", name="large")
        self.assertEqual(self.digest("small"), before)
        self.publish([NEWER], of=JAMMY, version="20261102")
        self.assertNotEqual(self.digest("small"), before)

    def test_the_same_again_is_no_new_generation(self) -> None:
        """And neither is a restriction that takes nothing away."""
        number = self.restrict("*/jammy")
        self.assertEqual(self.restrict("*/jammy"), number)
        self.assertEqual(self.restrict("*", name="large"), number)

    def test_everything_again(self) -> None:
        """Without a restriction a rack has the view of all."""
        self.restrict("*/jammy")
        self.restrict()
        self.assertEqual(self.digest("small"), self.digest("large"))
        self.assertIsNone(self.read(racks.rack_named, "small").selections)

    def test_nothing(self) -> None:
        """Words that mean no image: a view without images, and a rack that holds none."""
        self.restrict("centos")
        self.assertEqual(self.held("small"), [])

    def test_bytes_outside_the_view_are_not_for_a_rack(self) -> None:
        """Only blobs of what its restriction means."""
        for words, kernel, root in ((None, True, True), (("*/jammy",), True, False)):
            may = [
                self.read(images.is_blob_in_view, each.sha256, words, NOW)
                for each in (KERNEL, ROOT)
            ]
            self.assertEqual(may, [kernel, root])

    def test_views_go_with_their_generations(self) -> None:
        """What is pruned is pruned for every rack; the current views stay."""
        self.restrict("*/jammy")
        old = self.digest("small")
        self.publish([NEWER], of=JAMMY, version="20261102")
        number, new = self.read(generations.current_view, "small")
        self.write(generations.prune, NOW + images.GRACE_S)
        self.assertEqual(self.read(generations.current_view, "small"), (number, new))
        self.assertIsNone(self.read(generations.view_for, number - 1, "small"))
        self.assertIsNone(self.read(generations.read_document, old))
        self.assertIsNotNone(self.read(generations.read_document, new))

    def test_what_a_silent_rack_holds_can_be_listed(self) -> None:
        """The view that it reported last is kept, however old its generation is."""
        old = self.digest("small")
        self.write(racks.report_sync, "small", 2, old, None, NOW)
        self.publish([NEWER], of=JAMMY, version="20261102")
        self.write(generations.prune, NOW + images.GRACE_S)
        self.assertIsNotNone(self.read(generations.read_document, old))

    def test_a_deleted_rack_is_not_restricted_any_more(self) -> None:
        """Whoever enrols under its name begins with everything."""
        self.restrict("*/jammy")
        self.write(racks.delete_rack, "small", NOW)
        self.write(lambda conn: racks._active_rack(conn, "small", NOW))
        self.assertIsNone(self.read(racks.rack_named, "small").selections)
        self.assertRaises(NotFound, self.restrict, "*", name="nobody")

    def test_before_the_first_publish(self) -> None:
        """A restriction without images is no generation."""
        for each in self.read(images.list_images):
            self.write(publication.retire_images, [each.id], self.epoch, NOW)
        self.restrict("*/jammy")
        self.assertEqual(self.digest("small"), self.digest("large"))


class RackViewsOnSQLite(RackViewSuite, OnSQLite):
    pass


class RackViewsOnPostgreSQL(RackViewSuite, OnPostgreSQL):
    pass
