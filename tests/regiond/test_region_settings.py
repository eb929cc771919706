"""Settings as admins meet them: ``config list``, ``get`` and ``set``."""

from regiond.settings_table import SETTINGS
from regiond.store import changes, settings
from tests.doubles.answering import AnswerCase

MINUTES = "boot_images_import_interval_minutes"


class ConfigTests(AnswerCase):
    async def test_what_was_set_is_there_for_all_regions_and_after_a_restart(self) -> None:
        """The answer has the new rows; the values are in the database, and in the change feed."""
        before = await self.database.read(changes.last_id)
        rows = await self.ask("config set", **{MINUTES: "30", "boot_images_auto_import": "no"})
        self.assertEqual(
            [(row["name"], row["value"], row["default"]) for row in rows],
            [(MINUTES, 30, 60), ("boot_images_auto_import", False, True)],
        )
        said = await self.database.read(changes.since, before)
        self.assertEqual({change.kind for change in said}, {"setting"})
        await self.close()
        await self.open()
        self.assertEqual(self.settings.values[MINUTES], 60)
        await self.settings.reload()
        self.assertEqual(self.settings.values[MINUTES], 30)

    async def assert_nothing_is_set(self) -> None:
        kept = await self.database.read(settings.everything)
        self.assertEqual(kept.keys() & {each.name for each in SETTINGS}, set())

    async def test_a_setting_gets_its_default_back(self) -> None:
        """``NAME=`` alone forgets what was set."""
        await self.ask("config set", **{MINUTES: "30"})
        self.assertEqual((await self.ask("config get", MINUTES))["value"], 30)
        (row,) = await self.ask("config set", **{MINUTES: ""})
        self.assertEqual(row["value"], 60)
        await self.assert_nothing_is_set()

    async def test_all_or_none(self) -> None:
        """One wrong value among several, and nothing is changed."""
        await self.refused("wrong-value", "config set", events_days="7", **{MINUTES: "never"})
        await self.refused("setting-unknown", "config set", events_days="7", evnts_days="8")
        await self.refused("setting-unknown", "config get", "evnts_days")
        await self.assert_nothing_is_set()

    async def test_nothing_named_is_wrong_usage(self) -> None:
        """``config set`` alone, or with a value that is no text."""
        await self.refused("missing-parameter", "config set")
        await self.refused("wrong-value", "config set", events_days=7)
