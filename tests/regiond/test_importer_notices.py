"""What imports say about sources that can be used, and what time alone changes."""

from typing import Any

from common.images import Selection
from tests.doubles.importing import FIRST, JAMMY, ImportCase
from tests.doubles.stream_documents import INDEX_PATH
from tests.doubles.stream_source import Fault

DAY = 86400.0
SUPPORTED = Selection("ubuntu", "supported")


class SupportTests(ImportCase):
    """``supported``, from import to import; the first is on 2025-07-24."""

    async def setUp(self) -> None:
        await super().setUp()
        self.publish(
            self.product("focal", support_eol="2025-09-01"),
            self.product("jammy", support_eol="2027-04-21"),
        )
        await self.select(SUPPORTED)
        await self.succeed()

    async def support_events(self) -> set[tuple[str, str]]:
        return {place for place in await self.open_events() if "support" in place[0]}

    async def test_the_end_is_told_before_and_when_it_comes(self) -> None:
        """A month before: an event; on the day after: the images go, and an event names them."""
        self.assertEqual((set(await self.versions()), await self.support_events()), (
            {"focal", "jammy"}, set()))  # fmt: skip
        self.time += 15 * DAY
        await self.succeed()
        soon = ("selection-support-ends", "boot-source 1")
        self.assertEqual(await self.support_events(), {soon})
        self.assertEqual(set(await self.versions()), {"focal", "jammy"})
        self.time += 25 * DAY
        result = await self.succeed()
        self.assertEqual(set(await self.versions()), {"jammy"})
        self.assertEqual(len(result.retired), 1)
        ended = ("selection-support-ended", "ubuntu/focal")
        self.assertEqual(await self.support_events(), {ended})

    async def test_a_day_in_which_nothing_ends_costs_nothing(self) -> None:
        """Time alone makes no import, unless it changes what is selected or to be said."""
        for days, outcome in ((1, "unchanged"), (14, "complete"), (1, "unchanged")):
            self.time += days * DAY
            before = self.fingerprint()
            self.assertEqual((await self.run_import()).outcome, outcome, self.time)
            self.assertEqual(self.fingerprint() == before, outcome == "unchanged")

    async def test_a_release_selected_by_name_stays_without_a_word(self) -> None:
        """Whoever named it has decided."""
        await self.select(Selection("ubuntu", "focal"))
        for _ in range(3):
            self.time += 20 * DAY
            await self.run_import()
            self.assertEqual(await self.support_events(), set())
        self.assertEqual(set(await self.versions()), {"focal", "jammy"})

    async def test_a_clock_that_is_years_ahead_takes_nothing_away(self) -> None:
        """When nothing at all is supported any more, what is held stays, and it is said."""
        self.time += 3650 * DAY
        await self.run_import()
        self.assertEqual(set(await self.versions()), {"focal", "jammy"})
        self.assertIn(("import-guarded", "import"), await self.open_events())


class PublisherTests(ImportCase):
    """What a publisher says."""

    def notice(self, message: object) -> dict[str, Any]:
        said = {"maas_version": "3.9", "version": 1, "message": message}
        entry = {"ftype": "notifications", "release_notification": said}
        return {
            "name": "com.ubuntu.maas:stable:1:notice",
            "versions": {"1": {"items": {"notice": entry}}},
        }

    async def test_a_notification_is_an_event_until_it_is_gone(self) -> None:
        """Raised once, open while it is said (also while the source is down), cleared after."""
        place = ("source-notice", "boot-source 1")
        self.publish(self.product("jammy"), self.notice("3.9 is there"))
        await self.select(JAMMY)
        await self.succeed()
        self.assertEqual((await self.open_events())[place].cause, "MAAS 3.9: 3.9 is there")
        self.assertEqual((await self.run_import()).outcome, "unchanged")
        self.source.faults[INDEX_PATH] = Fault(status=500)
        await self.run_import()
        self.assertIn(place, await self.open_events())
        self.heal()
        self.publish(self.product("jammy"), self.notice(5))
        await self.succeed()
        self.assertEqual(await self.open_events(), {})
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_products_of_any_name_are_taken_if_the_source_says_so(self) -> None:
        """Without it nothing is offered, and ``check`` says which word would change that."""
        self.publish({"name": "com.example:jammy", **self.product("jammy")})
        await self.select(JAMMY)
        await self.run_import()
        self.assertEqual(await self.versions(), {})
        [skipped] = (await self.boot_sources.check(1))["skipped"]
        self.assertIn("any_products=true", skipped)
        await self.boot_sources.update(1, {"any_products": True})
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": FIRST})
