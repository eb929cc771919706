"""Whole imports of a source whose dates go back, hour after hour."""

from common.events import Occurrence
from regiond.sources.freshness import LAG_S
from regiond.store import events
from tests.doubles.importing import FIRST, JAMMY, SECOND, ImportCase
from tests.doubles.stream_documents import UPDATED

ROLLBACK = ("source-rollback", "boot-source 1")
HOUR_S = 3600.0


class LaggingCase(ImportCase):
    async def setUp(self) -> None:
        """A source that was current, and whose mirror is an hour behind since."""
        await super().setUp()
        self.old = self.product("jammy", {FIRST: {"squashfs": b"old"}})
        self.new = self.product("jammy", {SECOND: {"squashfs": b"new"}})
        await self.select(JAMMY)
        self.source.publish(self.new, updated=UPDATED)
        await self.succeed()
        self.lag()

    def lag(self) -> None:
        self.source.publish(self.old, updated=UPDATED - 3600)

    def catch_up(self) -> None:
        self.source.publish(self.new, updated=UPDATED)

    async def row(self) -> dict[str, object]:
        return await self.boot_sources.one(1)

    async def kept(self) -> tuple[Occurrence, ...]:
        return await self.database.read(events.list_events, cleared=True)


class LaggingTests(LaggingCase):
    """A mirror that lags."""

    async def test_a_mirror_that_lags_for_two_days_costs_one_event(self) -> None:
        """48 hourly imports: never a failure, nothing lost, silence for 6 h, then one event."""
        began = self.time
        for hour in range(48):
            result = await self.run_import()
            self.assertEqual((result.failed, result.lagging), ({}, ("boot-source 1",)))
            told = ROLLBACK in await self.open_events()
            self.assertEqual(told, hour * HOUR_S >= LAG_S, hour)
            self.time += HOUR_S
        (only,) = await self.kept()
        self.assertEqual((only.count, only.first_at), (1, began + LAG_S))
        self.assertEqual((await self.row())["lagging_since"], began)
        self.assertEqual(await self.versions(), {"jammy": SECOND})

    async def test_an_hour_of_lag_costs_no_write(self) -> None:
        """Only the first import of a lag writes down since when; the event is written once."""
        await self.run_import()
        for _ in range(3):
            self.time += LAG_S
            await self.run_import()
            before = self.fingerprint()
            self.time += HOUR_S
            result = await self.run_import()
            self.assertEqual((result.outcome, self.fingerprint()), ("unchanged", before))

    async def test_it_is_over_when_current_documents_are_seen(self) -> None:
        """The mark and the event go with the first look at the documents that were held."""
        await self.run_import()
        self.time += LAG_S
        await self.run_import()
        self.catch_up()
        self.assertEqual((await self.run_import()).lagging, ())
        self.assertEqual(await self.open_events(), {})
        self.assertIsNone((await self.row())["lagging_since"])
        self.lag()
        await self.run_import()
        self.assertEqual((await self.row())["lagging_since"], self.time)

    async def test_it_goes_on_over_a_restart(self) -> None:
        """A new process knows both what was read before and since when the source lags."""
        await self.run_import()
        self.time += LAG_S
        self.build()
        result = await self.run_import()
        self.assertEqual((result.lagging, result.failed), (("boot-source 1",), {}))
        self.assertIn(ROLLBACK, await self.open_events())

    async def test_its_last_success_is_the_last_current_look(self) -> None:
        """A source that shows yesterday is not listed as read well today."""
        before = (await self.row())["last_success"]
        self.time += HOUR_S
        await self.run_import()
        self.assertEqual((await self.row())["last_success"], before)

    async def test_another_url_is_a_fresh_start(self) -> None:
        """What was known of the dates goes with the documents of the old place."""
        await self.run_import()
        other = self.new_source()
        self.product("jammy", {FIRST: {"squashfs": b"old"}}, source=other)
        other.publish(self.old, updated=UPDATED - 3600)
        await self.boot_sources.update(1, {"url": self.urls[other]})
        self.assertIsNone((await self.row())["lagging_since"])
        self.assertEqual((await self.succeed()).lagging, ())


class PermissionTests(LaggingCase):
    """The exception: audited, and good for once."""

    async def permit(self, *, permitted: bool = True) -> None:
        await self.boot_sources.permit_rollback(1, permitted=permitted, by="uid 7")

    async def test_an_admin_may_let_a_source_go_back_once(self) -> None:
        """The older version is imported, the record says who and what, and once is once."""
        await self.run_import()
        await self.permit()
        self.assertTrue((await self.row())["accept_rollback"])
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        row = await self.row()
        self.assertEqual((row["accept_rollback"], row["lagging_since"]), (False, None))
        (fact,) = await self.kept()
        self.assertEqual((fact.event.code, fact.cleared_at),
                         ("source-rollback-accepted", self.time))  # fmt: skip
        self.assertIn("uid 7", fact.event.cause)
        self.assertIn("2025-07-24 07:01 UTC", fact.event.cause)
        self.assertIn("2025-07-24 08:01 UTC", fact.event.cause)
        self.source.publish(self.old, updated=UPDATED - 7200)
        self.assertEqual((await self.run_import()).lagging, ("boot-source 1",))

    async def test_a_permission_that_was_not_needed_is_gone_all_the_same(self) -> None:
        """A source that caught up meanwhile leaves no open door, and nothing to record."""
        self.catch_up()
        await self.permit()
        await self.run_import()
        self.assertFalse((await self.row())["accept_rollback"])
        self.assertEqual(await self.kept(), ())
        self.lag()
        self.assertEqual((await self.run_import()).lagging, ("boot-source 1",))

    async def test_a_permission_waits_for_a_source_that_can_be_read(self) -> None:
        """A source that is down uses nothing up; taking it back takes it back."""
        files, self.source.files = self.source.files, {}
        await self.permit()
        await self.run_import()
        self.assertTrue((await self.row())["accept_rollback"])
        self.source.files = files
        await self.permit(permitted=False)
        self.assertEqual((await self.run_import()).lagging, ("boot-source 1",))

    async def test_looking_uses_nothing_up(self) -> None:
        """A plan or a check reads the source, and leaves the permission for the import."""
        await self.permit()
        await self.region.plan()
        await self.boot_sources.check(1)
        self.assertTrue((await self.row())["accept_rollback"])
