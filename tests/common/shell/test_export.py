"""Exports, over a real admin socket: what is asked for, and what is made of wrong answers."""

import hashlib
import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from common.asking import AdminSocket
from common.bundles import MANIFEST, Manifest, mirror_path
from common.commands import BLOB_PIECE_BYTES, ReadBlob
from common.conversation import Table
from common.digests import CHUNK_BYTES
from common.errors import IntegrityError, NotFound, RackferryError
from common.shell.carrying import carry
from common.vocabulary import Place, Question
from regiond.admin.bundles import blob_door
from regiond.store import blobs
from tests.doubles.answering import AnswerCase
from tests.doubles.importing import DOCUMENTS, FIRST, JAMMY, NOBLE, SECOND, path_of
from tests.doubles.streams import some_bytes

ROOT = some_bytes(2 * CHUNK_BYTES + BLOB_PIECE_BYTES + 1)


class ExportCase(AnswerCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.socket = str(self.directory / "admin.sock")
        self.read_bytes = 0
        listening = AdminSocket(Place.REGION, self.answers.answer, reactor, self.door)
        self.port = reactor.listenUNIX(self.socket, listening)
        self.addCleanup(self.port.stopListening)
        self.publish(self.product("jammy", {FIRST: {"squashfs": ROOT}}), self.product("noble"))
        await self.select(JAMMY, NOBLE)
        await self.succeed()

    def door(self) -> Table:
        """What a shell may ask besides; the bytes that it reads are counted."""
        (read_blob,) = blob_door(self.exports, reactor).values()

        async def counted(**asked: Any) -> Any:
            answer = await read_blob(**asked)
            self.read_bytes += len(answer["piece"])
            return answer

        return {ReadBlob: counted}

    async def export(self, name: str, **given: Any) -> dict[str, Any]:
        question = Question("boot-resources", "export", (str(self.directory / name),), given)
        self.read_bytes = 0
        row: dict[str, Any] = await deferToThread(carry, self.socket, question, self.told.append)
        return row

    async def failure(self, name: str, **given: Any) -> RackferryError:
        try:
            row = await self.export(name, **given)
        except RackferryError as error:
            return error
        raise self.failureException(f"exported: {row}")

    def files(self, name: str) -> dict[str, bytes]:
        root = self.directory / name
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file()
        }

    def mirrored(self, *paths: str) -> dict[str, bytes]:
        return {mirror_path("1", path): self.source.files[path] for path in paths}


class ExportTests(ExportCase):
    async def test_a_directory(self) -> None:
        """The source's documents and files, byte for byte, and the manifest that lists them."""
        row = await self.export("out")
        files = self.files("out")
        manifest = Manifest.from_document(files.pop(MANIFEST))
        expected = self.mirrored(*self.source.files)
        self.assertEqual(files, expected)
        self.assertEqual(
            {path: file.sha256 for path, file in manifest.files.items()},
            {path: hashlib.sha256(content).hexdigest() for path, content in expected.items()},
        )
        size_bytes = sum(map(len, expected.values()))
        self.assertEqual(row, {
            "out": str(self.directory / "out"), "images": 2, "files": 4, "size_bytes": size_bytes,
            "fetched_bytes": size_bytes, "elsewhere": 0, "elsewhere_bytes": 0,
        })  # fmt: skip
        self.assertEqual(len(manifest.sources["1"].fingerprints), 1)

    async def test_again(self) -> None:
        """What is there is not read again; what was damaged is."""
        await self.export("out")
        self.assertEqual((await self.export("out"))["fetched_bytes"], 0)
        self.assertEqual(self.read_bytes, 0)
        path = self.directory / "out" / mirror_path("1", path_of("noble", "squashfs"))
        path.chmod(0o644)
        path.write_bytes(b"x" * path.stat().st_size)
        self.assertEqual((await self.export("out"))["fetched_bytes"], path.stat().st_size)
        self.assertEqual(path.read_bytes(), self.source.files[path_of("noble", "squashfs")])

    async def test_only_what_is_new(self) -> None:
        """Against an earlier export, its tar or its manifest: the new files and the documents."""
        await self.export("first")
        await self.export("first.tar")
        newer = b"newer root"
        self.publish(
            self.product("jammy", {FIRST: {"squashfs": ROOT}, SECOND: {"squashfs": newer}}),
            self.product("noble"),
        )
        await self.succeed()
        expected = self.mirrored(*DOCUMENTS, path_of("jammy", "squashfs", SECOND))
        for earlier in ("first", "first.tar", f"first/{MANIFEST}"):
            name = earlier.replace("/", "-") + ".out"
            row = await self.export(name, since=str(self.directory / earlier))
            files = self.files(name)
            manifest = json.loads(files.pop(MANIFEST))
            self.assertEqual(files, expected, earlier)
            self.assertEqual((row["elsewhere"], row["images"]), (1, 2))
            elsewhere = [path for path, file in manifest["files"].items() if file["elsewhere"]]
            self.assertEqual(elsewhere, [mirror_path("1", path_of("noble", "squashfs"))])

    async def test_a_part(self) -> None:
        """Of some images; words that mean none are refused, and nothing is written."""
        row = await self.export("out", images=["ubuntu/noble"])
        self.assertEqual(row["images"], 1)
        self.assertEqual({MANIFEST, *self.mirrored(*DOCUMENTS, path_of("noble", "squashfs"))},
                         set(self.files("out")))  # fmt: skip
        for words in (["ubuntu/bionic"], ["ubuntu/noble", "centos"]):
            error = await self.failure("nothing", images=words)
            self.assertEqual((type(error), error.code), (NotFound, "bundle-empty"))
        self.assertEqual((await self.failure("x", images=["a//b"])).code, "rack-selection")
        self.assertFalse((self.directory / "nothing").exists())

    async def test_a_file_that_goes_away(self) -> None:
        """What the region lets go of meanwhile ends the export with its reason; none half."""
        find = self.exports.blob

        async def gone(sha256: str, of_digests: bool) -> Any:
            if sha256 == hashlib.sha256(ROOT).hexdigest():
                return await find("0" * 64, of_digests)
            return await find(sha256, of_digests)

        self.patch(self.exports, "blob", gone)
        error = await self.failure("out")
        self.assertNotIn(MANIFEST, self.files("out"))
        self.assertTrue(error.remedy)

    async def test_bytes_that_are_wrong(self) -> None:
        """What is damaged in the region gets no name on the disk."""
        known = await self.blob(ROOT)
        assert known is not None

        async def rotten(blob_id: int, seq: int) -> bytes:
            chunk: bytes = await self.database.read(blobs.read_chunk, blob_id, seq)
            return bytes(len(chunk)) if (blob_id, seq) == (known.id, 1) else chunk

        self.patch(self.exports._cache, "_load", rotten)
        self.patch(self.exports._cache, "_kept", type(self.exports._cache._kept)())
        error = await self.failure("out")
        self.assertIsInstance(error, IntegrityError)
        self.assertNotIn(mirror_path("1", path_of("jammy", "squashfs")), self.files("out"))

    async def test_progress(self) -> None:
        """How far it is, of how much."""
        await self.export("out")
        self.assertTrue(self.told)
        for said in self.told:
            self.assertLessEqual(said["fetched_bytes"], said["total_bytes"])
