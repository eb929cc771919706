"""Looking at sources: what is kept, what is named, what is remembered."""

import base64
from pathlib import Path

from common.errors import ConfigError, Conflict, SignatureError
from regiond.store import source_documents, sources
from regiond.store.sources import SourceFields
from regiond.upstream import Look, keyring_of
from tests.doubles.gpg_keys import public_keys
from tests.doubles.importing import DOCUMENTS, FIRST, JAMMY, SECOND, ImportCase
from tests.doubles.stream_documents import INDEX_PATH, STABLE_PATH
from tests.doubles.stream_source import Fault


class LookTests(ImportCase):
    async def look(self, *, afresh: bool = False) -> Look:
        source = await self.database.read(sources.source, 1)
        return await self.upstream.look(source, afresh=afresh)

    async def test_a_look_keeps_nothing_by_itself(self) -> None:
        """Only ``keep`` makes what was said the last good state."""
        self.publish(self.product("jammy"))
        await self.database.read(sources.list_sources)  # a first connection sets up its log
        before = self.fingerprint()
        look = await self.look()
        self.assertFalse(look.is_unchanged)
        self.assertEqual(self.fingerprint(), before)
        await self.upstream.keep(look)
        self.assertTrue((await self.look()).is_unchanged)
        stored = await self.database.read(source_documents.stored_documents, 1)
        self.assertEqual(set(stored), set(DOCUMENTS))

    async def test_keeping_what_did_not_change_writes_nothing(self) -> None:
        """The hourly look of a quiet source leaves the disk alone."""
        self.publish(self.product("jammy"))
        await self.upstream.keep(await self.look())
        look = await self.look()
        before = self.fingerprint()
        await self.upstream.keep(look)
        self.assertEqual(self.fingerprint(), before)

    async def test_afresh_asks_as_if_for_the_first_time(self) -> None:
        """Every document is sent and verified again."""
        self.publish(self.product("jammy"))
        await self.upstream.keep(await self.look())
        self.verifications = 0
        look = await self.look(afresh=True)
        self.assertFalse(look.is_unchanged)
        self.assertEqual(self.verifications, 2)

    async def test_a_failure_is_named_for_the_source(self) -> None:
        """Its object is the source; the URL that failed opens the message."""
        self.source.faults[INDEX_PATH] = Fault(status=404)
        error = (await self.look()).error
        assert error is not None
        self.assertEqual((error.object, error.code), ("boot-source 1", "source-http-404"))
        self.assertIn(self.urls[self.source] + INDEX_PATH, error.message)
        self.assertTrue(error.remedy)

    async def test_a_document_that_is_gone_is_forgotten(self) -> None:
        """What the index no longer names is not kept."""
        self.publish(self.product("jammy"))
        await self.upstream.keep(await self.look())
        other = STABLE_PATH.replace("stable", "candidate")
        self.source.files[other] = self.source.files.pop(STABLE_PATH)
        self.publish(self.product("jammy"))
        await self.upstream.keep(await self.look())
        stored = await self.database.read(source_documents.stored_documents, 1)
        self.assertNotIn(other, stored)

    async def test_keeping_for_a_deleted_source_is_refused(self) -> None:
        """It was deleted while it was read."""
        self.publish(self.product("jammy"))
        look = await self.look()
        await self.boot_sources.delete(1)
        await self.fails(self.upstream.keep(look), Conflict, "source-changed")

    async def test_the_last_good_documents_offer_while_the_source_is_down(self) -> None:
        """A source that cannot be read still offers what it offered last."""
        self.publish(self.product("jammy"))
        await self.upstream.keep(await self.look())
        self.source.faults[INDEX_PATH] = Fault(status=500)
        self.build()  # and no memory of it either
        found = await self.upstream.catalogue(await self.look())
        self.assertEqual([offer.version for offer in found.newest], [FIRST])

    async def test_a_catalogue_is_parsed_once(self) -> None:
        """The same documents give the same catalogue; other documents another one."""
        self.publish(self.product("jammy"))
        look = await self.look()
        first = await self.upstream.catalogue(look)
        await self.upstream.keep(look)
        self.assertIs(await self.upstream.catalogue(await self.look()), first)
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"new"}}))
        second = await self.upstream.catalogue(await self.look())
        self.assertEqual([offer.version for offer in second.newest], [SECOND])

    async def test_a_source_that_was_never_read_is_read_when_it_is_asked_for(self) -> None:
        """Once; afterwards its last good documents are enough."""
        self.publish(self.product("jammy"))
        source = await self.database.read(sources.source, 1)
        for _ in range(2):
            found, error = await self.upstream.known_catalogue(source)
            self.assertEqual((len(found.newest), error), (1, None))
        self.assertEqual(self.source.requests[STABLE_PATH], 1)

    async def test_a_source_that_cannot_be_read_offers_nothing_and_says_why(self) -> None:
        """The reason comes with the empty catalogue."""
        self.source.faults[INDEX_PATH] = Fault(status=503)
        source = await self.database.read(sources.source, 1)
        found, error = await self.upstream.known_catalogue(source)
        assert error is not None
        self.assertEqual((found.newest, error.code), ((), "source-http-503"))

    async def test_credentials_go_to_the_source_with_every_request(self) -> None:
        """As basic authorization, documents and files alike."""
        secret = self.urls[self.source].replace("http://", "http://user:p%40ss@")
        await self.boot_sources.delete(1)
        self.urls[self.source] = secret
        source_id = await self.add_source(self.source)
        self.publish(self.product("jammy"))
        await self.select(JAMMY, source_id=source_id)
        await self.succeed()
        expected = "Basic " + base64.b64encode(b"user:p@ss").decode()
        self.assertEqual(
            {headers.get("authorization") for headers in self.source.headers.values()}, {expected}
        )


class KeyringTests(ImportCase):
    async def test_where_a_keyring_comes_from(self) -> None:
        """From the database, from a file, or from nowhere for an unsigned source."""
        url = "http://host/"
        path = self.directory / "keyring.gpg"
        path.write_bytes(public_keys("rsa"))
        data = SourceFields(url, keyring_data=b"data")
        self.assertEqual(keyring_of(data, "it"), b"data")
        file = SourceFields(url, keyring_filename=str(path))
        self.assertEqual(keyring_of(file, "it"), public_keys("rsa"))
        self.assertIsNone(keyring_of(SourceFields(url, unsigned=True), "it"))

    async def test_a_missing_keyring_is_told_with_what_to_install(self) -> None:
        """The default keyring belongs to a package that may not be there."""
        missing = SourceFields("http://host/", keyring_filename="/no/such/keyring.gpg")
        with self.assertRaises(ConfigError) as caught:
            keyring_of(missing, "boot-source 1")
        self.assertEqual(caught.exception.code, "signature-keyring-missing")
        self.assertEqual(caught.exception.object, "boot-source 1")
        self.assertIn("/no/such/keyring.gpg", caught.exception.message)
        self.assertIn("ubuntu-keyring", caught.exception.remedy)

    async def test_one_good_key_is_enough(self) -> None:
        """A keyring warns only when no key in it can sign any more."""

        async def warning(*names: str) -> str:
            fields = SourceFields("http://host/", keyring_data=public_keys(*names))
            return await self.upstream.keyring_warning(fields)

        self.assertEqual(await warning("expired", "ed25519"), "")
        self.assertIn("expired", await warning("expired"))
        self.assertEqual(await self.upstream.keyring_warning(
            SourceFields("http://host/", unsigned=True)), "")  # fmt: skip

    async def test_no_key_at_all_is_refused(self) -> None:
        """Nothing could ever be verified with it."""
        fields = SourceFields("http://host/", keyring_data=Path(__file__).read_bytes())
        await self.fails(
            self.upstream.keyring_warning(fields), SignatureError, "signature-keyring-unusable"
        )
