"""Whole imports: real documents, real GnuPG, real HTTP, real database."""

from typing import Any

import attrs

from common.errors import Conflict, Stale
from common.images import Selection
from regiond import fulfilment, importer, upstream
from regiond.sources.freshness import MAX_AGE_S
from regiond.store import generations, imports, leases, mirrors, selections
from tests.doubles.importing import (
    DOCUMENTS,
    FIRST,
    JAMMY,
    KEYS,
    NOBLE,
    SECOND,
    ImportCase,
    path_of,
)
from tests.doubles.stream_source import Fault


class NothingChangedTests(ImportCase):
    async def test_an_hour_in_which_nothing_changed_costs_one_request_per_document(self) -> None:
        """The second import asks once per document; no lease, no GnuPG, no write."""
        await self.jammy()
        await self.succeed()
        before = self.fingerprint()
        self.heal()
        self.verifications = 0
        self.time += 3600
        self.assertEqual((await self.run_import()).outcome, "unchanged")
        self.assertEqual(dict(self.source.requests), dict.fromkeys(DOCUMENTS, 1))
        self.assertEqual(self.source.sent_bytes, 0)
        self.assertEqual(self.verifications, 0)
        self.assertEqual(self.fingerprint(), before)

    async def test_a_server_without_validators_costs_no_gnupg_and_no_write_either(self) -> None:
        """Documents that come again with the same bytes are not verified or kept again."""
        await self.jammy()
        self.source.has_validators = False
        await self.succeed()
        before, self.verifications = self.fingerprint(), 0
        self.assertEqual((await self.run_import()).outcome, "unchanged")
        self.assertEqual((self.verifications, self.fingerprint()), (0, before))

    async def test_unchanged_documents_hide_no_changed_selection(self) -> None:
        """With the same documents, a new selection is imported all the same."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY)
        await self.succeed()
        await self.select(NOBLE)
        await self.succeed()
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})

    async def test_a_source_that_does_not_change_is_read_well_all_the_same(self) -> None:
        """The time of the last success goes on without a write; a failure does not move it."""
        await self.jammy()
        await self.succeed()
        self.time += 3600
        await self.run_import()
        self.assertEqual((await self.boot_sources.one(1))["last_success"], self.time)
        read_at, self.time = self.time, self.time + 3600
        self.source.faults[DOCUMENTS[0]] = Fault(status=500)
        await self.run_import()
        (row,) = await self.boot_sources.list_all()
        self.assertEqual(row["last_success"], read_at)

    async def test_a_source_that_grows_old_is_an_event_all_the_same(self) -> None:
        """Nothing changes for more than 30 days: said once, and then it costs nothing again."""
        await self.jammy()
        await self.succeed()
        self.time += MAX_AGE_S + 3600
        await self.run_import()
        self.assertIn(("source-old", "boot-source 1"), await self.open_events())
        self.time += 60
        self.assertEqual((await self.run_import()).outcome, "unchanged")
        self.assertIn(("source-old", "boot-source 1"), await self.open_events())

    async def test_a_restarted_region_fetches_nothing_again(self) -> None:
        """A new process finds everything held and publishes nothing new."""
        await self.jammy()
        await self.succeed()
        self.heal()
        self.build()
        result = await self.succeed()
        self.assertEqual((result.published, result.fetched_bytes, result.generation), ((), 0, 2))
        self.assertEqual(set(self.source.requests), set(DOCUMENTS))


class UnreadableSourceTests(ImportCase):
    async def check_nothing_is_lost(self, code: str) -> None:
        generation = await self.generation()
        result = await self.run_import()
        self.assertEqual(result.outcome, "incomplete")
        self.assertEqual(result.failed["boot-source 1"].code, code)
        self.assertEqual((await self.versions(), await self.generation()), (
            {"jammy": FIRST}, generation))  # fmt: skip
        event = (await self.open_events())[code, "boot-source 1"]
        self.assertTrue(event.cause)
        self.assertTrue(event.remedy)

    async def test_a_source_that_cannot_be_used_loses_nothing_and_says_why(self) -> None:
        """Gone, broken, tampered with or malformed: images stay, an event tells, and clears."""
        await self.jammy()
        await self.succeed()
        good = dict(self.source.files)
        for code, content in {
            "source-http-404": None,
            "signature-missing": b"<html>not found</html>",
            "signature-bad": good[DOCUMENTS[0]].replace(b"index:1.0", b"index:1.1"),
        }.items():
            self.source.files.pop(DOCUMENTS[0])
            if content is not None:
                self.source.files[DOCUMENTS[0]] = content
            with self.subTest(code):
                await self.check_nothing_is_lost(code)
            self.source.files = dict(good)
            await self.succeed()
            self.assertEqual(await self.open_events(), {})

    async def test_an_unreachable_source_loses_nothing(self) -> None:
        """When nobody listens any more, everything stays."""
        await self.jammy()
        await self.succeed()
        await self.close_connections()
        await self.source.stop()
        await self.check_nothing_is_lost("source-unreachable")

    async def test_an_empty_catalogue_is_guarded(self) -> None:
        """A correctly signed list without products deletes nothing and raises an event."""
        await self.jammy()
        await self.succeed()
        self.publish()
        await self.run_import()
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_a_selection_that_matches_nothing_is_guarded(self) -> None:
        """A typing error in the only selection empties nothing, and says so until corrected."""
        await self.jammy()
        await self.succeed()
        await self.deselect(1)
        await self.select(Selection("ubuntu", "jamy", ("amd64",)))
        await self.run_import()
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.assertIn(("import-guarded", "import"), await self.open_events())
        await self.deselect(2)
        await self.select(JAMMY)
        await self.succeed()
        self.assertEqual(await self.open_events(), {})

    async def test_one_bad_source_does_not_stop_another(self) -> None:
        """What the good source offers is published while the other one is down."""
        other = self.new_source()
        await self.add_source(other)
        self.publish(self.product("noble", source=other), source=other)
        await self.select(NOBLE, source_id=2)
        await self.select(JAMMY)
        result = await self.run_import()
        self.assertEqual(set(result.failed), {"boot-source 1"})
        self.assertEqual(await self.versions(), {"noble": FIRST})


class NonsenseTests(ImportCase):
    """A server whose answers hold what no server should send."""

    async def two_sources(self) -> None:
        """Noble comes from a second source, in which all is well."""
        other = self.new_source()
        await self.add_source(other)
        self.publish(self.product("noble", source=other), source=other)
        await self.select(NOBLE, source_id=2)
        self.publish(self.product("jammy"))
        await self.select(JAMMY)

    async def test_headers_that_are_no_text_stop_nothing(self) -> None:
        """Bytes that are no UTF-8 cost what they are about, and no other source."""
        await self.two_sources()
        path = DOCUMENTS[0]
        for header, code in (
            ((b"content-encoding", b"\xff"), "source-encoding"),
            ((b"etag", b'"\xff"'), ""),
        ):
            self.source.faults[path] = Fault(header=header)
            result = await self.run_import()
            found = {name: error.code for name, error in result.failed.items()}
            self.assertEqual(found, {"boot-source 1": code} if code else {})
            self.assertIn("noble", await self.versions())
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})

    async def test_a_range_that_is_no_text_costs_its_image_at_most(self) -> None:
        """As for documents, so for files."""
        await self.two_sources()
        self.source.faults[path_of("jammy", "squashfs")] = Fault(
            header=(b"content-range", b"bytes \xff")
        )
        result = await self.run_import()
        self.assertTrue(set(result.failed) <= {KEYS["jammy"]}, result.failed)
        self.assertIn("noble", await self.versions())

    async def test_a_bug_in_reading_one_source_stops_no_other(self) -> None:
        """It is an event of that source, gone with the bug."""
        await self.two_sources()
        read_source = upstream.read_source

        async def broken(location: Any, *rest: Any) -> Any:
            if location.base == self.urls[self.source]:
                raise ZeroDivisionError
            return await read_source(location, *rest)

        patched = self.patch(upstream, "read_source", broken)
        result = await self.run_import()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(
            {name: e.code for name, e in result.failed.items()}, {"boot-source 1": "internal"}
        )
        self.assertEqual([*await self.open_events()], [("internal", "boot-source 1")])
        self.assertEqual(await self.versions(), {"noble": FIRST})
        patched.restore()
        await self.succeed()
        self.assertEqual(await self.open_events(), {})

    async def test_a_bug_in_fetching_one_file_costs_its_image(self) -> None:
        """The others are published, and the event goes when it works again."""
        await self.two_sources()
        fetch = fulfilment.fetch

        async def broken(goal: Any, *rest: Any, **more: Any) -> Any:
            if "jammy" in goal.object:
                raise ZeroDivisionError
            return await fetch(goal, *rest, **more)

        patched = self.patch(fulfilment, "fetch", broken)
        result = await self.run_import()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual({name: e.code for name, e in result.failed.items()},
                         {KEYS["jammy"]: "internal"})  # fmt: skip
        self.assertEqual(await self.versions(), {"noble": FIRST})
        patched.restore()
        await self.succeed()
        self.assertEqual(await self.open_events(), {})

    async def test_a_bug_in_an_import_is_an_event(self) -> None:
        """Whatever ends an import is told by name, until one gets on."""
        await self.two_sources()

        def broken(*_: Any) -> Any:
            raise ZeroDivisionError

        patched = self.patch(importer, "plan_import", broken)
        await self.assertFailure(self.start_import(), ZeroDivisionError)
        self.assertEqual([*await self.open_events()], [("internal", "import")])
        patched.restore()
        await self.succeed()
        self.assertEqual(await self.open_events(), {})


class WhatIsHeldTests(ImportCase):
    async def test_an_image_that_vanished_upstream_stays_while_it_is_selected(self) -> None:
        """Only an admin takes images away, never a catalogue."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY, NOBLE)
        await self.succeed()
        self.publish(self.product("noble"))
        await self.succeed()
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})

    async def test_what_is_selected_no_longer_goes_with_the_next_import(self) -> None:
        """A deleted selection's images are not in the next generation; others are."""
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY, NOBLE)
        await self.succeed()
        generation = await self.generation()
        await self.deselect(2)
        result = await self.succeed()
        self.assertEqual(result.retired, (KEYS["noble"],))
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.assertEqual(await self.generation(), generation + 1)

    async def test_the_image_of_the_source_with_higher_priority_wins(self) -> None:
        """Two sources have the same image: the one that counts more is taken."""
        other = self.new_source()
        await self.add_source(other, priority=5)
        self.publish(self.product("jammy", {FIRST: {"squashfs": b"usual"}}))
        better = self.product("jammy", {FIRST: {"squashfs": b"better"}}, source=other)
        self.publish(better, source=other)
        await self.select(JAMMY)
        await self.select(JAMMY, source_id=2)
        await self.succeed()
        self.assertEqual((await self.published())["jammy"].source_id, 2)
        self.assertIsNone(await self.blob(b"usual"))
        self.assertTrue(await self.blob(b"better"))

    async def test_an_image_is_of_the_source_that_has_it_now(self) -> None:
        """A source that is deleted and made again gets what is held: nothing is fetched, its
        mirror has all files, and what vanishes upstream stays.
        """
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(JAMMY, NOBLE)
        await self.succeed()
        await self.database.write(generations.delete_source, 1, self.time)
        again = await self.add_source(self.source)
        await self.select(JAMMY, NOBLE, source_id=again)
        self.assertEqual((await self.succeed()).fetched_bytes, 0)
        self.assertEqual({each.source_id for each in (await self.published()).values()}, {again})
        for path in (*DOCUMENTS, path_of("jammy", "squashfs"), path_of("noble", "squashfs")):
            found = await self.database.read(mirrors.find_mirrored, again, path, self.time)
            self.assertIsNotNone(found, path)
        self.assertEqual((await self.run_import()).outcome, "unchanged")
        self.publish(self.product("noble"))
        await self.succeed()
        self.assertEqual(set(await self.versions()), {"jammy", "noble"})

    async def test_the_old_version_stays_until_the_new_one_is_complete(self) -> None:
        """A half-fetched update changes nothing; when it is whole, it takes over."""
        await self.jammy(b"old")
        await self.succeed()
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"new", "boot-kernel": b"k"}}))
        self.source.faults[path_of("jammy", "squashfs", SECOND)] = Fault(status=404)
        self.assertEqual((await self.run_import()).outcome, "incomplete")
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.heal()
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": SECOND})

    async def test_a_version_with_other_bytes_is_fetched_again(self) -> None:
        """A publisher may correct a version in place."""
        await self.jammy(b"wrong")
        await self.succeed()
        self.publish(self.product("jammy", {FIRST: {"squashfs": b"right"}}))
        await self.succeed()
        (file,) = (await self.published())["jammy"].files
        self.assertEqual(file.size_bytes, len(b"right"))

    async def test_a_contradicting_source_costs_that_image_and_says_so(self) -> None:
        """An image that gives a held blob another size is refused, with an event; others come."""
        await self.jammy()
        await self.succeed()
        liar = self.product("noble", {FIRST: {"squashfs": b"root"}})
        liar["versions"][FIRST]["items"]["squashfs"]["size"] = 5
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"more"}}), liar)
        await self.select(NOBLE)
        self.assertEqual((await self.run_import()).outcome, "incomplete")
        self.assertEqual(await self.versions(), {"jammy": SECOND})
        self.assertIn(("source-contradiction", "import"), await self.open_events())
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"more"}}))
        await self.succeed()
        self.assertEqual(await self.open_events(), {})


class LeaseTests(ImportCase):
    async def test_only_one_region_imports(self) -> None:
        """While another region holds the lease this one says so, and touches nothing."""
        await self.jammy()
        await self.database.write(leases.acquire, "import", "region-2", self.time, 15.0)
        error = await self.fails(self.run_import(), Conflict, "import-elsewhere")
        self.assertTrue(error.remedy)
        self.assertEqual(await self.versions(), {})
        self.time += 16
        await self.succeed()

    async def test_whoever_lost_the_lease_publishes_nothing_after_it(self) -> None:
        """An import that slept through its lease ends Stale at its next write."""
        await self.jammy()

        def take_over(path: str) -> None:
            if path.endswith("squashfs"):
                later = self.time + 60
                taking = self.database.write(leases.acquire, "import", "region-2", later, 15.0)
                self.assertRaises(StopIteration, taking.send, None)

        self.source.on_request = take_over
        await self.assertFailure(self.start_import(), Stale)
        self.assertEqual((await self.versions(), await self.generation()), ({}, 0))
        (run,) = await self.database.read(imports.last_imports)
        self.assertEqual(run.outcome, "failed")

    async def test_a_finished_import_gives_the_lease_back(self) -> None:
        """Another region can import at once, after success and after a stop."""
        await self.jammy()
        await self.succeed()
        other = self.new_importer("region-2")
        self.assertEqual((await other.run("a test")).outcome, "complete")


class UncheckedSelectionTests(ImportCase):
    async def test_an_unchecked_selection_is_checked_by_the_first_import(self) -> None:
        """Accepted unseen, it counts as checked once the catalogue has it."""
        await self.database.write(
            selections.create_selection, 1, JAMMY, unchecked=True, now=self.time
        )
        await self.run_import()
        (row,) = await self.selections.list_all(1)
        self.assertEqual(row["state"], "unchecked")
        self.publish(self.product("jammy"))
        await self.succeed()
        (row,) = await self.selections.list_all(1)
        self.assertEqual(row["state"], "checked")
        self.assertEqual((await self.run_import()).outcome, "unchanged")

    async def test_a_wrong_unchecked_selection_is_told(self) -> None:
        """When the catalogue does not have it, an event names the nearest match."""
        self.publish(self.product("jammy"))
        wrong = attrs.evolve(JAMMY, release="jamy")
        await self.database.write(
            selections.create_selection, 1, wrong, unchecked=True, now=self.time
        )
        await self.run_import()
        event = (await self.open_events())["selection-unmatched", "boot-source 1"]
        self.assertIn("jammy", event.cause)
