"""The published states of a region."""

from regiond.store import changes, generations, images
from tests.doubles.publishing import KERNEL, NEWER, PublishedStore
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite


class GenerationSuite(PublishedStore):
    def test_before_the_first_publish_there_is_generation_zero(self) -> None:
        """Nothing published is a state of its own, with no view."""
        self.assertEqual(self.read(generations.current_generation), (0, ""))

    def test_every_generation_is_told_through_the_change_feed(self) -> None:
        """Subscribers hear of a publish after its commit, and the feed keeps it."""
        heard: list[changes.Change] = []
        unsubscribe = self.database.subscribe(heard.extend)
        self.publish([KERNEL])
        self.assertEqual([(each.kind, each.object) for each in heard], [("generation", "1")])
        self.assertEqual(self.read(changes.since, 0), tuple(heard))
        unsubscribe()
        self.publish([NEWER], version="2")
        self.assertEqual(len(heard), 1)
        self.assertEqual(self.read(changes.last_id), 2)

    def test_each_generation_names_one_view_per_rack(self) -> None:
        """Older generations can still be looked up by number."""
        self.publish([KERNEL])
        first = self.read(generations.current_generation)
        self.publish([NEWER], version="2")
        self.assertEqual(self.read(generations.view_for, 1, "rack-1"), first[1])
        self.assertIsNone(self.read(generations.view_for, 9, "rack-1"))

    def test_pruning_keeps_whatever_somebody_may_still_ask_for(self) -> None:
        """Documents of the current view and of the grace time stay; older ones go."""
        self.publish([KERNEL], version="1")
        old_view = self.read(generations.current_generation)[1]
        self.publish([NEWER], version="2", now=NOW + 1)
        self.assertEqual(self.write(generations.prune, NOW + 2), 0)
        self.write(images.forget_retired, NOW + images.GRACE_S + 1)
        self.assertEqual(self.write(generations.prune, NOW + images.GRACE_S + 1), 2)
        self.assertIsNone(self.read(generations.read_document, old_view))
        self.assertEqual(self.image_document().version, "2")
        self.assertEqual(self.read(generations.current_generation)[0], 2)


class GenerationsOnSQLite(GenerationSuite, OnSQLite):
    pass


class GenerationsOnPostgreSQL(GenerationSuite, OnPostgreSQL):
    pass
