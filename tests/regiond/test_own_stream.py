"""The region's own stream over real HTTP, signed by real GnuPG."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock

from common.errors import ConfigError
from common.images import ImageKey
from regiond import own_stream
from regiond.own_stream import MOST_WAITS, QUIET_S, RETRY_S, OwnStream
from regiond.settings_table import STREAM_UPLOADS
from regiond.sources.signatures import verify
from regiond.store import blob_writing, images, leases, publication
from regiond.store import own_stream as stored
from regiond.store.images import GRACE_S, NeededFile, NewImage
from regiond.stream_signing import SigningKey
from regiond.web.streams import Find
from tests.doubles.gpg_keys import fingerprint, public_keys, signed
from tests.doubles.importing import FIRST, NOBLE, SECOND
from tests.doubles.streams import inline
from tests.doubles.web_trees import WebTreeCase

INDEX = "streams/v1/index.sjson"
STEM = "streams/v1/com.rackferry:images:other:v3:download"
ROOT = f"ubuntu/amd64/ga-22.04/jammy/stable/{FIRST}/squashfs"
KEY = SigningKey("", b"", b"")


class StreamCase(WebTreeCase):
    """A region whose stream is signed with a key that was made before.

    Attributes:
        signings: how often GnuPG was asked to sign.
    """

    async def setUp(self) -> None:
        self.signings = 0
        self.broken: ConfigError | None = None
        self.patch(own_stream, "sign_each", self.sign_each)
        self.patch(own_stream, "make_key", self.make_key)
        await super().setUp()

    def make_key(self, _: object) -> SigningKey:
        return SigningKey(fingerprint("ed25519"), b"in a home of its own", public_keys("ed25519"))

    def sign_each(self, texts: Mapping[str, bytes], *_: object) -> dict[str, bytes]:
        self.signings += 1
        if self.broken is not None:
            raise self.broken
        return {path: signed(text, "ed25519") for path, text in texts.items()}

    def trees(self) -> Mapping[str, Find]:
        self.stream = self.new_stream()
        return {"images-stream": self.stream.find, "keyring.gpg": self.stream.keyring}

    def new_stream(self, clock: Any = reactor) -> OwnStream:
        return OwnStream(
            self.database,
            self.cache,
            self.directory,
            inline,
            clock=clock,
            now=lambda: self.time,
        )

    async def served(self, path: str) -> bytes:
        answer = await self.get(f"images-stream/{path}")
        self.assertEqual(answer.code, 200, path)
        return answer.body

    async def says(self, path: str) -> dict[str, Any]:
        """A document, verified by the keyring that is served."""
        keyring = (await self.get("keyring.gpg")).body
        verified = verify(await self.served(path), keyring, name=path, now=self.time)
        return json.loads(verified.payload)

    async def documents(self) -> dict[str, bytes]:
        names = await self.database.read(stored.published)
        return {path: await self.served(path) for path in names.documents}

    async def imported(self, content: bytes = b"root") -> None:
        await self.jammy(content)
        await self.succeed()

    async def show_uploads(self, *, shown: bool) -> None:
        await self.settings.change({STREAM_UPLOADS: str(shown)})

    async def upload(self, content: bytes) -> None:
        """A custom image, as a publish leaves it."""
        epoch = await self.database.write(
            leases.acquire, publication.IMPORT_LEASE, "uploads", self.time, 15.0
        )
        sha256 = await self.database.write(blob_writing.keep_whole, content)
        new = NewImage(
            ImageKey("custom", "amd64", "generic", "mine", "uploaded"),
            FIRST,
            [NeededFile("root-tgz", "root-tgz", sha256, len(content))],
            type="uploaded",
        )
        ids = await self.database.write(images.stage_images, [new], self.time)
        await self.database.write(publication.publish_images, ids, epoch, self.time)


class ServedTests(StreamCase):
    async def test_what_is_published_can_be_had_by_index_and_path(self) -> None:
        """Signed documents lead to files whose digests and sizes are as they say."""
        await self.imported()
        self.assertTrue(await self.stream.refresh())
        index = await self.says(INDEX)
        for entry in index["index"].values():
            products = (await self.says(entry["path"]))["products"]
            self.assertEqual(sorted(products), entry["products"])
            (product,) = products.values()
            item = product["versions"][FIRST]["items"]["squashfs"]
            body = await self.served(item["path"])
            self.assertEqual(
                (hashlib.sha256(body).hexdigest(), len(body)), (item["sha256"], item["size"])
            )
            self.assertEqual((item["path"], body), (ROOT, b"root"))
            self.assertEqual(
                (product["release_title"], product["support_eol"]), ("22.04 LTS", "2027-04-21")
            )

    async def test_plain_documents_say_the_same(self) -> None:
        """For readers without a keyring; the plain index names plain ones."""
        await self.imported()
        await self.stream.refresh()
        plain = json.loads(await self.served(f"{STEM}.json"))
        self.assertEqual(plain, await self.says(f"{STEM}.sjson"))
        index = json.loads(await self.served("streams/v1/index.json"))
        self.assertEqual([each["path"] for each in index["index"].values()], [f"{STEM}.json"])

    async def test_what_was_not_changed_costs_no_byte(self) -> None:
        """Documents, files and the keyring have tags; parts and HEAD work."""
        await self.imported(bytes(range(100)))
        await self.stream.refresh()
        for path in (f"images-stream/{INDEX}", f"images-stream/{ROOT}", "keyring.gpg"):
            tag = (await self.get(path, "HEAD")).headers["etag"]
            answer = await self.get(path, if_none_match=tag)
            self.assertEqual((answer.code, answer.body), (304, b""))
        self.assertEqual(self.cache.loads, 0)
        part = await self.get(f"images-stream/{ROOT}", range="bytes=90-")
        self.assertEqual((part.code, part.body), (206, bytes(range(90, 100))))

    async def test_what_is_not_there(self) -> None:
        """Before the first publish nothing; and never what no document names."""
        self.assertEqual((await self.get(f"images-stream/{INDEX}")).code, 404)
        await self.imported()
        await self.stream.refresh()
        others = (ROOT.replace(FIRST, SECOND), f"{ROOT}.x", ROOT.replace("stable", "daily"))
        for path in ("", "streams/v1/", "streams/v1/other.sjson", f"x/{ROOT}", f"{ROOT}/", *others):
            with self.subTest(path=path):
                self.assertEqual((await self.get(f"images-stream/{path}")).code, 404)
        self.assertEqual((await self.get("keyring.gpg/x")).code, 404)

    async def test_a_keyring_is_there_from_the_first_question(self) -> None:
        """An admin may take it before there is any image; it stays the same."""
        first = await self.get("keyring.gpg")
        self.assertEqual((first.code, first.body), (200, public_keys("ed25519")))
        self.patch(own_stream, "make_key", lambda _: KEY)
        self.assertEqual((await self.get("keyring.gpg")).body, first.body)

    async def test_a_manifest_is_served_as_long_as_its_image(self) -> None:
        """It is made of what the image consists of."""
        await self.show_uploads(shown=True)
        await self.upload(b"mine")
        await self.stream.refresh()
        (product,) = (await self.says("streams/v1/com.rackferry:images:single:v3:download.sjson"))[
            "products"
        ].values()
        item = product["versions"][FIRST]["items"]["manifest"]
        body = await self.served(item["path"])
        self.assertEqual(
            (hashlib.sha256(body).hexdigest(), len(body)), (item["sha256"], item["size"])
        )


class StableTests(StreamCase):
    async def test_bytes_stay_until_what_is_published_changes(self) -> None:
        """Whatever happens to the clock, the daemon or the view of a single rack."""
        await self.imported()
        await self.stream.refresh()
        before, asked = await self.documents(), self.signings
        self.time += 86400.0
        self.assertFalse(await self.stream.refresh())
        await self.close()
        await self.open()
        self.cache._load = self.database.read_chunk
        self.stream._database = self.database
        self.assertFalse(await self.stream.refresh())
        self.assertEqual((await self.documents(), self.signings), (before, asked))

    async def test_a_new_version_is_said_in_the_time_of_its_generation(self) -> None:
        """And who began with the older documents can end with them."""
        await self.imported()
        await self.stream.refresh()
        first = await self.says(f"{STEM}.sjson")
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"newer"}}))
        await self.succeed()
        self.time += 1000.0
        self.assertTrue(await self.stream.refresh())
        second = await self.says(f"{STEM}.sjson")
        self.assertEqual(
            [list(product["versions"]) for product in second["products"].values()], [[SECOND]]
        )
        self.assertEqual(first["updated"][:22], second["updated"][:22])  # not 1000 s later
        self.assertNotEqual(first["updated"], second["updated"])
        self.time += GRACE_S - 1001.0
        self.assertEqual(await self.served(ROOT), b"root")
        self.time += 1001.0
        self.assertEqual((await self.get(f"images-stream/{ROOT}")).code, 404)

    async def test_regions_of_one_database_serve_the_same_bytes(self) -> None:
        """Who signs later than another finds it done, and keeps the other's key."""
        await self.imported()
        await self.stream.refresh()
        before = await self.documents()
        self.assertFalse(await self.new_stream().refresh())
        self.assertEqual(await self.documents(), before)

    async def test_when_the_last_image_goes_the_stream_is_empty(self) -> None:
        """It does not go on to offer what nobody holds."""
        await self.imported()
        await self.stream.refresh()
        (image,) = (await self.published()).values()
        await self.region.delete_image(image.id)
        self.assertTrue(await self.stream.refresh())
        self.assertEqual((await self.says(INDEX))["index"], {})
        self.assertEqual((await self.get(f"images-stream/{STEM}.sjson")).code, 404)


class UploadTests(StreamCase):
    PATH = f"custom/amd64/generic/mine/uploaded/{FIRST}/root-tgz"

    async def test_uploads_are_shown_only_if_the_setting_says_so(self) -> None:
        """Neither named nor served; and gone again when it is taken back."""
        await self.upload(b"mine")
        self.assertFalse(await self.stream.refresh())
        self.assertEqual((await self.get(f"images-stream/{self.PATH}")).code, 404)
        await self.show_uploads(shown=True)
        self.assertTrue(await self.stream.refresh())
        self.assertEqual(await self.served(self.PATH), b"mine")
        (entry,) = (await self.says(INDEX))["index"].values()
        self.assertEqual(entry["products"], ["com.rackferry.uploaded:v3:custom:mine:amd64:generic"])
        await self.show_uploads(shown=False)
        self.assertTrue(await self.stream.refresh())
        self.assertEqual((await self.says(INDEX))["index"], {})
        self.assertEqual((await self.get(f"images-stream/{self.PATH}")).code, 404)


class ServiceTests(StreamCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.clock = Clock()
        self.service = self.new_stream(self.clock)
        self.addCleanup(self.stop)

    async def stop(self) -> None:
        if self.service.running:
            stopping = self.service.stopService()
            self.assertIsInstance(stopping, Deferred)
            await stopping

    async def number_of_documents(self) -> int:
        return len((await self.database.read(stored.published)).documents)

    async def test_what_was_missed_is_made_up_for_at_the_start(self) -> None:
        """A crash between a publish and its documents costs nothing."""
        await self.imported()
        self.service.startService()
        await self.until(self.number_of_documents)

    async def test_publishes_one_after_the_other_are_signed_together(self) -> None:
        """When nothing more comes for a moment: an import publishes each second."""
        await self.publish_once_more()
        for _ in range(3):
            self.clock.advance(QUIET_S - 0.1)
            self.service.look()
        self.assertEqual(self.signings, 1)
        self.clock.advance(QUIET_S)
        await self.until(lambda: self.signings == 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])  # until somebody looks

    async def test_a_long_import_is_signed_on_its_way(self) -> None:
        """News without a pause do not keep the documents from being made."""
        await self.publish_once_more()
        for _ in range(MOST_WAITS):
            self.assertEqual(self.signings, 1)
            self.clock.advance(QUIET_S - 0.1)
            self.service.look()
        await self.until(lambda: self.signings == 2)

    async def publish_once_more(self) -> None:
        """What was published first is signed; then more is, and somebody looks."""
        await self.imported()
        self.service.startService()
        await self.until(self.number_of_documents)
        self.publish(self.product("jammy"), self.product("noble"))
        await self.select(NOBLE)
        await self.succeed()
        self.service.look()
        await self.until(self.clock.getDelayedCalls)

    async def test_a_failure_is_an_event_and_the_older_documents_stay(self) -> None:
        """It is tried again by itself, and the event clears."""
        await self.imported()
        await self.stream.refresh()
        before = await self.documents()
        self.publish(self.product("jammy", {SECOND: {"squashfs": b"newer"}}))
        await self.succeed()
        self.broken = ConfigError("no luck", object="gpg", code="stream-signing")
        self.service.startService()
        await self.until(self.open_events)
        self.assertIn(("stream-signing", "images-stream"), await self.open_events())
        self.assertEqual(await self.documents(), before)
        self.broken = None
        await self.until(self.clock.getDelayedCalls)
        self.clock.advance(RETRY_S)
        await self.until(lambda: self.signings == 3)
        await self.until(self.cleared)
        self.assertNotEqual(await self.documents(), before)

    async def cleared(self) -> bool:
        return not await self.open_events()

    async def test_a_bug_does_not_end_it(self) -> None:
        """It is in the log, and the next try may work."""
        await self.imported()
        self.patch(own_stream, "sign_each", lambda *_: succeed(None))
        self.service.startService()
        await self.until(self.clock.getDelayedCalls)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.patch(own_stream, "sign_each", self.sign_each)
        self.clock.advance(RETRY_S)
        await self.until(self.number_of_documents)

    async def test_two_never_use_gnupg_at_once_whoever_leaves(self) -> None:
        """A reader who leaves does not let another begin before GnuPG has ended."""
        running: list[Deferred[Any]] = []

        def in_thread(_: object) -> Deferred[Any]:
            running.append(Deferred())
            return running[-1]

        self.stream._in_thread = in_thread
        first = Deferred.fromCoroutine(self.stream.keyring(""))
        second = Deferred.fromCoroutine(self.stream.keyring(""))
        await self.until(lambda: running)
        first.cancel()
        self.assertEqual(len(running), 1)
        running[0].callback(self.make_key(None))
        await self.assertFailure(first, CancelledError)
        await self.until(lambda: len(running) == 2)
        running[1].callback(self.make_key(None))
        self.assertEqual((await second).content, public_keys("ed25519"))
