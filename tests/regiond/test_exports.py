"""What a region says a bundle is to have (written: ``common/shell/test_export``)."""

import attrs

from common.digests import sha256_hex
from common.errors import NotFound
from regiond.store import blob_writing
from tests.doubles.answering import AnswerCase
from tests.doubles.gpg_keys import fingerprint
from tests.doubles.importing import FIRST, JAMMY, SECOND, path_of


class ExportsTests(AnswerCase):
    async def test_nothing(self) -> None:
        """A region that holds nothing says so."""
        await self.fails(self.exports.manifest(()), NotFound, "bundle-empty")

    async def test_what_mirrors_show(self) -> None:
        """While the newer documents wait for an image, the version that the old ones name is in it."""
        await self.jammy()
        await self.succeed()
        manifest = await self.exports.manifest(())
        self.assertEqual(manifest.sources["1"].fingerprints, (fingerprint("ed25519"),))
        self.publish(
            self.product("jammy", {SECOND: {"squashfs": b"newer"}}),
            self.product("noble", {SECOND: {"squashfs": b"lost"}}),
        )
        del self.source.files[path_of("noble", "squashfs", SECOND)]
        await self.select(attrs.evolve(JAMMY, release="noble"))
        await self.run_import()
        found = await self.exports.manifest(())
        self.assertEqual({each.version for each in found.images}, {FIRST, SECOND})
        self.assertLessEqual(manifest.files.items(), found.files.items())

    async def test_blobs(self) -> None:
        """Any that is complete; no partial, no digest list, none that is unknown."""
        name = await self.database.write(blob_writing.keep_whole, b"whole")
        source = await self.exports.blob(name, False)
        self.assertEqual(await source.read_chunk(0), b"whole")
        await self.database.write(blob_writing.claim_blob, sha256_hex(b"partial"), 7, 1)
        for sha256, of_digests in (
            (name, True),
            (sha256_hex(b"partial"), False),
            ("0" * 64, False),
        ):
            await self.fails(self.exports.blob(sha256, of_digests), NotFound, "blob-unknown")
