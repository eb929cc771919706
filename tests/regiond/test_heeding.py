"""What follows from a change in the database."""

from unittest import mock

from twisted.internet.task import Clock

from common.errors import StorageError
from common.images import Selection
from regiond.heeding import Heeding
from regiond.limits import Limits
from regiond.region_settings import RegionSettings
from regiond.store import changes, selections, settings, sources
from tests.doubles.stores import NOW, OnSQLite, Store, content, finished


class HeedingTests(Store, OnSQLite):
    """A region whose other parts are only listened to."""

    def setUp(self) -> None:
        super().setUp()
        self.region_settings = RegionSettings(self.database, lambda: NOW)
        self.limits = Limits(Clock(), lambda: NOW)
        self.imports, self.own_stream, self.sessions = mock.Mock(), mock.Mock(), mock.Mock()
        self.pages, self.cache, self.routes = mock.Mock(), mock.Mock(), mock.Mock()
        self.heeding = Heeding(
            self.database,
            settings=self.region_settings,
            limits=self.limits,
            routes=self.routes,
            imports=self.imports,
            own_stream=self.own_stream,
            cache=self.cache,
            sessions=self.sessions,
            note_change=self.pages,
        )
        self.database.subscribe(self.heeding.changed)

    def source(self, rate_limit: str) -> int:
        fields = sources.SourceFields("http://a.example/", unsigned=True, rate_limit=rate_limit)
        return self.write(sources.create_source, fields, NOW).id

    def test_it_begins_with_what_is_there(self) -> None:
        """Settings and the limits of sources, from before the start."""
        source_id = self.source("1 MiB/s")
        self.write(settings.put, "racks_rate_limit", value="1 MiB/s", now=NOW)
        finished(self.heeding.read_settings())
        finished(self.heeding.read_sources())
        self.assertEqual(len(self.limits.of_source(source_id)), 2)
        self.assertLess(self.limits.racks.take(1 << 30), 1 << 30)

    def test_a_setting_holds_for_every_part(self) -> None:
        """Values, limits, the schedule and the own stream; and pages that are open show it."""
        finished(self.region_settings.change({"racks_rate_limit": "1 MiB/s"}))
        self.assertEqual(self.region_settings.values["racks_rate_limit"], "1 MiB/s")
        self.assertLess(self.limits.racks.take(1 << 30), 1 << 30)
        self.imports.reschedule.assert_called_once_with()
        self.own_stream.look.assert_called_once_with()
        self.pages.assert_called_once_with()
        self.sessions.announce.assert_not_called()

    def test_a_blob_that_went_bad_is_forgotten(self) -> None:
        """Its chunks in memory; and the own stream looks whether it was one of its documents."""
        self.write(changes.record, "blob", "7", NOW)
        self.cache.forget.assert_called_once_with(7)
        self.own_stream.look.assert_called_once_with()

    def test_a_source_is_limited_at_once(self) -> None:
        """As it says now; what is no setting changes no schedule."""
        source_id = self.source("1 MiB/s")
        self.routes.heed_sources.assert_called_once_with(self.read(sources.list_sources))
        self.assertEqual(len(self.limits.of_source(source_id)), 2)
        self.imports.reschedule.assert_not_called()

    def test_a_generation_is_told_to_racks(self) -> None:
        """Each by the digest of its own view; and the own stream is made anew."""
        self.source("1 MiB/s")
        self.write(
            selections.create_selection, 1, Selection("ubuntu", "jammy"), unchecked=False, now=NOW
        )
        self.take_lease()
        self.publish([content(10)])
        ((generation, digest_for), _) = self.sessions.announce.call_args
        rack = mock.Mock()
        rack.name = "rack-1"
        self.assertEqual((generation, len(digest_for(rack))), (1, 64))
        self.own_stream.look.assert_called_with()

    def test_a_failure_is_logged_and_the_next_change_is_heeded(self) -> None:
        """Nobody waits for it who could be told otherwise."""

        async def fails(*_: object) -> None:
            raise StorageError("page 7")

        with mock.patch.object(self.database, "read", fails):
            source_id = self.source("1 MiB/s")
        self.assertEqual(len(self.flushLoggedErrors(StorageError)), 1)
        self.assertEqual(len(self.limits.of_source(source_id)), 1)
        self.write(sources.update_source, source_id, {"priority": 1}, NOW)
        self.assertEqual(len(self.limits.of_source(source_id)), 2)
