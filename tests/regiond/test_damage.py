"""Damage of the database is an event, not only a line of the log."""

from regiond.damage import note_damage
from regiond.store import events
from tests.doubles.stores import NOW, OnSQLite, Store, finished


class DamageTests(Store, OnSQLite):
    def open_events(self) -> list[tuple[str, str]]:
        return [(each.event.code, each.event.cause) for each in self.read(events.list_events)]

    def test_damage_is_said_until_a_start_finds_none(self) -> None:
        """What a check found is shown with a remedy; the next clean start clears it."""
        self.database.problems = ("image: wrong page", "blob: missing row")
        finished(note_damage(self.database, NOW))
        self.assertEqual(
            self.open_events(), [("database-damaged", "image: wrong page; blob: missing row")]
        )
        self.database.problems = ()
        finished(note_damage(self.database, NOW + 1))
        self.assertEqual(self.open_events(), [])

    def test_a_sound_database_costs_no_write(self) -> None:
        """Nothing to say and nothing to clear: the database is only read."""
        before = self.read(lambda conn: conn.exec_driver_sql("PRAGMA data_version").scalar_one())
        finished(note_damage(self.database, NOW))
        after = self.read(lambda conn: conn.exec_driver_sql("PRAGMA data_version").scalar_one())
        self.assertEqual(after, before)
