from sqlalchemy import Connection

from common.events import Event, Severity
from regiond.store import changes, events, imports, settings
from tests.doubles.stores import DAY_S, NOW, OnPostgreSQL, OnSQLite, Store

FULL = Event("no-space", Severity.ERROR, "database", "the disk is full", "free space")
OLD = Event("source-old", Severity.WARNING, "boot-source 1", "30 days without change")
NEWS = Event("import-done", Severity.INFO, "import", "2 images")


class EventSuite(Store):
    def raise_event(self, event: Event, now: float = NOW) -> bool:
        return self.write(events.raise_event, event, now)

    def test_a_repeated_event_is_one_row_that_counts(self) -> None:
        """The newest cause and remedy are shown, the first time is remembered."""
        self.assertTrue(self.raise_event(FULL))
        worse = Event("no-space", Severity.ERROR, "database", "still full", "free more")
        self.assertFalse(self.raise_event(worse, NOW + 60))
        (kept,) = self.read(events.list_events)
        self.assertEqual((kept.count, kept.first_at, kept.event.at), (2, NOW, NOW + 60))
        self.assertEqual((kept.event.cause, kept.event.remedy), ("still full", "free more"))

    def test_a_cleared_event_is_past_and_a_new_one_is_new(self) -> None:
        """Clearing closes the row; the next occurrence has a row of its own."""
        self.raise_event(FULL)
        self.assertTrue(self.write(events.clear_event, "no-space", "database", NOW + 1))
        self.assertFalse(self.write(events.clear_event, "no-space", "database", NOW + 2))
        self.assertEqual(self.read(events.list_events), ())
        self.assertTrue(self.raise_event(FULL, NOW + 3))
        past = self.read(events.list_events, cleared=True)
        self.assertEqual(
            [(each.cleared_at is None, each.count) for each in past], [(True, 1), (False, 1)]
        )

    def test_clearing_is_exact(self) -> None:
        """Another object's event of the same code stays open."""
        self.raise_event(FULL)
        other = Event("no-space", Severity.ERROR, "rack-1", "full")
        self.raise_event(other)
        self.write(events.clear_event, "no-space", "rack-1", NOW)

    def test_a_level_means_this_and_worse(self) -> None:
        """Newest first, limited by severity and number."""
        for place, event in enumerate((FULL, OLD, NEWS)):
            self.raise_event(event, NOW + place)

        def codes(*level: Severity, **more: int) -> list[str]:
            listed = self.read(events.list_events, *level, **more)
            return [each.event.code for each in listed]

        self.assertEqual(codes(), ["import-done", "source-old", "no-space"])
        self.assertEqual(codes(Severity.WARNING), ["source-old", "no-space"])
        self.assertEqual(codes(Severity.ERROR), ["no-space"])
        self.assertEqual(codes(limit=1), ["import-done"])

    def test_a_page_of_events_says_how_many_there_are(self) -> None:
        """Those after the ones that are skipped; nothing behind the last."""
        for place in range(5):
            self.raise_event(Event("x", Severity.WARNING, f"thing {place}", "cause"), NOW + place)
        self.raise_event(NEWS, NOW + 9)
        self.write(events.clear_event, "x", "thing 4", NOW + 10)

        def page(skipped: int, *, cleared: bool) -> tuple[list[str], int]:
            found, total = self.read(
                events.events_from, skipped, 2, Severity.WARNING, cleared=cleared
            )
            return [each.event.object for each in found], total

        self.assertEqual(page(0, cleared=True), (["thing 4", "thing 3"], 5))
        self.assertEqual(page(4, cleared=True), (["thing 0"], 5))
        self.assertEqual(page(6, cleared=True), ([], 5))
        self.assertEqual(page(0, cleared=False), (["thing 3", "thing 2"], 4))

    def test_a_code_shows_what_only_happened_too(self) -> None:
        """Facts are never open: whoever asks for their code wants them all the same."""
        self.raise_event(OLD)
        self.write(events.clear_event, OLD.code, OLD.object, NOW + 1)
        self.write(events.record_fact, NEWS, NOW)
        self.raise_event(FULL)

        def codes(code: str, **more: bool) -> list[str]:
            return [each.event.code for each in self.read(events.list_events, code=code, **more)]

        self.assertEqual(codes(NEWS.code), [NEWS.code])
        self.assertEqual(codes(OLD.code), [])
        self.assertEqual(codes(OLD.code, cleared=True), [OLD.code])
        self.assertEqual(codes(FULL.code), [FULL.code])

    def test_only_past_events_and_news_expire(self) -> None:
        """An open problem stays until its cause is gone, however old it is."""
        for event in (FULL, OLD, NEWS):
            self.raise_event(event)
        self.write(events.clear_event, OLD.code, OLD.object, NOW)
        self.assertFalse(self.read(events.has_expired, NOW))
        self.assertEqual(self.write(events.expire, NOW), 0)
        self.assertTrue(self.read(events.has_expired, NOW + DAY_S))
        self.assertEqual(self.write(events.expire, NOW + DAY_S), 2)
        (kept,) = self.read(events.list_events, cleared=True)
        self.assertEqual(kept.event.code, "no-space")

    def test_new_events_are_told_once(self) -> None:
        """The change feed hears of an event, by its id, when it opens and when it is cleared."""
        heard: list[changes.Change] = []
        self.database.subscribe(heard.extend)
        self.raise_event(FULL)
        self.raise_event(FULL)
        self.write(events.clear_event, FULL.code, FULL.object, NOW)
        (kept,) = self.read(events.list_events, cleared=True)
        event_id = str(kept.event.id)
        self.assertEqual([(each.kind, each.object) for each in heard], [("event", event_id)] * 2)

    def test_a_fact_is_past_at_once_and_each_has_its_own_row(self) -> None:
        """What was done is kept as often as it was done, and is nobody's open problem."""
        for now in (NOW, NOW + 1):
            self.write(events.record_fact, NEWS, now)
        self.assertEqual(self.read(events.list_events), ())
        past = self.read(events.list_events, cleared=True)
        self.assertEqual([(each.first_at, each.cleared_at, each.count) for each in past],
                         [(NOW + 1, NOW + 1, 1), (NOW, NOW, 1)])  # fmt: skip

    def test_the_feed_keeps_a_bounded_number_of_changes(self) -> None:
        """Old changes go by themselves; numbers go on."""

        def many(conn: Connection) -> None:
            for n in range(changes.KEPT + 5):
                changes.record(conn, "rack", str(n), NOW)

        self.write(many)
        kept = self.read(changes.since, 0)
        self.assertEqual((len(kept), kept[-1].id), (changes.KEPT, changes.KEPT + 5))
        self.assertEqual(self.read(changes.since, kept[-1].id), ())

    def test_what_is_rolled_back_is_not_told(self) -> None:
        """Nobody hears of a change that did not happen, nor later with another one."""
        heard: list[changes.Change] = []
        self.database.subscribe(heard.extend)

        def fails(conn: Connection) -> None:
            changes.record(conn, "rack", "lost", NOW)
            raise ValueError

        self.assertRaises(ValueError, self.write, fails)
        self.write(changes.record, "rack", "kept", NOW)
        self.assertEqual([each.object for each in heard], ["kept"])

    def test_settings_keep_any_json_value(self) -> None:
        """A value comes back as it was set, the default when it was not."""
        for value in (False, 60, "text", ["a"], {"b": None}):
            self.write(settings.put, "name", value, NOW)
            self.assertEqual(self.read(settings.get, "name", "default"), value)
        self.assertEqual(self.read(settings.everything), {"name": {"b": None}})
        self.write(settings.forget, "name", NOW)
        self.assertEqual(self.read(settings.get, "name", "default"), "default")

    def test_an_import_that_never_ended_was_interrupted(self) -> None:
        """The next import notes that the one before it never said how it ended."""
        first = self.write(imports.begin_import, 1, NOW)
        second = self.write(imports.begin_import, 2, NOW + 9)
        self.write(
            imports.end_import,
            second,
            "complete",
            reason="",
            published=2,
            fetched_bytes=7,
            now=NOW + 10,
        )
        newest, oldest = self.read(imports.last_imports, 5)
        self.assertEqual(
            (oldest.id, oldest.outcome, oldest.ended_at), (first, "interrupted", NOW + 9)
        )
        self.assertEqual(
            (newest.outcome, newest.published, newest.fetched_bytes), ("complete", 2, 7)
        )


class EventsOnSQLite(EventSuite, OnSQLite):
    pass


class EventsOnPostgreSQL(EventSuite, OnPostgreSQL):
    pass
