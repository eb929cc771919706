"""The number by which an import sees that something changed."""

from regiond.store import revisions, selections, sources
from tests.doubles.stored_sources import DOCUMENT, SourceStore
from tests.doubles.stores import NOW, OnPostgreSQL, OnSQLite


class RevisionSuite(SourceStore):
    def test_the_revision_changes_with_every_source_and_selection(self) -> None:
        """An import can tell that what it is to do changed meanwhile."""
        seen = [self.read(revisions.selection_revision)]
        for change in (
            self.create,
            lambda: self.select(1),
            lambda: self.write(sources.update_source, 1, {"priority": 6}, NOW),
            lambda: self.write(selections.delete_selection, 1, 1, NOW),
            lambda: self.write(sources.delete_source, 1, NOW),
        ):
            change()
            seen.append(self.read(revisions.selection_revision))
        self.assertEqual(seen, sorted(set(seen)))

    def test_reading_and_success_do_not_change_the_revision(self) -> None:
        """Bookkeeping of an import does not look like a change of what it is to do."""
        self.create()
        before = self.read(revisions.selection_revision)
        self.keep(1, DOCUMENT, now=NOW + 5)
        self.assertEqual(self.read(sources.source, 1).last_success_at, NOW + 5)
        self.assertEqual(self.read(revisions.selection_revision), before)


class RevisionsOnSQLite(RevisionSuite, OnSQLite):
    pass


class RevisionsOnPostgreSQL(RevisionSuite, OnPostgreSQL):
    pass
