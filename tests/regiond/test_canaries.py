"""Canaries as admins see them, import by import."""

from types import SimpleNamespace

from common.errors import NotFound, WrongUsage
from common.images import Selection, View
from regiond.store import generations, promotions, racks
from tests.doubles.answering import AnswerCase
from tests.doubles.importing import FIRST, JAMMY, KEYS, SECOND


class CanaryTests(AnswerCase):
    """Two racks, of which one is a canary; an image that all hold, and an update of it."""

    async def setUp(self) -> None:
        await super().setUp()
        for name in ("rack-1", "rack-2"):
            await self.database.write(lambda conn, name=name: racks._active_rack(conn, name, 1.0))
        await self.select(JAMMY)
        await self.import_version(FIRST)

    async def import_version(self, version: str) -> None:
        self.publish(self.product("jammy", {version: {"squashfs": version.encode()}}))
        await self.succeed()

    async def view(self, rack: str) -> View:
        _, digest = await self.database.read(generations.current_view, rack)
        return View.from_document(
            await self.database.read(generations.read_document, digest) or b""
        )

    async def held(self) -> list[str]:
        views = [await self.view(rack) for rack in ("rack-1", "rack-2")]
        return [view.images[KEYS["jammy"]].version for view in views]

    async def racks(self) -> dict[str, tuple[bool, int, float | None]]:
        return {
            row["name"]: (row["canary"], row["waits"], row["waits_until"])
            for row in await self.ask("rack-controllers read")
        }

    async def test_who_waits_and_until_when(self) -> None:
        """In the answer, the list of the racks, the status and the list of the images."""
        row = await self.ask("rack-controllers canary", names=["rack-1"], after="2h")
        self.assertEqual((row["names"], row["after"], row["waiting"]), (["rack-1"], "2h", []))
        await self.import_version(SECOND)
        due_at = self.time + 7200
        row = await self.ask("rack-controllers canary")
        self.assertEqual((row["racks_waiting"], row["due_at"]), (1, due_at))
        self.assertEqual([each["version"] for each in row["waiting"]], [SECOND])
        self.assertEqual((await self.ask("status"))["canaries"], row)
        self.assertEqual(
            await self.racks(), {"rack-1": (True, 0, None), "rack-2": (False, 1, due_at)}
        )
        found = await self.ask("boot-resources read")
        self.assertEqual(
            {each["version"]: (each["held_by"], each["due_at"]) for each in found},
            {FIRST: ("others", None), SECOND: ("canaries", due_at)},
        )

    async def test_who_holds_the_older_view_is_synced(self) -> None:
        """It holds what it is to hold; what it is to hold is told in numbers, too."""
        await self.ask("rack-controllers canary", names=["rack-1"])
        await self.import_version(SECOND)
        number, digest = await self.database.read(generations.current_view, "rack-2")
        other = SimpleNamespace(name="rack-2")
        await self.fleet.seen(other)  # type: ignore[arg-type]  # its name is enough
        await self.fleet.report_sync(other, number, digest, "")  # type: ignore[arg-type]
        row = await self.ask("rack-controller read", "rack-2")
        self.assertEqual((row["status"], row["images"], row["size_bytes"]), ("synced", 1, 8))

    async def test_promoting(self) -> None:
        """By a word; by ending it; what was said before stays where nothing is said."""
        await self.ask("rack-controllers canary", names=["rack-1"], after="promote")
        await self.import_version(SECOND)
        self.assertEqual(await self.held(), [SECOND, FIRST])
        row = await self.ask("rack-controllers canary", flags=("promote",))
        self.assertEqual((row["names"], row["after"], row["waiting"]), (["rack-1"], "promote", []))
        self.assertEqual(await self.held(), [SECOND, SECOND])
        row = await self.ask("rack-controllers canary", names=[""])
        self.assertEqual(row["names"], [])

    async def test_what_cannot_be_is_refused(self) -> None:
        """A rack that nobody knows, a time that is none."""
        await self.fails(self.canaries.change(["rack-9"], None, promotes=False), NotFound,
                         "rack-unknown")  # fmt: skip
        await self.fails(self.canaries.change(None, "soon", promotes=False), WrongUsage,
                         "wrong-value")  # fmt: skip

    async def test_mirrors_change_when_all_racks_have_it(self) -> None:
        """Until then every rack shows documents whose files it has; the next import sees to it."""
        before = (await self.view("rack-2")).documents
        await self.ask("rack-controllers canary", names=["rack-1"])
        await self.import_version(SECOND)
        for rack in ("rack-1", "rack-2"):
            self.assertEqual((await self.view(rack)).documents, before)
        self.assertEqual(len((await self.view("rack-1")).mirror_only), 1)
        self.assertEqual((await self.view("rack-2")).mirror_only, ())
        await self.ask("rack-controllers canary", flags=("promote",))
        await self.succeed()
        for rack in ("rack-1", "rack-2"):
            view = await self.view(rack)
            self.assertNotEqual(view.documents, before)
            self.assertEqual(view.mirror_only, ())

    async def test_an_old_lts_stays_until_all_racks_have_the_new_one(self) -> None:
        """It makes way for what others only wait for by no minute too early."""
        await self.ask("rack-controllers canary", names=["rack-1"])
        await self.deselect(1)
        await self.select(Selection("ubuntu", "latest-lts", ("amd64",)))
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        lts = {"release_title": "24.04 LTS", "support_eol": "2034-04-25"}
        self.publish(self.product("jammy"), self.product("noble", **lts))
        await self.run_import()
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})
        await self.run_import()
        self.assertEqual(set((await self.view("rack-2")).images), {KEYS["jammy"]})
        await self.database.write(promotions.change, None, None, self.time, promotes=True)
        await self.succeed()
        for rack in ("rack-1", "rack-2"):
            self.assertEqual(set((await self.view(rack)).images), {KEYS["noble"]})
