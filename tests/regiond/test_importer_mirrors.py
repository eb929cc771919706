"""What imports do for mirrors: documents as they were sent, changed together with the images."""

from typing import Any

from common.images import Image, Selection, View
from regiond.store import blobs, generations, mirrors, publication, source_documents
from regiond.store.tables import source_document
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
from tests.doubles.stream_documents import (
    INDEX_PATH,
    STABLE_PATH,
    index,
    item,
    product_file,
    text,
)
from tests.doubles.stream_source import Fault

LATEST = Selection("ubuntu", "latest-lts", ("amd64",))


class MirrorCase(ImportCase):
    async def view(self, number: int = 0) -> View:
        """The view of a generation, the current one by default."""
        number = number or await self.generation()
        digest = await self.database.read(generations.view_for, number, "rack-1")
        assert digest is not None
        return View.from_document(await self.document(digest))

    async def document(self, sha256: str) -> bytes:
        found = await self.database.read(generations.read_document, sha256)
        assert found is not None
        return found

    async def bytes_of(self, sha256: str) -> bytes:
        blob = await self.database.read(blobs.find_blob, sha256)
        assert blob is not None
        assert blob.is_complete
        return await self.database.read(blobs.read_chunk, blob.id, 0)

    async def shown(self, source_id: int = 1, number: int = 0) -> dict[str, bytes]:
        """What a mirror of a source shows; path -> bytes."""
        documents = (await self.view(number)).documents.get(str(source_id), {})
        return {path: await self.bytes_of(each.sha256) for path, each in documents.items()}

    async def mirrored_paths(self, view: View | None = None) -> set[str]:
        """The upstream paths of all files in the view, superseded ones among them."""
        view = view or await self.view()
        names = [each.document_sha256 for each in view.images.values()] + list(view.mirror_only)
        found = [Image.from_document(await self.document(name)) for name in names]
        return {file.upstream_path or "" for image in found for file in image.files}

    def sent(self) -> dict[str, bytes]:
        return {path: self.source.files[path] for path in DOCUMENTS}

    def both(self, version: str) -> None:
        """The source has jammy and noble in this version."""
        self.publish(*(
            self.product(release, {version: {"squashfs": f"{release} {version}".encode()}})
            for release in ("jammy", "noble")
        ))  # fmt: skip


class ShownTests(MirrorCase):
    async def test_mirrors_show_what_the_source_sent_byte_for_byte(self) -> None:
        """Signatures and all; the next change is shown by the import that reads it."""
        await self.jammy()
        await self.succeed()
        self.assertEqual(await self.shown(), self.sent())
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"newer"}}))
        await self.succeed()
        self.assertEqual(await self.shown(), self.sent())
        self.assertEqual((await self.view()).mirror_only, ())

    async def manifested(self, version: str, manifest: bytes) -> None:
        """Jammy in this version, with a manifest beside it as in MAAS's streams."""
        made = self.product("jammy", {version: {"squashfs": version.encode()}})
        path = f"jammy/amd64/{version}/squashfs.manifest"
        self.source.files[path] = manifest
        entries = made["versions"][version]["items"]
        entries["manifest"] = item("manifest", path, manifest)
        self.publish(made)

    async def test_what_is_signed_beside_an_image_is_shown_too(self) -> None:
        """Byte for byte, of the version that is shown; no image has it; nothing is fetched twice."""
        await self.manifested(FIRST, b"bash 5.1")
        await self.select(JAMMY)
        await self.succeed()
        beside = {f"jammy/amd64/{FIRST}/squashfs.manifest": b"bash 5.1"}
        self.assertEqual(await self.shown(), self.sent() | beside)
        self.assertEqual(await self.mirrored_paths(), {path_of("jammy", "squashfs")})
        (path,) = beside
        found = await self.database.read(mirrors.find_mirrored, 1, path, self.time)
        self.assertIsNotNone(found)
        self.assertEqual((await self.run_import()).outcome, "unchanged")
        self.build()
        await self.succeed()
        self.assertEqual(self.source.requests[path], 1)
        await self.manifested(SECOND, b"bash 5.2")
        await self.succeed()
        beside = {f"jammy/amd64/{SECOND}/squashfs.manifest": b"bash 5.2"}
        self.assertEqual(await self.shown(), self.sent() | beside)

    async def test_what_is_missing_beside_an_image_costs_nothing_else(self) -> None:
        """The image is published, the documents are shown, and it is told until it is there."""
        await self.manifested(FIRST, b"bash 5.1")
        path = f"jammy/amd64/{FIRST}/squashfs.manifest"
        self.source.faults[path] = Fault(status=404)
        await self.select(JAMMY)
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        self.assertEqual(await self.shown(), self.sent())
        event = (await self.open_events())["mirror-incomplete", "boot-source 1"]
        self.assertIn(path, event.cause)
        self.heal()
        self.build()
        await self.succeed()
        self.assertEqual(await self.shown(), self.sent() | {path: b"bash 5.1"})
        self.assertEqual(await self.open_events(), {})

    async def test_documents_of_an_unsigned_source_are_shown_as_they_came(self) -> None:
        """Mirroring asks nothing of a signature."""
        unsigned = {path: path.replace(".sjson", ".json") for path in DOCUMENTS}
        products = text(product_file(self.product("jammy")))
        self.source.files[unsigned[STABLE_PATH]] = products
        self.source.files[unsigned[INDEX_PATH]] = text(index()).replace(b".sjson", b".json")
        await self.boot_sources.delete(1)
        url = self.urls[self.source] + unsigned[INDEX_PATH]
        made = await self.boot_sources.create({"url": url, "unsigned": True})
        await self.select(JAMMY, source_id=made["id"])
        await self.succeed()
        shown = await self.shown(made["id"])
        self.assertEqual(set(shown), set(unsigned.values()))
        for path, content in shown.items():
            self.assertEqual(content, self.source.files[path])

    async def test_a_source_without_selection_is_no_mirror(self) -> None:
        """Nothing is imported, nothing is shown, and there is no generation."""
        self.both(FIRST)
        await self.succeed()
        self.assertEqual(await self.generation(), 0)

    async def test_a_deselected_source_and_a_deleted_one_are_mirrors_no_more(self) -> None:
        """Documents go in the generation in which the images go, or right after."""
        await self.jammy()
        await self.succeed()
        await self.boot_sources.delete(1)
        await self.succeed()
        self.assertEqual((await self.view()).documents, {})

    async def test_bytes_that_are_not_kept_are_read_again(self) -> None:
        """A database of an older release has the text only: the next import mends that."""
        await self.jammy()
        await self.succeed()
        lost = {"raw_sha256": "ab" * 32}
        await self.database.write(lambda conn: conn.execute(source_document.update().values(lost)))
        self.heal()
        self.build()
        await self.succeed()
        self.assertEqual(dict(self.source.requests), {INDEX_PATH: 2, STABLE_PATH: 1})
        self.assertEqual(await self.shown(), self.sent())
        stored = await self.database.read(source_documents.stored_documents, 1)
        self.assertTrue(all(each.is_raw_held for each in stored.values()))
        self.assertEqual((await self.run_import()).outcome, "unchanged")


class TogetherTests(MirrorCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.both(FIRST)
        await self.select(JAMMY, NOBLE)
        await self.succeed()
        self.first = self.sent()

    async def check_the_first_is_whole(self) -> None:
        """Mirrors show the first documents, and every file that these name."""
        self.assertEqual(await self.shown(), self.first)
        paths = {path_of(release, "squashfs", FIRST) for release in ("jammy", "noble")}
        self.assertLessEqual(paths, await self.mirrored_paths())

    async def test_while_an_import_is_under_way_the_old_documents_and_files_stay(self) -> None:
        """One of two images is published, the other is on its way; then all change at once."""
        self.both(SECOND)
        slow = path_of("noble", "squashfs", SECOND)
        self.source.faults[slow] = Fault(stop_at=3, times=1)
        importing = self.start_import()

        async def half_way() -> bool:
            return await self.versions() == {"jammy": SECOND, "noble": FIRST}

        await self.until(half_way)
        await self.check_the_first_is_whole()
        self.source.drop_connections()
        result = await importing
        self.assertEqual(result.outcome, "complete")
        self.assertEqual(await self.shown(), self.sent())
        self.assertEqual((await self.view()).mirror_only, ())
        self.assertEqual(
            await self.mirrored_paths(),
            {path_of(release, "squashfs", SECOND) for release in ("jammy", "noble")},
        )

    async def test_every_generation_of_an_import_is_whole(self) -> None:
        """No view shows documents that name a wanted file which that view does not hold."""
        first, begun = self.first, await self.generation()
        self.both(SECOND)
        await self.succeed()
        paths = {
            version: {path_of(release, "squashfs", version) for release in ("jammy", "noble")}
            for version in (FIRST, SECOND)
        }
        shown = []
        for number in range(begun, await self.generation() + 1):
            view = await self.view(number)
            is_first = await self.shown(number=number) == first
            shown.append(FIRST if is_first else SECOND)
            self.assertLessEqual(paths[shown[-1]], await self.mirrored_paths(view))
        self.assertEqual(shown, [*[FIRST] * (len(shown) - 1), SECOND])
        self.assertGreater(len(shown), 2)

    async def test_an_image_that_fails_holds_the_documents_back(self) -> None:
        """Until it comes: the next import, of unchanged documents, lets all change."""
        self.both(SECOND)
        self.source.faults[path_of("noble", "squashfs", SECOND)] = Fault(status=404)
        self.assertEqual((await self.run_import()).outcome, "incomplete")
        await self.check_the_first_is_whole()
        self.heal()
        await self.succeed()
        self.assertEqual(await self.shown(), self.sent())
        self.assertEqual((await self.view()).mirror_only, ())

    async def test_a_contradiction_holds_the_documents_back(self) -> None:
        """A refused image is one that is not held."""
        liar = self.product("noble", {SECOND: {"squashfs": f"noble {FIRST}".encode()}})
        liar["versions"][SECOND]["items"]["squashfs"]["size"] = 5
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"newer"}}), liar)
        self.assertEqual((await self.run_import()).outcome, "incomplete")
        await self.check_the_first_is_whole()

    async def test_a_product_file_with_a_problem_holds_the_documents_back(self) -> None:
        """The new index beside an old product file is nothing that the source ever showed."""
        self.both(SECOND)
        self.source.files[STABLE_PATH] = b"<html>a page for people</html>"
        self.assertEqual((await self.run_import()).outcome, "incomplete")
        self.assertEqual(await self.shown(), self.first)

    async def test_a_stopped_import_changes_no_documents(self) -> None:
        """Stopped half-way, mirrors stay at the old state, whole."""
        self.both(SECOND)
        self.source.faults[path_of("noble", "squashfs", SECOND)] = Fault(silent=True)
        importing = self.start_import()

        async def half_way() -> bool:
            return await self.versions() == {"jammy": SECOND, "noble": FIRST}

        await self.until(half_way)
        importing.cancel()
        importing.addErrback(lambda _: None)
        await importing
        await self.check_the_first_is_whole()

    async def test_what_an_admin_deletes_is_gone_from_the_mirrors_at_once(self) -> None:
        """Even while the documents still name it."""
        self.both(SECOND)
        self.source.faults[path_of("noble", "squashfs", SECOND)] = Fault(status=404)
        await self.run_import()
        jammy = (await self.published())["jammy"]
        await self.region.delete_image(jammy.id)
        self.assertEqual((await self.view()).mirror_only, ())

    async def test_latest_lts_moves_on_for_mirrors_with_the_documents(self) -> None:
        """The old release stays in the mirror until the documents name the new one."""
        await self.deselect(1)
        await self.deselect(2)
        await self.succeed()
        self.publish(self.product("jammy", {FIRST: {"squashfs": b"j"}}))
        await self.select(LATEST)
        await self.succeed()
        self.assertEqual(await self.versions(), {"jammy": FIRST})
        before: list[View] = []
        show = publication.show_documents

        def looked_at(conn: Any, *args: Any) -> int:
            _, digest = generations.current_generation(conn)
            before.append(View.from_document(generations.read_document(conn, digest) or b""))
            return show(conn, *args)

        self.patch(publication, "show_documents", looked_at)
        self.publish(
            self.product("jammy", {FIRST: {"squashfs": b"j"}}),
            self.product("noble", {FIRST: {"squashfs": b"n"}}),
        )
        await self.succeed()
        (view,) = before
        self.assertEqual(set(view.images), {KEYS["noble"]})
        jammy = Image.from_document(await self.document(view.mirror_only[0]))
        self.assertEqual(str(jammy.key), KEYS["jammy"])
        self.assertEqual((await self.view()).mirror_only, ())
        self.assertEqual(await self.shown(), self.sent())
