"""What admins ask of a region: sources, selections, what is offered, what is held."""

import base64
from contextlib import aclosing

from twisted.internet.defer import CancelledError, Deferred

from common.canonical import plain
from common.errors import SourceError, WrongUsage, door_of
from common.events import Event, Severity
from common.images import Selection
from regiond.boot_sources import DEFAULT_SELECTION, DEFAULT_SOURCE
from regiond.sources.freshness import LAG_S
from regiond.store import events, settings
from tests.doubles.answering import AnswerCase
from tests.doubles.catalogues import ubuntu
from tests.doubles.gpg_keys import fingerprint, public_keys
from tests.doubles.importing import DOCUMENTS, FIRST, JAMMY, NOBLE, SECOND, path_of
from tests.doubles.stream_documents import INDEX_PATH, STABLE_PATH, UPDATED
from tests.doubles.stream_source import Fault
from tests.regiond.sources.test_selection_rules import MALFORMED, UNMATCHED

ELSEWHERE = "http://127.0.0.1:9/"


def keyring(*names: str) -> str:
    """A keyring as it crosses the admin socket."""
    return base64.b64encode(public_keys(*names)).decode()


class CreateSourceTests(AnswerCase):
    async def count(self) -> int:
        return len(await self.ask("boot-sources read"))

    async def test_creating_never_fetches(self) -> None:
        """Nobody listens there, and it is created all the same; its id is the answer."""
        made = await self.ask("boot-sources create", url=ELSEWHERE, keyring_data=keyring("rsa"))
        self.assertEqual(made["id"], 2)
        read = await self.ask("boot-source read", 2)
        self.assertEqual(read, made | {"keyring_data": keyring("rsa")})
        self.assertNotIn("warning", made)

    async def test_a_source_needs_exactly_one_keyring(self) -> None:
        """Both, neither, or one for an unsigned source: refused, and nothing is added."""
        data = keyring("rsa")
        for given in (
            {},
            {"keyring_data": data, "keyring_filename": "/k"},
            {"keyring_data": data, "unsigned": True},
            {"keyring_filename": "/k", "unsigned": True},
        ):
            error = await self.refused("source-keyring", "boot-sources create", url=ELSEWHERE,
                                       **given)  # fmt: skip
            self.assertTrue(error.remedy)
        self.assertEqual(await self.count(), 1)

    async def test_a_keyring_beside_the_admin_is_none_of_the_region(self) -> None:
        """A relative path would be looked for where the daemon stands: refused."""
        error = await self.refused(
            "source-keyring", "boot-sources create", url=ELSEWHERE, keyring_filename="mine.gpg"
        )
        self.assertIn("keyring_data@=FILE", error.remedy)
        self.assertEqual(await self.count(), 1)

    async def test_one_place_is_one_source_however_it_is_spelt(self) -> None:
        """Without the slash, or down to its index, it is the source that is there already."""
        base = self.urls[self.source]
        for url in (base, base.rstrip("/"), f"{base}streams/v1/index.sjson"):
            error = await self.refused(
                "source-exists", "boot-sources create", url=url, keyring_data=keyring("rsa")
            )
            self.assertIn("boot source 1", error.message)
        self.assertEqual(await self.count(), 1)

    async def test_an_expired_keyring_is_taken_with_a_warning(self) -> None:
        """An admin who knows better may; the answer says what is wrong, and check refuses."""
        for name in ("expired", "revoked"):
            made = await self.ask(
                "boot-sources create", url=f"{ELSEWHERE}{name}", keyring_data=keyring(name)
            )
            self.assertIn(fingerprint(name), made["warning"])
        made = await self.ask(
            "boot-sources create", url=f"{ELSEWHERE}x", keyring_data=keyring("expired", "rsa")
        )
        self.assertNotIn("warning", made)

    async def test_an_unusable_keyring_is_refused_and_nothing_added(self) -> None:
        """What holds no key can never verify anything."""
        nonsense = base64.b64encode(b"no keys here").decode()
        await self.refused(
            "signature-keyring-unusable",
            "boot-sources create",
            url=ELSEWHERE,
            keyring_data=nonsense,
        )
        self.assertEqual(await self.count(), 1)

    async def test_a_keyring_that_is_not_there_yet_is_a_warning(self) -> None:
        """Its package can still be installed."""
        made = await self.ask("boot-sources create", url=ELSEWHERE, keyring_filename="/no/such")
        self.assertIn("/no/such", made["warning"])
        self.assertEqual(made["keyring_filename"], "/no/such")
        error = await self.refused("signature-keyring-missing", "boot-source check", made["id"])
        self.assertEqual(error.object, "boot-source 2")

    async def test_what_is_no_source_is_refused(self) -> None:
        """Other schemes, no host, a query."""
        for url in ("ftp://host/", "http://", "images", "http://host/?x=1"):
            await self.refused("source-url", "boot-sources create", url=url, unsigned=True)


class CheckTests(AnswerCase):
    async def test_check_says_who_signed_and_stores_nothing(self) -> None:
        """Documents, signer, number of images; the database is as before."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.ask("boot-source read", 1)  # a first connection sets up its log
        before = self.fingerprint()
        answer = await self.ask("boot-source check", 1)
        self.assertEqual(answer["signed_by"], [fingerprint("ed25519")])
        self.assertEqual((answer["images"], answer["problems"]), (2, []))
        self.assertEqual(len(answer["documents"]), 2)
        self.assertEqual(self.fingerprint(), before)

    async def test_check_names_what_it_skipped(self) -> None:
        """A malformed product is skipped by name, and is no failure."""
        broken = self.product("noble")
        broken["versions"][FIRST]["items"]["squashfs"]["sha256"] = "none"
        self.publish(self.product("jammy"), broken)
        answer = await self.ask("boot-source check", 1)
        self.assertEqual(answer["images"], 1)
        self.assertTrue(any("24.04" in each for each in answer["skipped"]), answer["skipped"])

    async def test_check_fails_as_the_source_does(self) -> None:
        """A bad signature is the answer, although the last good state is held."""
        self.publish(self.product("jammy"))
        await self.run_import()
        self.source.publish(self.product("jammy"), keys=("rsa",))
        with self.assertRaises(SourceError) as caught:
            await self.ask("boot-source check", 1)
        self.assertTrue(caught.exception.code.startswith("signature-"))
        self.assertEqual(caught.exception.object, "boot-source 1")


class SelectionTests(AnswerCase):
    async def create(self, release: str, **more: object) -> dict[str, object]:
        return await self.ask(
            "boot-source-selections create", 1, os="ubuntu", release=release, **more
        )

    async def test_a_selection_is_checked_against_a_catalogue_that_is_fetched_if_need_be(
        self,
    ) -> None:
        """The first selection of a new source fetches what it offers."""
        self.publish(self.product("jammy"))
        made = await self.create("jammy", arches=["amd64"])
        self.assertEqual((made["id"], made["state"]), (1, "checked"))
        self.assertEqual((made["arches"], made["subarches"]), (["amd64"], ["*"]))
        self.heal()
        await self.create("*")
        self.assertEqual(sum(self.source.requests.values()), 0)

    async def test_a_word_that_leads_nowhere_is_refused_with_the_nearest(self) -> None:
        """The wrong field is named, and nothing is kept."""
        self.publish(self.product("jammy"))
        error = await self.refused(
            "selection-unmatched", "boot-source-selections create", 1, os="ubuntu", release="jamy"
        )
        self.assertIn("jammy", error.message)
        self.assertIn("refresh", error.remedy)  # what is known may be older than the release
        error = await self.refused(
            "selection-unmatched",
            "boot-source-selections create",
            1,
            os="ubuntu",
            release="jammy",
            arches=["amd46"],
        )
        self.assertIn("amd64", error.message)
        self.assertEqual(await self.ask("boot-source-selections read", 1), [])

    async def test_a_selection_of_an_unreachable_source_is_kept_unchecked(self) -> None:
        """It cannot be looked up now; that is no reason to refuse it."""
        await self.source.stop()
        made = await self.create("jamy")
        self.assertEqual(made["state"], "unchecked")

    async def test_two_selections_of_one_release_are_a_conflict(self) -> None:
        """As in MAAS; the message names the other one."""
        self.publish(self.product("jammy"))
        await self.create("jammy")
        error = await self.refused(
            "selection-exists", "boot-source-selections create", 1, os="ubuntu", release="jammy"
        )
        self.assertIn("1", error.remedy)

    async def test_a_selection_can_be_read_and_changed(self) -> None:
        """What is given is changed, what is not stays; an import has to follow."""
        self.publish(self.product("jammy"), self.product("noble"))
        made = await self.create("jammy", arches=["amd64"], labels=["stable"])
        self.assertEqual(await self.ask("boot-source-selection read", 1, 1), made)
        revision = await self.importer.revision()
        changed = await self.ask("boot-source-selection update", 1, 1, release="noble")
        self.assertEqual(changed, {**made, "release": "noble"})
        self.assertEqual(await self.ask("boot-source-selection read", 1, 1), changed)
        self.assertGreater(await self.importer.revision(), revision)
        await self.succeed()
        self.assertEqual(set(await self.versions()), {"noble"})

    async def test_a_change_that_changes_nothing_writes_nothing(self) -> None:
        """A script that says the same again starts no import."""
        self.publish(self.product("jammy"))
        made = await self.create("jammy", arches=["amd64"])
        before = self.fingerprint()
        for same in ({}, {"release": "jammy"}, {"arches": ["amd64", "amd64"]}):
            self.assertEqual(await self.ask("boot-source-selection update", 1, 1, **same), made)
        self.assertEqual(self.fingerprint(), before)

    async def test_a_change_is_checked_like_a_new_selection(self) -> None:
        """Malformed, unmatched, or another one's release: refused, and all stays as it was."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.create("jammy")
        await self.create("noble")
        before = await self.ask("boot-source-selections read", 1)
        for code, given in (
            ("selection-malformed", {"os": ""}),
            ("selection-unmatched", {"release": "jamy"}),
            ("selection-unmatched", {"arches": ["amd64", "arm64"]}),
            ("selection-exists", {"release": "noble"}),
        ):
            await self.refused(code, "boot-source-selection update", 1, 1, **given)
        self.assertEqual(await self.ask("boot-source-selections read", 1), before)

    async def test_bad_selections_are_refused_in_one_line_and_nothing_is_kept(self) -> None:
        """Each malformed or unmatched selection: one helpful line, exit code 2, no trace."""
        kernels = [*ubuntu("jammy", "22.04"), *ubuntu("noble", "24.04")]
        self.publish(*kernels, *ubuntu("noble", "24.04", "arm64"))
        await self.ask("available-images read", 1)
        before = self.fingerprint()
        for case, (selection, said) in {**MALFORMED, **UNMATCHED}.items():
            given = plain(selection)
            if [] in given.values():  # to the shell that is no list at all, but ``*``
                continue
            with self.subTest(case):
                error = await self.refused("", "boot-source-selections create", 1, **given)
                # What the words themselves refuse: nothing given, and what is no text.
                if error.code not in {"missing-parameter", "wrong-value"}:
                    self.assertIn(error.code, {"selection-malformed", "selection-unmatched"})
                    self.assertEqual(error.message, said)
                    self.assertTrue(error.remedy)
                self.assertEqual(door_of(error).exit_code, 2)
        self.assertEqual(self.fingerprint(), before)

    async def test_a_malformed_selection_is_refused_also_where_nobody_can_look(self) -> None:
        """What can be no name is not kept as unchecked."""
        await self.source.stop()
        for selection, _ in MALFORMED.values():
            with self.assertRaises(WrongUsage):
                await self.selections.create(1, selection)
        self.assertEqual(await self.ask("boot-source-selections read", 1), [])


class OfferedTests(AnswerCase):
    async def test_what_is_offered_says_what_is_selected(self) -> None:
        """One row per product, filtered by any of its names."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY)
        rows = await self.ask("available-images read")
        self.assertEqual(
            {row["release"]: row["selected"] for row in rows}, {"jammy": True, "noble": False}
        )
        (row,) = await self.ask("available-images read", 1, release="noble")
        self.assertEqual((row["subarch"], row["version"]), ("ga-24.04", FIRST))
        self.assertEqual(await self.ask("available-images read", arch="s390x"), [])

    async def test_a_source_that_cannot_be_read_is_told_if_it_was_asked_for(self) -> None:
        """Of all sources the others are listed; of that one alone, the reason is the answer."""
        self.publish(self.product("jammy"))
        await self.ask("boot-sources create", url=ELSEWHERE, unsigned=True)
        self.assertEqual(len(await self.ask("available-images read")), 1)
        await self.refused("source-unreachable", "available-images read", 2)

    async def test_an_empty_list_never_hides_that_nothing_could_be_read(self) -> None:
        """Where the only source is away, that is the answer, not "no images"."""
        await self.ask("boot-source delete", 1)
        await self.ask("boot-sources create", url=ELSEWHERE, keyring_data=keyring("rsa"))
        await self.refused("source-unreachable", "available-images read")
        await self.refused("source-unreachable", "boot-resources plan")

    async def test_filters_may_be_globs(self) -> None:
        """Each filter is a name or a glob, and all have to fit."""
        self.publish(*ubuntu("jammy", "22.04"), *ubuntu("noble", "24.04", "arm64"))
        for filters, count in (
            ({}, 8),
            ({"release": "[jn]*"}, 8),
            ({"subarch": "hwe-*"}, 4),
            ({"subarch": "*-edge", "arch": "a?d64"}, 1),
            ({"subarch": "hwe"}, 0),
            ({"os": "Ubuntu"}, 0),
        ):
            rows = await self.ask("available-images read", **filters)
            self.assertEqual(len(rows), count, filters)

    async def test_rows_say_versions_and_support(self) -> None:
        """All versions that are offered, and whether the release is supported today."""
        versions = {FIRST: {"squashfs": b"a"}, SECOND: {"squashfs": b"b"}}
        old = self.product("focal", support_eol="2025-07-01", release_title="20.04 LTS")
        self.publish(self.product("jammy", versions), old)
        rows = {row["release"]: row for row in await self.ask("available-images read")}
        self.assertEqual(rows["jammy"]["versions"], [SECOND, FIRST])
        self.assertEqual((rows["jammy"]["version"], rows["jammy"]["supported"]), (SECOND, True))
        focal = rows["focal"]
        self.assertEqual((focal["support_eol"], focal["supported"]), ("2025-07-01", False))
        self.assertEqual((focal["release_title"], focal["subarches"]), ("20.04 LTS", ["generic"]))

    async def test_words_for_releases_are_selected_as_they_mean_today(self) -> None:
        """``selected`` follows what latest-lts and supported mean now."""
        ended = {"support_eol": "2025-08-01", "release_title": "20.04 LTS"}
        self.publish(self.product("focal", **ended), self.product("jammy"))
        for word, expected, later in (
            ("latest-lts", {"jammy"}, {"jammy"}),
            ("supported", {"focal", "jammy"}, {"jammy"}),
        ):
            made = await self.ask("boot-source-selections create", 1, os="ubuntu", release=word)
            self.assertEqual(made["release"], word)
            for time, releases in ((UPDATED, expected), (UPDATED + 30 * 86400, later)):
                self.time = time
                rows = await self.ask("available-images read")
                chosen = {row["release"] for row in rows if row["selected"]}
                self.assertEqual(chosen, releases, word)
            await self.ask("boot-source-selection delete", 1, made["id"])

    async def test_refresh_asks_the_source_and_keeps_what_it_says(self) -> None:
        """Without it the last good documents are enough; with it they are brought up to date."""
        self.publish(self.product("jammy"))
        self.assertEqual(len(await self.ask("available-images read")), 1)
        self.publish(self.product("jammy"), self.product("noble"))
        self.assertEqual(len(await self.ask("available-images read")), 1)
        self.assertEqual(len(await self.ask("available-images read", flags=("refresh",))), 2)
        self.heal()
        self.assertEqual(len(await self.ask("available-images read", 1)), 2)
        self.assertEqual(sum(self.source.requests.values()), 0)
        before = self.fingerprint()
        await self.ask("available-images read", 1, flags=("refresh",))
        self.assertEqual(self.fingerprint(), before)
        self.assertEqual(dict(self.source.requests), dict.fromkeys(DOCUMENTS, 1))
        self.source.faults[INDEX_PATH] = Fault(status=500)
        await self.refused("source-http-500", "available-images read", 1, flags=("refresh",))
        self.assertEqual(len(await self.ask("available-images read", 1)), 2)

    async def test_the_plan_says_what_an_import_would_do(self) -> None:
        """Fetch, publish, retire, with bytes; and nothing happens by asking."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY, NOBLE)
        await self.succeed()
        self.publish(
            self.product("jammy", {SECOND: {"squashfs": b"new", "boot-kernel": b"kernel"}}),
            self.product("noble"),
        )
        await self.deselect(2)
        before = self.fingerprint()
        rows = await self.ask("boot-resources plan")
        self.assertEqual(
            [(row["action"], row["name"], row["version"], row["fetch_bytes"]) for row in rows],
            [("fetch", "ubuntu/jammy", SECOND, 9), ("retire", "ubuntu/noble", FIRST, 0)],
        )
        self.assertEqual(self.fingerprint(), before)
        await self.succeed()
        self.assertEqual(await self.ask("boot-resources plan"), [])

    def blocked(self, rows: list[dict[str, object]]) -> list[tuple[object, object]]:
        """What stands in the way, by code and object; it comes before all else."""
        found = [row for row in rows if row["action"] == "blocked"]
        self.assertEqual(found, rows[: len(found)])
        for row in found:
            self.assertTrue(row["reason"] and row["remedy"], row)
        return [(row["code"], row["name"]) for row in found]

    async def test_the_plan_says_which_source_cannot_be_read(self) -> None:
        """In the words of the event that an import would raise; the rest is planned."""
        other = self.new_source()
        await self.add_source(other)
        self.publish(self.product("noble", source=other), source=other)
        await self.select(JAMMY)
        await self.select(NOBLE, source_id=2)
        self.source.faults[INDEX_PATH] = Fault(status=500)
        rows = await self.ask("boot-resources plan")
        self.assertEqual(self.blocked(rows), [("source-http-500", "boot-source 1")])
        self.assertEqual(
            [(row["action"], row["name"]) for row in rows[1:]], [("fetch", "ubuntu/noble")]
        )
        await self.run_import()
        event = (await self.open_events())["source-http-500", "boot-source 1"]
        self.assertEqual((rows[0]["reason"], rows[0]["remedy"]), (event.cause, event.remedy))

    async def test_the_plan_says_which_product_file_cannot_be_used(self) -> None:
        """What it said last is planned with."""
        await self.jammy()
        await self.succeed()
        self.publish(self.product("jammy"), self.product("noble"))
        self.source.faults[STABLE_PATH] = Fault(status=404)
        found = self.blocked(await self.ask("boot-resources plan"))
        self.assertEqual(found, [("source-http-404", "boot-source 1")])
        await self.run_import()
        self.assertIn(found[0], await self.open_events())

    async def test_the_plan_says_which_source_lags(self) -> None:
        """At once, and in the words of the event that comes after some hours."""
        await self.jammy()
        await self.succeed()
        self.source.publish(self.product("jammy", {SECOND: {"squashfs": b"x"}}), updated=UPDATED)
        rows = await self.ask("boot-resources plan")
        self.assertEqual(self.blocked(rows), [("source-rollback", "boot-source 1")])
        self.assertEqual(len(rows), 1)
        await self.run_import()
        self.time += LAG_S
        await self.run_import()
        event = (await self.open_events())["source-rollback", "boot-source 1"]
        self.assertEqual((rows[0]["reason"], rows[0]["remedy"]), (event.cause, event.remedy))

    async def test_the_plan_says_what_the_guard_keeps(self) -> None:
        """Where the selections match nothing any more, nothing is retired, and that is said."""
        await self.jammy()
        await self.succeed()
        self.publish(self.product("noble"))
        await self.deselect(1)
        await self.select(Selection("ubuntu", "xenial", ("amd64",)))
        rows = await self.ask("boot-resources plan")
        self.assertEqual(self.blocked(rows), [("import-guarded", "import")])
        await self.run_import()
        event = (await self.open_events())["import-guarded", "import"]
        self.assertEqual((rows[0]["reason"], rows[0]["remedy"]), (event.cause, event.remedy))
        self.assertEqual(await self.versions(), {"jammy": FIRST})


class HeldTests(AnswerCase):
    async def test_an_image_shows_its_files(self) -> None:
        """Names, types, sizes and digests, and where they come from."""
        await self.jammy(b"root")
        await self.succeed()
        image = await self.ask("boot-resource read", 1)
        (file,) = image["files"]
        self.assertEqual((file["ftype"], file["size_bytes"]), ("squashfs", 4))
        self.assertEqual(file["upstream_path"], path_of("jammy", "squashfs"))
        self.assertEqual((image["state"], image["complete_bytes"]), ("published", 4))

    async def test_a_deleted_image_leaves_the_view_and_comes_back_if_it_is_wanted(self) -> None:
        """Deleting is a new generation; the next import restores what is still selected."""
        await self.jammy()
        await self.succeed()
        answer = await self.ask("boot-resource delete", 1)
        self.assertEqual((answer["deleted"], answer["generation"]), (True, 3))
        self.assertEqual(await self.ask("boot-resources read"), [])
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_deleting_a_source_takes_its_images_and_its_problems(self) -> None:
        """Its images go with the next import, its events at once."""
        await self.jammy()
        await self.succeed()
        self.source.faults[INDEX_PATH] = Fault(status=500)
        await self.run_import()
        self.assertTrue(await self.open_events())
        await self.ask("boot-source delete", 1)
        self.assertEqual(await self.open_events(), {})
        await self.succeed()
        self.assertEqual(await self.versions(), {})


class DefaultSourceTests(AnswerCase):
    async def test_an_empty_database_gets_the_default_once(self) -> None:
        """MAAS's source and selection; deleting it is remembered."""
        await self.ask("boot-source delete", 1)
        await self.boot_sources.make_default()
        (row,) = await self.ask("boot-sources read")
        self.assertEqual(row["url"], DEFAULT_SOURCE.url)
        (selection,) = await self.ask("boot-source-selections read", row["id"])
        self.assertEqual(selection["release"], DEFAULT_SELECTION.release)
        await self.ask("boot-source delete", row["id"])
        await self.boot_sources.make_default()
        self.assertEqual(await self.ask("boot-sources read"), [])

    async def test_a_database_with_a_source_gets_none(self) -> None:
        """An admin was here before; and then it stays that way."""
        await self.boot_sources.make_default()
        self.assertEqual(len(await self.ask("boot-sources read")), 1)
        self.assertTrue(await self.database.read(settings.everything))


class FollowTests(AnswerCase):
    """``events read follow``"""

    async def setUp(self) -> None:
        """Two open events of different weight, and one that is over."""
        await super().setUp()
        self.seen: list[tuple[str, str]] = []
        for code, severity in (("old", Severity.WARNING), ("full", Severity.ERROR)):
            await self.raise_event(code, severity)
        await self.raise_event("gone", Severity.ERROR)
        await self.clear("gone")

    async def raise_event(self, code: str, severity: Severity = Severity.ERROR) -> None:
        self.time += 1
        event = Event(code, severity, "x", "why")
        await self.database.write(events.raise_event, event, self.time)

    async def clear(self, code: str) -> None:
        self.time += 1
        await self.database.write(events.clear_event, code, "x", self.time)

    def follow(self, level: Severity = Severity.INFO, *, cleared: bool = False) -> Deferred[None]:
        async def follow() -> None:
            items = self.region.follow_events(level, cleared=cleared)
            async with aclosing(items):
                async for row in items:
                    self.seen.append((row["code"], row["state"]))

        following = Deferred.fromCoroutine(follow())

        def end() -> Deferred[None]:
            following.cancel()
            return following.addErrback(lambda failure: failure.trap(CancelledError) and None)

        self.addCleanup(end)
        return following

    async def test_what_is_open_comes_first_then_what_happens(self) -> None:
        """Oldest first, each opening and clearing once; a repetition is nothing new."""
        self.follow()
        self.assertEqual(self.seen, [("old", "open"), ("full", "open")])
        await self.raise_event("full")
        await self.raise_event("new")
        await self.clear("full")
        fact = Event("done", Severity.INFO, "x", "why")
        await self.database.write(events.record_fact, fact, self.time)
        self.assertEqual(
            self.seen[2:], [("new", "open"), ("full", "cleared"), ("done", "happened")]
        )

    async def test_a_level_holds_for_all_that_comes(self) -> None:
        """This and worse, then and later; with ``all`` also what was over before."""
        self.follow(Severity.ERROR, cleared=True)
        await self.raise_event("another", Severity.WARNING)
        await self.clear("old")
        self.assertEqual(self.seen, [("full", "open"), ("gone", "cleared")])

    async def test_who_leaves_is_forgotten(self) -> None:
        """Nothing of a reader stays in the database's list."""
        before = len(self.database._subscribers)
        following = self.follow()
        self.assertEqual(len(self.database._subscribers), before + 1)
        following.cancel()
        following.addErrback(lambda failure: failure.trap(CancelledError) and None)
        self.assertEqual(len(self.database._subscribers), before)
