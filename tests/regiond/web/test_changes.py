"""What can be done on the page, with a real source and real imports."""

import base64

from twisted.internet.defer import Deferred, gatherResults

from common.digests import sha256_hex
from common.images import Selection
from regiond.store import sources
from regiond.store.sources import SourceFields
from tests.doubles.browsing import Answered, Browser, PageCase
from tests.doubles.gpg_keys import public_keys
from tests.doubles.importing import FIRST, path_of
from tests.doubles.stream_documents import INDEX_PATH
from tests.doubles.stream_source import Fault

KEYRING = base64.b64encode(public_keys("ed25519")).decode()
JAMMY, NOBLE = "ubuntu/jammy/amd64", "ubuntu/noble/amd64"


class ChangeCase(PageCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.publish(self.product("jammy"), self.product("noble"))
        await self.log_in()

    async def connect(self, url: str = "", **more: str) -> Answered:
        form = {"kind": "custom", "url": url or self.urls[self.source], "keyring_data": KEYRING}
        return await self.browser.post("/source", form | more)

    async def save(self, *wanted: str, seen: str = "") -> Answered:
        page = await self.browser.get()
        form: dict[str, str | list[str]] = {"want": list(wanted)}
        form["seen"] = seen or page.value_of("seen")
        return await self.browser.post("/selection", form)

    async def done(self, answered: Answered) -> str:
        """What the page says after a form, which leads to its plain address."""
        self.assertEqual((answered.status, answered.header("location")), (303, "/"))
        return (await self.browser.get()).notice

    async def selected(self) -> dict[str, list[str]]:
        rows = await self.ask("boot-source-selections read", 1)
        return {row["release"]: row["arches"] for row in rows}

    async def imported(self) -> None:
        """Let the import that was begun end."""
        await self.until(lambda: not self.imports.is_importing)

    async def audited(self, words: str) -> str:
        """Who asked for that last."""
        rows = await self.ask("events read", flags=("all",), code="admin-change")
        return next(row["cause"] for row in rows if words in row["cause"])


class SelectionTests(ChangeCase):
    async def test_ticking_selects_and_imports_and_unticking_lets_go(self) -> None:
        """One click from a box to an image, and back."""
        await self.connect()
        said = await self.done(await self.save(JAMMY))
        self.assertEqual(said, "The selection was saved; an import has begun.")
        self.assertEqual(await self.selected(), {"jammy": ["amd64"]})
        await self.imported()
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        page = await self.browser.get()
        self.assertEqual(page.ticked, {JAMMY})
        self.assertIn("no rack is to hold it", page.row_of("ga-22.04"))
        await self.save(NOBLE)
        await self.imported()
        self.assertEqual(await self.versions(), {"noble": FIRST})
        self.assertEqual(await self.selected(), {"noble": ["amd64"]})

    async def test_it_is_done_by_whoever_logged_in(self) -> None:
        """The audit names the session's person."""
        await self.connect()
        await self.save(JAMMY)
        await self.imported()
        self.assertIn("web session of alice", await self.audited("boot-source-selections create"))
        self.assertIn("web session of alice", await self.audited("boot-resources import"))

    async def test_two_browsers_do_not_undo_each_other(self) -> None:
        """Whoever saves what the other has changed meanwhile is told, and nothing is lost."""
        await self.connect()
        seen = (await self.browser.get()).value_of("seen")
        await self.save(JAMMY)
        refused = await self.save(NOBLE, seen=seen)
        self.assertEqual(refused.status, 409)
        self.assertIn("web-overtaken", refused.text)
        self.assertEqual(await self.selected(), {"jammy": ["amd64"]})
        await self.imported()

    async def test_saving_what_is_there_does_nothing(self) -> None:
        """No import, no change, and the page says so."""
        await self.done(await self.connect())
        self.assertEqual(await self.done(await self.save()), "Nothing was changed.")
        self.assertFalse(self.imports.is_importing)

    async def test_without_a_source_there_is_nothing_to_select(self) -> None:
        """And the fields of the source are empty."""
        await self.ask("boot-source delete", 1)
        page = await self.browser.get()
        for name in ("url", "keyring_filename"):
            self.assertEqual(page.value_of(name), "")
        self.assertEqual((await self.save(JAMMY, seen="x")).status, 409)


class SourceTests(ChangeCase):
    async def test_the_only_source_is_changed_in_place(self) -> None:
        """Same id, selections kept; and it was read."""
        await self.select(Selection("ubuntu", "jammy", ("amd64",)))
        other = self.new_source()
        self.publish(self.product("jammy", source=other), source=other)
        answered = await self.connect(self.urls[other])
        self.assertEqual(await self.done(answered), "The source was read and saved.")
        (row,) = await self.ask("boot-sources read")
        self.assertEqual((row["id"], row["url"]), (1, self.urls[other]))
        self.assertEqual(await self.selected(), {"jammy": ["amd64"]})
        self.assertEqual((await self.browser.get()).ticked, {JAMMY})

    async def test_a_first_source_is_made(self) -> None:
        """After the last one was deleted."""
        await self.ask("boot-source delete", 1)
        self.assertEqual((await self.connect()).status, 303)
        (row,) = await self.ask("boot-sources read")
        self.assertEqual((row["id"], row["url"]), (2, self.urls[self.source]))
        self.assertIn(f'value="{JAMMY}"', (await self.browser.get()).text)

    async def test_what_does_not_work_is_not_saved(self) -> None:
        """The page shows what was typed and why it will not do."""
        before = await self.ask("boot-source read", 1)
        self.source.faults[INDEX_PATH] = Fault(status=404)
        other = self.new_source()
        for form in (
            {"url": "ftp://nowhere"},
            {"url": self.urls[other]},
            {"keyring_data": "no base64!"},
            {"keyring_data": base64.b64encode(b"no keyring").decode()},
            {"keyring_data": "", "keyring_filename": "/no/such/keyring.gpg"},
        ):
            answered = await self.connect(**form)
            self.assertEqual(answered.status, 422, form)
            self.assertIn("Nothing was saved", answered.text)
            self.assertEqual(answered.value_of("url"), form.get("url", self.urls[self.source]))
            self.assertEqual(await self.ask("boot-source read", 1), before)

    async def test_the_keyring_stays_if_none_is_typed(self) -> None:
        """It is never shown, so it need not be typed again."""
        self.assertEqual((await self.connect(keyring_data="")).status, 303)

    async def test_credentials_stay_with_the_server_they_were_given_for(self) -> None:
        """Another path there is asked with them; another server never sees them."""
        await self.ask("boot-source update", 1, username="bob", password="hidden")
        answered = await self.connect(f"{self.urls[self.source]}streams/v1/index.sjson")
        said = await self.done(answered)
        self.assertIn("in the clear", said)
        self.assertEqual((await self.ask("boot-source read", 1))["credentials"], "basic")
        other = self.new_source()
        self.publish(self.product("jammy", source=other), source=other)
        answered = await self.connect(self.urls[other])
        self.assertIn(
            "the credentials of the one before were taken away", await self.done(answered)
        )
        self.assertEqual((await self.ask("boot-source read", 1))["credentials"], "none")
        self.assertTrue(other.headers)
        self.assertNotIn("authorization", set().union(*other.headers.values()))

    async def test_what_is_odd_about_a_source_is_said(self) -> None:
        """That nobody signs it, or that nothing is imported from it; and nothing of others."""
        self.assertNotIn("Boot source 1 is", (await self.browser.get()).text)
        await self.ask("boot-source update", 1, enabled=False)
        page = await self.browser.get()
        self.assertIn("Boot source 1 is disabled", page.text)
        self.assertNotIn("is not signed", page.text)
        await self.database.write(
            sources.create_source, SourceFields("http://b.example/", unsigned=True), self.time
        )
        self.assertIn("Boot source 2 is not signed", (await self.browser.get()).text)

    async def test_maas_io_is_the_default(self) -> None:
        """Tried like any other, and shown as chosen when a source is that."""
        answered = await self.browser.post("/source", {"kind": "default"})
        self.assertEqual(answered.status, 422)  # no test asks the real one
        self.assertRegex(answered.text, r'value="default" id="kind-default" checked')
        self.assertIn("ubuntu-cloudimage-keyring", answered.text)

    async def test_more_than_one_source_is_not_managed(self) -> None:
        """A warning, and no form at all that changes something."""
        await self.database.write(
            sources.create_source, SourceFields("http://b.example/", unsigned=True), self.time
        )
        page = await self.browser.get()
        self.assertIn("There are 2 boot sources", page.text)
        self.assertEqual(page.text.count('method="post"'), 1)  # to log out
        for path in ("/source", "/selection", "/import", "/stop", "/automatic", "/delete"):
            refused = await self.browser.post(path)
            self.assertEqual(refused.status, 409)
            self.assertIn("web-several-sources", refused.text)


class OtherTests(ChangeCase):
    async def test_an_image_is_deleted_after_asking_again(self) -> None:
        """A click alone deletes nothing."""
        await self.connect()
        await self.save(JAMMY)
        await self.imported()
        page = await self.browser.get()
        self.assertIn("Delete", page.row_of("ga-22.04"))
        asking = await self.browser.get("/delete?id=1")
        self.assertIn("ubuntu/jammy", asking.text)
        self.assertIn("the next import fetches it again", asking.text)
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        answered = await self.browser.post("/delete", {"id": asking.value_of("id")})
        self.assertEqual(await self.done(answered), "The image was deleted.")
        self.assertEqual(await self.versions(), {})

    async def test_of_two_who_delete_an_image_one_is_told_so(self) -> None:
        """The other is told that there is none any more."""
        await self.connect()
        await self.save(JAMMY)
        await self.imported()
        other = await self.log_in(Browser(self.url))
        answers = await gatherResults(
            [
                Deferred.fromCoroutine(browser.post("/delete", {"id": "1"}))
                for browser in (self.browser, other)
            ]
        )
        self.assertEqual(sorted(each.status for each in answers), [303, 404])
        self.assertIn("there is no such image", "".join(each.text for each in answers))

    async def test_what_was_done_is_said_once(self) -> None:
        """By the next page of that session, and at no address that could be kept."""
        other = await self.log_in(Browser(self.url))
        await self.browser.post("/automatic", {"to": "false"})
        self.assertEqual((await other.get()).notice, "")
        self.assertEqual((await self.browser.get("/racks")).notice, "Automatic import was changed.")
        self.assertEqual((await self.browser.get()).notice, "")

    async def test_what_was_uploaded_is_gone_when_it_is_deleted(self) -> None:
        """Whoever is asked again is told so: no import brings it back."""
        body = b"#!/bin/sh\n"
        upload = await self.uploads.open(sha256_hex(body), len(body))
        assert upload is not None
        await upload.write(0, body)
        await upload.finish()
        made = await self.ask(
            "boot-resources create",
            name="mine",
            architecture="amd64",
            filetype="ddraw",
            content=f"{sha256_hex(body)}:{len(body)}",
        )
        asking = await self.browser.get(f"/delete?id={made['id']}")
        self.assertIn("no import brings it back", asking.text)
        self.assertNotIn("untick", asking.text)

    async def test_a_stop_that_comes_too_late_is_no_stop(self) -> None:
        """The import had ended already; the page does not say otherwise."""
        self.assertEqual(await self.done(await self.browser.post("/stop")), "Nothing was changed.")

    async def test_an_import_is_stopped(self) -> None:
        """What it fetched is kept, and the page offers to begin again."""
        await self.connect()
        self.source.faults[path_of("jammy", "squashfs")] = Fault(stop_at=1)
        await self.save(JAMMY)
        await self.until(lambda: self.imports.is_importing)
        self.assertIn('action="/stop"', (await self.browser.get()).text)
        answered = await self.browser.post("/stop")
        self.assertIn("The import was stopped", await self.done(answered))
        await self.imported()
        self.assertIn('action="/import"', (await self.browser.get()).text)

    async def test_importing_by_itself_is_turned_off_and_on(self) -> None:
        """The setting of all regions, as config set has it."""
        for to, said in (("false", "is off"), ("true", "is on")):
            answered = await self.browser.post("/automatic", {"to": to})
            self.assertEqual(await self.done(answered), "Automatic import was changed.")
            self.assertIn(f"Automatic import {said}", (await self.browser.get()).text)
        self.assertEqual((await self.browser.post("/automatic", {"to": "maybe"})).status, 400)

    async def test_open_problems_are_told_with_their_remedy(self) -> None:
        """On the first page."""
        await self.select(Selection("ubuntu", "jammy", ("amd64",)))
        self.source.faults[INDEX_PATH] = Fault(status=404)
        await self.browser.post("/import")
        await self.imported()
        page = await self.browser.get()
        self.assertIn("Open problems", page.text)
        self.assertIn("boot-source 1", page.text)
