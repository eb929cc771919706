"""Uploaded images in a bundle: taken only when an admin says so, and as if they were sent here."""

from unittest import mock

import attrs
from twisted.internet import reactor

from common.bundles import BundledFile, BundleImage, upload_path
from common.digests import sha256_hex
from common.errors import NotFound, Refused
from common.images import ImageKey
from common.vocabulary import Question
from regiond.admin.bundles import BundleAnswers
from regiond.bundled_uploads import wanted_of
from regiond.custom_images import Wanted
from regiond.import_service import ImportResult
from tests.regiond.test_custom_images import OTHER, TGZ, CustomImageCase

KEY = "custom/amd64/generic/my-image/uploaded"


class BundledUploadCase(CustomImageCase):
    async def setUp(self) -> None:
        await super().setUp()
        await self.create(title="Ours", base_image="ubuntu/jammy")
        self.manifest = await self.exports.manifest(())
        self.files = {upload_path(sha256_hex(TGZ)): TGZ}

    async def read(self, path: str, offset: int, length: int) -> tuple[bytes, int]:
        """What a shell gives of the bundle."""
        files = {"rackferry-bundle.json": self.manifest.to_document(), **self.files}
        if path not in files:
            raise NotFound("is not in the bundle", object=path, code="bundle-file-missing")
        return files[path][offset : offset + length], len(files[path])

    async def take(self, *, with_uploads: bool = True) -> ImportResult:
        """Bring the bundle to another region; here: to this one, without the image."""
        return await self.bundles.take(self.read, None, with_uploads=with_uploads)

    async def forget(self) -> None:
        """The image, and its bytes."""
        for row in await self.ask("boot-resources read", type="uploaded"):
            await self.ask("boot-resource delete", row["id"])
        self.time += 365 * 86400.0
        await self.run_import()
        self.time += 365 * 86400.0
        await self.run_import()
        self.assertIsNone(await self.blob(TGZ))


class TakenTests(BundledUploadCase):
    async def test_only_when_asked_for(self) -> None:
        """Without the word they are left out, by name."""
        await self.forget()
        result = await self.take(with_uploads=False)
        self.assertEqual((result.left_out, result.published, result.failed), ((KEY,), (), {}))
        self.assertEqual(await self.view(), {})

    async def test_what_to_add_is_said(self) -> None:
        """As long as something would be left out; with the word nothing is."""
        answers = BundleAnswers(self.exports, self.bundles, self.importer, self.region, reactor)
        shell = mock.Mock(read=self.read)
        said = []
        for flags in ((), ("uploads",)):
            asked = Question("boot-resources", "import-bundle", ("/x",), flags=flags)
            row = await answers.boot_resources_import_bundle(asked, shell)
            said.append(row["message"])
        told = shell.call_args.args[0]
        self.assertLessEqual({"phase", "fetched_bytes", "parts", "waiting_for"}, set(told))
        self.assertIn("1 uploaded image is left out", said[0])
        self.assertIn("add: uploads", said[0])
        self.assertEqual(said[1], "")
        self.manifest = attrs.evolve(self.manifest, images=())
        asked = Question("boot-resources", "import-bundle", ("/x",))
        row = await answers.boot_resources_import_bundle(asked, shell)
        self.assertEqual(row["message"], "")

    async def test_taken(self) -> None:
        """Name, type, title and base image are those it had; the version is this region's."""
        await self.forget()
        result = await self.take()
        self.assertEqual((result.published, result.failed), ((KEY,), {}))
        self.assertEqual(result.fetched_bytes, len(TGZ))
        (row,) = await self.ask("boot-resources read", type="uploaded")
        shown = await self.ask("boot-resource read", row["id"])
        self.assertEqual((shown["title"], shown["files"][0]["sha256"]), ("Ours", sha256_hex(TGZ)))
        (image,) = (await self.exports.manifest(())).images
        self.assertEqual(image.base_image, "ubuntu/jammy")

    async def test_again(self) -> None:
        """The same bytes are no new version, and are not read."""
        version = (await self.view())[KEY]
        self.files.clear()
        self.assertEqual((await self.take()).fetched_bytes, 0)
        self.assertEqual((await self.view())[KEY], version)

    async def test_tampered(self) -> None:
        """Other bytes than the manifest says: refused, nothing is published or kept."""
        await self.forget()
        self.files = {upload_path(sha256_hex(TGZ)): OTHER[: len(TGZ)].ljust(len(TGZ), b"x")}
        result = await self.take()
        self.assertEqual([error.code for error in result.failed.values()], ["upload-digest"])
        self.assertEqual(result.outcome, "incomplete")
        self.assertEqual(await self.view(), {})

    async def test_a_name_that_is_reserved(self) -> None:
        """The rules for names hold here, too, before a byte is read."""
        key = ImageKey("ubuntu", "amd64", "generic", "jammy", "stable")
        (image,) = self.manifest.images
        images = (attrs.evolve(image, key=key),)
        self.manifest = attrs.evolve(self.manifest, images=images)
        self.files.clear()
        result = await self.take()
        self.assertEqual([error.code for error in result.failed.values()], ["custom-reserved"])

    async def test_what_cannot_be_uploaded(self) -> None:
        """An image of no file, of several, or of one that no file type has."""
        key = ImageKey("custom", "amd64", "generic", "x", "uploaded")
        part = BundledFile("root-tgz", "root-tgz", upload_path("0" * 64))
        for parts in ((), (part, part), (attrs.evolve(part, name="boot-kernel"),)):
            self.assertRaises(Refused, wanted_of, BundleImage(key, "1", parts))
        self.assertEqual(
            wanted_of(BundleImage(key, "1", (part,))), Wanted("x", "amd64/generic", "tgz")
        )

    async def test_in_an_earlier_bundle(self) -> None:
        """A file that this one does not have is missing by name."""
        await self.forget()
        self.manifest = self.manifest.without(self.manifest)
        self.files.clear()
        result = await self.take()
        self.assertEqual([error.code for error in result.failed.values()],
                         ["bundle-file-elsewhere"])  # fmt: skip
