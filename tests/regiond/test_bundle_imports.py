"""Bundles brought to a region that cannot reach the source: believed as far as they are signed."""

from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred

from common.bundles import FORMAT, MANIFEST, BundleSource, Manifest, mirror_path
from common.digests import CHUNK_BYTES
from common.errors import (
    Conflict,
    NotFound,
    ProtocolError,
    RackferryError,
    Refused,
    SignatureError,
    WrongUsage,
)
from common.events import Severity
from common.shell.bundle_files import BundleReader
from regiond.bundle_imports import matched, the_one_of
from regiond.import_service import ImportResult
from regiond.store import sources
from tests.doubles.answering import AnswerCase
from tests.doubles.bit_flips import flip_first_bit
from tests.doubles.bundles import NAME, reading, write_bundle
from tests.doubles.importing import FIRST, JAMMY, KEYS, NOBLE, SECOND, path_of
from tests.doubles.stream_documents import INDEX_PATH, STABLE_PATH
from tests.doubles.stream_source import Fault

ROOT = b"root of jammy" * 200_000  # a little more than two chunks
OTHER = b"root of noble"


class BundleCase(AnswerCase):
    """The source is unreachable; what it published can be carried here as a bundle."""

    async def setUp(self) -> None:
        await super().setUp()
        self.root = self.directory / "bundle"
        self.publish_both(FIRST)

    def publish_both(self, version: str, root: bytes = ROOT) -> None:
        self.publish(
            self.product("jammy", {version: {"squashfs": root}}),
            self.product("noble", {version: {"squashfs": OTHER}}),
        )

    def write(self, *left_out: str) -> Manifest:
        files = {path: each for path, each in self.source.files.items() if path not in left_out}
        return write_bundle(self.root, files, self.urls[self.source])

    def damage(self, path: str) -> None:
        place = self.root / mirror_path(NAME, path)
        content = bytearray(place.read_bytes())
        content[len(content) // 2] ^= 1
        place.write_bytes(content)

    async def take(self, source_id: int | None = None) -> ImportResult:
        """Import the bundle; the source is not asked for anything."""
        self.source.requests.clear()
        with BundleReader(self.root) as bundle:
            result = await self.bundles.take(reading(bundle), source_id)
        self.assertEqual(dict(self.source.requests), {})
        return result

    async def refusal(self, family: type[RackferryError], code: str) -> RackferryError:
        return await self.fails(self.take(), family, code)

    def failures(self, result: ImportResult) -> dict[str, str]:
        return {name: error.code for name, error in result.failed.items()}


class TakenTests(BundleCase):
    async def test_images_of_a_bundle_are_published(self) -> None:
        """As from the source: selected ones, mirrored with the documents; and again: nothing."""
        await self.select(JAMMY)
        self.write()
        result = await self.take()
        self.assertEqual((result.outcome, result.failed, result.published),
                         ("complete", {}, (KEYS["jammy"],)))  # fmt: skip
        self.assertEqual(result.fetched_bytes, len(ROOT))
        manifest = await self.exports.manifest(())
        self.assertEqual(set(manifest.sources["1"].documents), {INDEX_PATH, STABLE_PATH})
        generation = await self.generation()
        again = await self.take()
        self.assertEqual((again.outcome, again.fetched_bytes, again.published), ("complete", 0, ()))
        self.assertEqual(await self.generation(), generation)

    async def test_what_went_bad_here_is_taken_from_the_bundle(self) -> None:
        """That, and from the bad chunk on; a bundle that has it not changes nothing."""
        await self.select(JAMMY)
        self.write()
        await self.take()
        held = await self.blob(ROOT)
        assert held is not None
        await self.database.write(flip_first_bit, held, 1)
        await self.ask("scrub", flags=("wait",))
        self.write(path_of("jammy", "squashfs"))
        without = await self.take()
        self.assertEqual((without.failed, without.fetched_bytes), ({}, 0))
        self.write()
        self.assertEqual((await self.take()).fetched_bytes, len(ROOT) - CHUNK_BYTES)
        self.assertEqual((await self.ask("scrub", flags=("wait",)))["damaged"], 0)

    async def test_the_source_says_the_same(self) -> None:
        """When it can be reached after all, nothing is fetched again."""
        await self.select(JAMMY)
        self.write()
        await self.take()
        result = await self.succeed()
        self.assertEqual((result.fetched_bytes, result.published), (0, ()))

    async def test_a_region_without_a_network_stays_as_it_is(self) -> None:
        """Imports that reach nobody lose no image, and tell nothing that they did not before."""
        await self.select(JAMMY)
        for path in (INDEX_PATH, STABLE_PATH):
            self.source.faults[path] = Fault(status=503)
        await self.run_import()
        before = await self.region.list_events(Severity.INFO, cleared=True)
        self.write()
        result = await self.take()
        self.assertEqual(result.failed, {})
        await self.run_import()
        after = await self.region.list_events(Severity.INFO, cleared=True)
        states = [[(row["id"], row["state"]) for row in rows] for rows in (after, before)]
        self.assertEqual(*states)
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_a_source_that_is_never_asked(self) -> None:
        """Disabled, it says nothing and its bundles are taken."""
        await self.database.write(sources.update_source, 1, {"enabled": False}, self.time)
        await self.select(JAMMY)
        self.write()
        self.assertEqual((await self.take()).failed, {})
        await self.succeed()
        self.assertEqual(await self.open_events(), {})
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_what_is_held_is_not_read(self) -> None:
        """A part that came before, by whatever way, is gone on with."""
        await self.select(JAMMY)
        self.source.faults[path_of("jammy", "squashfs")] = Fault(cut_at=CHUNK_BYTES + 5)
        await self.run_import()
        self.write()
        result = await self.take()
        self.assertEqual(result.failed, {})
        self.assertEqual(result.fetched_bytes, len(ROOT) - CHUNK_BYTES)

    async def test_a_bundle_of_a_part(self) -> None:
        """Selected images that were left out when it was written are named, and are no failure."""
        await self.select(JAMMY, NOBLE)
        manifest = self.write()
        path = mirror_path(NAME, path_of("noble", "squashfs"))
        files = {name: file for name, file in manifest.files.items() if name != path}
        manifest = attrs.evolve(manifest, files=files)
        (self.root / MANIFEST).write_bytes(manifest.to_document())
        result = await self.take()
        self.assertEqual((result.outcome, result.left_out), ("complete", (KEYS["noble"],)))
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_another_source_keeps_its_images(self) -> None:
        """What a bundle does not speak of stays, and a source of higher priority keeps its say."""
        other = self.new_source()
        other_id = await self.add_source(other, priority=9)
        mine = self.product("jammy", {SECOND: {"squashfs": b"theirs"}}, source=other)
        self.publish(mine, source=other)
        await self.select(JAMMY, source_id=other_id)
        await self.select(JAMMY, NOBLE)
        self.source.faults[INDEX_PATH] = Fault(status=503)
        await self.run_import()
        self.assertEqual(await self.versions(), {"jammy": SECOND})
        self.write()
        self.assertEqual((await self.take()).failed, {})
        self.assertEqual(await self.versions(), {"jammy": SECOND, "noble": FIRST})


class MatchingTests(BundleCase):
    async def test_of_no_source(self) -> None:
        """A bundle of a source that is not known here is refused; an admin can say which it is."""
        await self.select(JAMMY)
        write_bundle(self.root, self.source.files, "http://elsewhere.example/streams/")
        await self.refusal(NotFound, "bundle-source")
        result = await self.take(1)
        self.assertEqual((result.failed, await self.versions()), ({}, {"jammy": FIRST}))
        await self.fails(self.take(77), NotFound, "source-unknown")

    async def test_of_several_sources(self) -> None:
        """Each goes to the source with its URL; one id cannot mean several."""
        (source,) = await self.database.read(sources.list_sources)
        here = BundleSource(f"{source.url}streams/v1/index.sjson")
        elsewhere = BundleSource("http://elsewhere.example/")
        both = Manifest(FORMAT, {"1": elsewhere, "2": here, "3": BundleSource("no url")})
        self.assertEqual(matched(both, [source]), {1: "2"})
        self.assertEqual(the_one_of(both, source), "2")
        neither = Manifest(FORMAT, {"1": elsewhere, "3": elsewhere})
        with self.assertRaises(WrongUsage):
            the_one_of(neither, source)


class RefusedTests(BundleCase):
    """What is wrong with a bundle costs what it is about, and nothing else."""

    async def setUp(self) -> None:
        await super().setUp()
        await self.select(JAMMY, NOBLE)

    async def expect(self, failed: dict[str, str], published: dict[str, str]) -> ImportResult:
        result = await self.take()
        self.assertEqual(self.failures(result), failed)
        self.assertEqual(await self.versions(), published)
        return result

    async def test_a_tampered_file(self) -> None:
        """Its image is not imported; the other one is, and an event says so until it is well."""
        self.write()
        self.damage(path_of("jammy", "squashfs"))
        await self.expect({KEYS["jammy"]: "integrity-sha256"}, {"noble": FIRST})
        self.assertIn(("integrity-sha256", KEYS["jammy"]), await self.open_events())
        self.write()
        await self.expect({}, {"jammy": FIRST, "noble": FIRST})
        self.assertEqual(await self.open_events(), {})

    async def test_a_tampered_document(self) -> None:
        """Nothing of it is believed; what is held stays."""
        self.write()
        await self.take()
        self.publish_both(SECOND, b"newer")
        for path in (INDEX_PATH, STABLE_PATH):
            self.write()
            self.damage(path)
            result = await self.take()
            (error,) = result.failed.values()
            self.assertIsInstance(error, SignatureError)
            self.assertEqual(await self.versions(), {"jammy": FIRST, "noble": FIRST})

    async def test_signed_by_a_stranger(self) -> None:
        """The region's keyring judges, whatever the manifest says."""
        files = dict(self.source.files)
        self.source.publish(self.product("jammy"), keys=("outsider",))
        self.write()
        result = await self.take()
        (error,) = result.failed.values()
        self.assertIsInstance(error, SignatureError)
        self.source.files = files

    async def test_an_older_bundle(self) -> None:
        """It is refused, the newer state stays; an admin can let it, once."""
        old = dict(self.source.files)
        self.publish_both(SECOND, b"newer")
        self.write()
        await self.take()
        write_bundle(self.root, old, self.urls[self.source])
        name = "bundle of boot-source 1"
        newer = {"jammy": SECOND, "noble": SECOND}
        result = await self.expect({name: "bundle-older"}, newer)
        self.assertIsInstance(result.failed[name], Refused)
        self.assertIn(("bundle-older", name), await self.open_events())
        await self.run_import()  # the source itself is well
        self.assertNotIn(("bundle-older", name), await self.open_events())
        await self.expect({name: "bundle-older"}, newer)
        await self.boot_sources.permit_rollback(1, permitted=True, by="a test")
        await self.expect({}, {"jammy": FIRST, "noble": FIRST})
        await self.database.read(sources.source, 1)
        self.assertNotIn(("bundle-older", name), await self.open_events())

    async def test_a_document_is_missing(self) -> None:
        """Without the index nothing is taken, and without a product file nothing of it."""
        for path in (INDEX_PATH, STABLE_PATH):
            self.write()
            (self.root / mirror_path(NAME, path)).unlink()
            result = await self.take()
            self.assertEqual([*self.failures(result).values()], ["bundle-document-missing"])

    async def test_a_file_is_missing(self) -> None:
        """By name; or in an earlier bundle, if the manifest says so."""
        manifest = self.write()
        path = mirror_path(NAME, path_of("jammy", "squashfs"))
        (self.root / path).unlink()
        await self.expect({KEYS["jammy"]: "bundle-file-missing"}, {"noble": FIRST})
        elsewhere = attrs.evolve(manifest.files[path], elsewhere=True)
        manifest = attrs.evolve(manifest, files={**manifest.files, path: elsewhere})
        (self.root / MANIFEST).write_bytes(manifest.to_document())
        await self.expect({KEYS["jammy"]: "bundle-file-elsewhere"}, {"noble": FIRST})

    async def test_no_plain_file(self) -> None:
        """A link is not followed, wherever it leads; neither is a directory in its place."""
        self.write()
        place = self.root / mirror_path(NAME, path_of("jammy", "squashfs"))
        kept = self.directory / "kept"
        place.rename(kept)
        place.symlink_to(kept)
        failed = {KEYS["jammy"]: "bundle-unreadable"}
        await self.expect(failed, {"noble": FIRST})
        place.unlink()
        place.mkdir()
        await self.expect(failed, {"noble": FIRST})
        place.rmdir()
        place.parent.rename(self.directory / "linked")
        place.parent.symlink_to(self.directory / "linked")
        kept.rename(self.directory / "linked" / "squashfs")
        await self.expect(failed, {"noble": FIRST})

    async def test_another_size(self) -> None:
        """Shorter or longer than was signed: not a byte is stored."""
        self.write()
        place = self.root / mirror_path(NAME, path_of("jammy", "squashfs"))
        for content in (ROOT[:-1], ROOT + b"x", b""):
            place.write_bytes(content)
            await self.expect({KEYS["jammy"]: "bundle-file-size"}, {"noble": FIRST})
        self.assertIsNone(await self.blob(ROOT[:-1]))

    async def test_manifests_that_cannot_be(self) -> None:
        """Malformed, too deep, too large, or with paths that climb: refused by name."""
        good = self.write().to_document()
        wrong = {
            "no json": b"{",
            "empty": b"",
            "another format": good.replace(b"bundle:1", b"bundle:9"),
            "too deep": b"[" * 100_000 + b"]" * 100_000,
            "climbs": good.replace(b"mirror/7/streams", b"mirror/7/../../streams"),
            "absolute": good.replace(b'"mirror/7/', b'"/mirror/7/'),
            "a source that climbs": good.replace(b'"7":', b'"../7":'),
            "no sha256": good.replace(b'"sha256":"', b'"sha256":"x'),
            "a list": b"[]",
            "a size that is text": good.replace(b'"size_bytes":', b'"size_bytes":"1","x":'),
            "too large": good + b" " * (16 << 20),
        }
        for name, document in wrong.items():
            (self.root / MANIFEST).write_bytes(document)
            error = await self.refusal(ProtocolError, "bundle-manifest" if name != "too large"
                                       else "bundle-unreadable")  # fmt: skip
            self.assertTrue(error.object, name)
        self.assertEqual(await self.versions(), {})


class TurnTests(BundleCase):
    """A bundle is an import: one at a time, and stopped like any other."""

    async def setUp(self) -> None:
        await super().setUp()
        self.imports.startService()
        self.addCleanup(self.imports.stopService)

    async def test_waits_for_its_turn(self) -> None:
        """An import that runs is not disturbed, and one that is asked for meanwhile follows."""
        await self.select(JAMMY)
        self.write()
        self.source.faults[INDEX_PATH] = Fault(status=503, times=1)
        running = self.imports.request("a test")
        taking = self.start_taking()
        self.assertEqual([*self.failures(await running).values()], ["source-http-503"])
        following = self.imports.request("a test")
        self.given.callback(None)
        self.assertEqual((await taking).published, (KEYS["jammy"],))
        self.assertEqual((await following).failed, {})
        self.assertFalse(self.imports.is_importing)

    def start_taking(self) -> Any:
        """A bundle whose image is not given before ``given`` fires."""
        bundle = BundleReader(self.root)
        self.addCleanup(bundle.__exit__, None, None, None)
        give = reading(bundle)
        self.given: Deferred[None] = Deferred()

        async def read(path: str, offset: int, length: int) -> tuple[bytes, int]:
            if path.endswith("squashfs"):
                await self.given
            return await give(path, offset, length)

        return Deferred.fromCoroutine(self.bundles.take(read, None))

    async def test_is_stopped(self) -> None:
        """By an admin, with what was read kept for the next time."""
        await self.select(JAMMY)
        self.write()
        taking = self.start_taking()
        await self.until(lambda: self.imports.is_importing)
        await self.imports.stop_import()
        error = await self.assertFailure(taking, Conflict)
        self.assertEqual(error.code, "import-stopped")
        self.assertEqual((await self.take()).failed, {})

    async def test_ends_with_the_shell_that_gives_it(self) -> None:
        """Who leaves takes the bundle along: the import ends, and the next one can begin."""
        await self.select(JAMMY)
        self.write()
        taking = self.start_taking()
        await self.until(lambda: self.imports.is_importing)
        taking.cancel()
        await self.assertFailure(taking, CancelledError)
        await self.until(lambda: not self.imports.is_importing)
        self.assertEqual(await self.open_events(), {})
        self.assertEqual((await self.take()).failed, {})
