"""What is wanted of each source."""

from functools import partial

import attrs

from common.errors import Conflict, NotFound
from common.images import Selection
from regiond.store import revisions, selections
from tests.doubles.stored_sources import JAMMY, OTHER, SourceStore
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite


class SelectionSuite(SourceStore):
    def test_selections_come_back_as_they_were_given(self) -> None:
        """Lists keep their order and their globs."""
        self.create()
        made = self.select(1)
        self.assertEqual(self.read(selections.list_selections, 1), (made,))
        self.assertEqual(made.selection, JAMMY)
        self.assertTrue(made.unchecked)
        self.write(selections.mark_checked, made.id)
        self.assertFalse(self.read(selections.list_selections, 1)[0].unchecked)

    def test_an_os_and_release_is_selected_once_per_source(self) -> None:
        """A second selection of the same release is refused."""
        self.create()
        self.create(OTHER)
        self.select(1)
        self.assertRaises(Conflict, self.select, 1)
        self.select(2)

    def test_a_selection_can_be_changed(self) -> None:
        """All fields are replaced, the id stays, and another one's os and release are refused."""
        self.create()
        made, other = self.select(1), self.select(1, attrs.evolve(JAMMY, release="noble"))
        wanted = Selection("ubuntu", "jammy", ("*",), ("hwe-*",), ("daily", "stable"))
        revision = self.read(revisions.selection_revision)
        change = partial(self.write, selections.update_selection)
        changed = change(1, made.id, wanted, unchecked=False, now=NOW)
        self.assertEqual((changed.id, changed.selection, changed.unchecked), (1, wanted, False))
        self.assertEqual(self.read(selections.one_selection, 1, made.id), changed)
        self.assertGreater(self.read(revisions.selection_revision), revision)
        with self.assertRaises(Conflict) as caught:
            change(1, other.id, wanted, unchecked=False, now=NOW)
        self.assertIn("selection 1", caught.exception.message)
        self.assertEqual(self.read(selections.one_selection, 1, other.id), other)
        self.create(OTHER)
        for place in ((2, made.id), (1, 9), (9, 1)):
            self.assertRaises(NotFound, self.read, selections.one_selection, *place)
            self.assertRaises(NotFound, change, *place, wanted, unchecked=True, now=NOW)

    def test_selections_belong_to_their_source(self) -> None:
        """A selection cannot be deleted through another source, nor made for none."""
        self.create()
        self.create(OTHER)
        made = self.select(1)
        self.assertRaises(NotFound, self.write, selections.delete_selection, 2, made.id, NOW)
        self.write(selections.delete_selection, 1, made.id, NOW)
        self.assertEqual(self.read(selections.list_selections), ())
        self.assertRaises(NotFound, self.select, 9)


class SelectionsOnSQLite(SelectionSuite, OnSQLite):
    pass


class SelectionsOnPostgreSQL(SelectionSuite, OnPostgreSQL):
    pass
