"""Reading a whole source over real sockets, well and badly served."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import attrs
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers

from common.errors import SignatureError, SourceError
from common.redirects import source_agent
from regiond.sources import verified
from regiond.sources.documents import ATTEMPTS, read_source
from regiond.sources.locations import SourceLocation
from regiond.sources.readings import SourceReading, StoredDocument, read_stored
from regiond.sources.retrieval import Limits, Retriever
from regiond.sources.verified import SourceAccess
from tests.doubles.gpg_keys import public_keys, signed
from tests.doubles.stream_documents import (
    INDEX_PATH,
    STABLE,
    STABLE_PATH,
    UPDATED,
    index,
    product,
    product_file,
    text,
)
from tests.doubles.stream_source import Fault, StreamSource

T = TypeVar("T")
PATIENT = Limits(size_bytes=1 << 20)
HASTY = attrs.evolve(PATIENT, head_timeout_s=0.2, stall_timeout_s=0.2)
BRIEF = attrs.evolve(PATIENT, head_timeout_s=2.0)
NOW = UPDATED + 3600.0
DAY = 24 * 3600


def at_once(work: Callable[[], T], /) -> Awaitable[T]:
    """A thread pool that works on the caller's thread."""
    return succeed(work())


class SourceCase(TestCase):
    """A source on loopback, and a reader of it."""

    def setUp(self) -> None:
        self.source = StreamSource()
        self.source.publish(product())
        self.base = self.source.listen(reactor)
        self.pools = [HTTPConnectionPool(reactor), HTTPConnectionPool(reactor)]
        self.agent = source_agent(
            reactor, *self.pools, tls=BrowserLikePolicyForHTTPS(), connect_timeout_s=5.0
        )

    async def tearDown(self) -> None:
        await deferLater(reactor, 0)  # what was aborted last leaves its pool in the next turn
        for pool in self.pools:
            await pool.closeCachedConnections()
        await self.source.stop()

    def access(self, **changes: Any) -> SourceAccess:
        limits = changes.pop("limits", PATIENT)
        headers = changes.pop("headers", Headers)
        chosen = {"keyring": public_keys("ed25519"), "in_thread": at_once, "now": NOW} | changes
        return SourceAccess(Retriever(self.agent, reactor, headers, limits), **chosen)

    async def read(
        self, stored: Mapping[str, StoredDocument] | None = None, **changes: Any
    ) -> SourceReading:
        unsigned = changes.get("keyring", b"") is None
        location = SourceLocation.parse(self.base, unsigned=unsigned)
        return await read_source(location, stored or {}, self.access(**changes))

    async def stored(self) -> dict[str, StoredDocument]:
        reading = await self.read()
        return {document.path: document.to_stored() for document in reading.documents}

    async def refusal(
        self, stored: Mapping[str, StoredDocument] | None = None, **changes: Any
    ) -> SourceError:
        try:
            await self.read(stored, **changes)
        except SourceError as error:
            return error
        raise AssertionError("was read")


class ReadTests(SourceCase):
    """A source that is all right."""

    async def test_reading(self) -> None:
        """A reading has every document as it was sent and verified, and its products."""
        reading = await self.read()
        [products] = reading.product_files
        self.assertEqual((products.content_id, len(products.products)), (STABLE, 1))
        documents = {document.path: document for document in reading.documents}
        self.assertEqual(set(documents), {INDEX_PATH, STABLE_PATH})
        self.assertEqual(documents[INDEX_PATH].raw, self.source.files[INDEX_PATH])
        self.assertEqual(documents[INDEX_PATH].payload, text(index()))
        self.assertEqual({document.updated for document in reading.documents}, {UPDATED})
        self.assertEqual((reading.unchanged, reading.problems), (False, ()))

    async def test_unchanged(self) -> None:
        """What did not change costs one conditional request per document and no GnuPG."""
        stored = await self.stored()
        self.patch(verified, "verify_each", None)
        self.source.requests.clear()
        reading = await self.read(stored)
        self.assertEqual((reading.unchanged, reading.product_files), (True, ()))
        self.assertEqual(self.source.requests, {INDEX_PATH: 1, STABLE_PATH: 1})
        self.assertEqual({document.raw for document in reading.documents}, {None})

    async def test_read_stored(self) -> None:
        """Stored documents give the same products as the reading that they came from."""
        reading = await self.read()
        stored = {document.path: document.to_stored() for document in reading.documents}
        location = SourceLocation.parse(self.base)
        self.assertEqual(read_stored(location, stored), reading.product_files)
        self.assertEqual(read_stored(location, {}), ())

    async def test_one_document_under_two_names(self) -> None:
        """Of two entries with one path the first counts, when it is read and ever after."""
        twice = index({STABLE: STABLE_PATH, f"{STABLE}.again": STABLE_PATH})
        self.source.files[INDEX_PATH] = signed(text(twice), "ed25519")
        reading = await self.read()
        stored = {document.path: document.to_stored() for document in reading.documents}
        location = SourceLocation.parse(self.base)
        self.assertEqual(len(reading.product_files), 1)
        self.assertEqual(read_stored(location, stored), reading.product_files)

    async def test_no_validators(self) -> None:
        """A server that ignores conditions costs the bytes, but no GnuPG and no change."""
        self.source.has_validators = False
        stored = await self.stored()
        self.patch(verified, "verify_each", None)
        self.assertTrue((await self.read(stored)).unchanged)

    async def test_changed(self) -> None:
        """A new product file is read, and the index asked for once more at the end."""
        stored = await self.stored()
        self.source.requests.clear()
        self.source.publish(product(), product(arch="arm64"), updated=UPDATED + 60)
        reading = await self.read(stored)
        self.assertEqual(len(reading.product_files[0].products), 2)
        self.assertEqual(self.source.requests, {INDEX_PATH: 2, STABLE_PATH: 1})

    async def test_several_files(self) -> None:
        """All product files of an index, and of an index in it, are read."""
        other = f"streams/v1/{STABLE}2.sjson"
        nested = "streams/v1/nested.sjson"
        document = index()
        document["index"]["nested"] = {"format": "index:1.0", "path": nested}
        self.source.files[INDEX_PATH] = signed(text(document), "ed25519")
        inner = index({f"{STABLE}2": other})
        self.source.files[nested] = signed(text(inner), "ed25519")
        second = product_file(product(arch="arm64"), content_id=f"{STABLE}2")
        self.source.files[other] = signed(text(second), "ed25519")
        reading = await self.read()
        self.assertEqual(len(reading.product_files), 2)
        stored = {one.path: one.to_stored() for one in reading.documents}
        self.assertTrue((await self.read(stored)).unchanged)
        self.assertEqual(len(read_stored(SourceLocation.parse(self.base), stored)), 2)

    async def test_unsigned(self) -> None:
        """A source declared unsigned is read from plain documents."""
        plain = STABLE_PATH.replace(".sjson", ".json")
        self.source.files = {
            "streams/v1/index.json": text(index({STABLE: plain})),
            plain: text(product_file(product())),
        }
        reading = await self.read(keyring=None)
        self.assertEqual(len(reading.product_files[0].products), 1)

    async def test_headers(self) -> None:
        """Credentials are sent, and compression is never asked for."""
        await self.read(headers=lambda: Headers({"authorization": ["Bearer x"]}))
        sent = self.source.headers[STABLE_PATH]
        self.assertEqual(sent["authorization"], "Bearer x")
        self.assertNotIn("accept-encoding", sent)

    async def test_old(self) -> None:
        """A source without news for 30 days is read, with an event."""
        reading = await self.read(now=NOW + 31 * DAY)
        self.assertEqual([event.code for event in reading.events], ["source-old"])

    async def test_redirect(self) -> None:
        """A redirect on the same host is followed, with credentials."""
        self.source.files["moved"] = self.source.files[STABLE_PATH]
        self.source.faults[STABLE_PATH] = Fault(location="/moved")
        reading = await self.read(headers=lambda: Headers({"authorization": ["Bearer x"]}))
        self.assertEqual(len(reading.product_files), 1)
        self.assertEqual(self.source.headers["moved"]["authorization"], "Bearer x")


class IndexFaultTests(SourceCase):
    """A fault of the index is the source's: one clear error that names the URL."""

    async def test_http(self) -> None:
        """Each way in which a server can fail has a code of its own."""
        cases = {
            "source-http-404": Fault(status=404),
            "source-http-500": Fault(status=500),
            "source-http-401": Fault(status=401),
            "source-http-304": Fault(status=304),
            "source-stalled": Fault(silent=True),
            "source-cut": Fault(cut_at=50),
            "source-too-large": Fault(endless=True),
            "source-encoding": Fault(gzip=True),
            "source-redirect-loop": Fault(location=f"/{INDEX_PATH}"),
        }
        for code, fault in cases.items():
            self.source.faults[INDEX_PATH] = fault
            error = await self.refusal(limits=HASTY if fault.silent else PATIENT)
            self.assertEqual((error.code, error.object), (code, self.base + INDEX_PATH))
            self.assertNotIn(error.object, error.message.removeprefix(error.object))
            self.assertTrue(error.remedy)

    async def test_stalled_body(self) -> None:
        """A body that stops in the middle is given up."""
        self.source.faults[INDEX_PATH] = Fault(stop_at=50)
        error = await self.refusal(limits=attrs.evolve(PATIENT, stall_timeout_s=0.2))
        self.assertEqual((error.code, error.message), ("source-stalled", "sent nothing for 0 s"))

    async def test_private_redirect(self) -> None:
        """A redirect to another host that is not public is refused."""
        port = self.base.rsplit(":", 1)[1]
        self.source.faults[INDEX_PATH] = Fault(location=f"http://localhost:{port}{INDEX_PATH}")
        self.assertEqual((await self.refusal()).code, "source-redirect-private")

    async def test_unreachable(self) -> None:
        """Where nobody listens, the address is named."""
        await self.source.stop()
        error = await self.refusal()
        self.assertEqual((error.code, error.object), ("source-unreachable", self.base + INDEX_PATH))

    async def test_documents(self) -> None:
        """Whatever is wrong with the document itself is refused with its own code."""
        good = self.source.files[INDEX_PATH]
        cases = {
            "signature-missing": text(index()),
            "signature-bad": good.replace(b"index:1.0", b"index:1.1"),
            "signature-unknown-key": signed(text(index()), "outsider"),
            "signature-surrounding-text": b"\n" + good,
            "document-format": signed(text(product_file()), "ed25519"),
            "document-truncated": signed(b'{"format":\n', "ed25519"),
            "document-nesting": signed(b'{"a":' + b"[" * 50 + b"]" * 50 + b"}\n", "ed25519"),
            "source-future": signed(text(index(updated=UPDATED + 2 * DAY)), "ed25519"),
        }
        for code, content in cases.items():
            self.source.files[INDEX_PATH] = content
            error = await self.refusal()
            self.assertEqual((error.code, error.object), (code, self.base + INDEX_PATH))

    async def test_html(self) -> None:
        """A page for people with status 200 is no index."""
        self.source.files[INDEX_PATH] = b"<html>log in first</html>"
        error = await self.refusal()
        self.assertEqual(error.code, "signature-missing")
        self.assertIn("<html>", error.message)

    async def test_plain_index(self) -> None:
        """A .json index is refused unless the source was declared unsigned."""
        self.base += "streams/v1/index.json"
        error = await self.refusal()
        self.assertEqual(error.code, "signature-missing")
        self.assertIn("unsigned=true", error.remedy)

    async def test_keyring(self) -> None:
        """A keyring that cannot be used is the source's fault, and named so."""
        error = await self.refusal(keyring=b"junk")
        self.assertIsInstance(error, SignatureError)
        self.assertEqual(error.code, "signature-keyring-unusable")


class ProductFaultTests(SourceCase):
    """A fault of one product file leaves the others alone."""

    other = f"streams/v1/{STABLE}2.sjson"

    def setUp(self) -> None:
        super().setUp()
        named = {STABLE: STABLE_PATH, f"{STABLE}2": self.other}
        self.source.files[INDEX_PATH] = signed(text(index(named)), "ed25519")
        second = product_file(product(arch="arm64"), content_id=f"{STABLE}2")
        self.source.files[self.other] = signed(text(second), "ed25519")

    async def test_isolated(self) -> None:
        """A product file with any fault is a problem that names it; the other is used."""
        good = self.source.files[self.other]
        cases: dict[str, bytes | Fault] = {
            "source-http-404": Fault(status=404),
            "source-stalled": Fault(silent=True),
            "source-redirect-loop": Fault(location=f"/{self.other}"),
            "signature-bad": good.replace(b"arm64", b"arm65"),
            "signature-missing": text(product_file()),
            "document-content-id": signed(text(product_file()), "ed25519"),
            "document-format": signed(text(index()), "ed25519"),
        }
        for code, fault in cases.items():
            self.source.faults.clear()
            if isinstance(fault, Fault):
                self.source.faults[self.other] = fault
            else:
                self.source.files[self.other] = fault
            is_silent = isinstance(fault, Fault) and fault.silent
            # The other documents have to come in that time.
            reading = await self.read(limits=BRIEF if is_silent else PATIENT)
            [problem] = reading.problems
            self.assertEqual((problem.code, problem.object), (code, self.base + self.other))
            self.assertEqual([one.content_id for one in reading.product_files], [STABLE])

    async def test_last_good(self) -> None:
        """The last good state of a faulty product file is used, and stays stored."""
        stored = await self.stored()
        self.source.faults[self.other] = Fault(status=500)
        reading = await self.read(stored)
        self.assertEqual([problem.code for problem in reading.problems], ["source-http-500"])
        self.assertEqual(sum(len(one.products) for one in reading.product_files), 2)
        documents = {one.path: one for one in reading.documents}
        self.assertEqual(documents[self.other].to_stored(), stored[self.other])
        self.assertFalse(reading.unchanged)

    async def test_older(self) -> None:
        """A product file that went back is no fault: its last good state is used, and told."""
        stored = await self.stored()
        older = product_file(content_id=f"{STABLE}2", updated=UPDATED - 60)
        self.source.files[self.other] = signed(text(older), "ed25519")
        reading = await self.read(stored)
        (told,) = reading.lagging
        self.assertIn(self.base + self.other, told)
        self.assertEqual((reading.unchanged, reading.problems), (True, ()))
        self.assertEqual({one.path: one.to_stored() for one in reading.documents}, stored)

    async def test_older_beside_newer(self) -> None:
        """A newer index and product file are taken in beside one that went back."""
        stored = await self.stored()
        named = {STABLE: STABLE_PATH, f"{STABLE}2": self.other}
        newer = index(named, updated=UPDATED + 60)
        self.source.files[INDEX_PATH] = signed(text(newer), "ed25519")
        more = product_file(product(), product(release="noble"), updated=UPDATED + 60)
        self.source.files[STABLE_PATH] = signed(text(more), "ed25519")
        older = product_file(content_id=f"{STABLE}2", updated=UPDATED - 60)
        self.source.files[self.other] = signed(text(older), "ed25519")
        reading = await self.read(stored)
        self.assertEqual((len(reading.lagging), reading.unchanged), (1, False))
        dates = {one.path: one.updated for one in reading.documents}
        self.assertEqual(
            dates,
            {INDEX_PATH: UPDATED + 60, STABLE_PATH: UPDATED + 60, self.other: UPDATED},
        )

    async def test_all_faulty(self) -> None:
        """When no product file at all can be used, the source has failed."""
        for path in (STABLE_PATH, self.other):
            self.source.faults[path] = Fault(status=503)
        self.assertEqual((await self.refusal()).code, "source-http-503")


class ConsistencyTests(SourceCase):
    """Index and product files must belong together."""

    async def test_moved_once(self) -> None:
        """A source that is published anew while it is read is read again."""
        stored = await self.stored()
        self.source.requests.clear()
        self.source.publish(product(), updated=UPDATED + 60)

        def publish_again(path: str) -> None:
            if path == STABLE_PATH and self.source.requests[path] == 1:
                self.source.publish(product(), product(arch="arm64"), updated=UPDATED + 120)

        self.source.on_request = publish_again
        reading = await self.read(stored)
        self.assertEqual(len(reading.product_files[0].products), 2)
        self.assertEqual({one.updated for one in reading.documents}, {UPDATED + 120})

    async def test_promise(self) -> None:
        """An index that promises a newer product file than there is does not fit."""
        self.source.files[INDEX_PATH] = signed(text(index(updated=UPDATED + 60)), "ed25519")
        error = await self.refusal()
        self.assertEqual((error.code, error.object), ("source-inconsistent", self.base))
        self.assertEqual(self.source.requests[INDEX_PATH], ATTEMPTS)

    async def test_never_still(self) -> None:
        """A source that changes with every request is given up."""

        def publish_again(path: str) -> None:
            if path == STABLE_PATH:
                count = self.source.requests[path]
                self.source.publish(product(), updated=UPDATED + 60 * count)

        self.source.on_request = publish_again
        self.assertEqual((await self.refusal()).code, "source-inconsistent")


class RollbackTests(SourceCase):
    """A source whose dates go back."""

    async def test_index(self) -> None:
        """What came with an older index is not even asked for: what is stored is used."""
        stored = await self.stored()
        self.source.publish(product(), product(arch="arm64"), updated=UPDATED - 60)
        self.source.requests.clear()
        reading = await self.read(stored)
        self.assertEqual((reading.unchanged, reading.problems), (True, ()))
        self.assertIn(self.base + INDEX_PATH, reading.lagging[0])
        self.assertEqual({one.path: one.to_stored() for one in reading.documents}, stored)
        self.assertEqual(self.source.requests, {INDEX_PATH: 1})

    async def test_newer_products_of_an_older_index(self) -> None:
        """Mixed documents of two times are not combined: the index rules."""
        stored = await self.stored()
        self.source.publish(product(), product(arch="arm64"), updated=UPDATED + 60)
        older = signed(text(index(updated=UPDATED - 60)), "ed25519")
        self.source.files[INDEX_PATH] = older
        reading = await self.read(stored)
        self.assertEqual({one.path: one.to_stored() for one in reading.documents}, stored)

    async def test_nested_index(self) -> None:
        """An index in the index that went back leaves everything as it is stored."""
        nested = "streams/v1/nested.sjson"
        document = index()
        document["index"]["nested"] = {"format": "index:1.0", "path": nested}
        self.source.files[INDEX_PATH] = signed(text(document), "ed25519")
        self.source.files[nested] = signed(text(index({})), "ed25519")
        stored = await self.stored()
        self.source.files[nested] = signed(text(index({}, updated=UPDATED - 1)), "ed25519")
        reading = await self.read(stored)
        self.assertIn(self.base + nested, reading.lagging[0])
        self.assertEqual({one.path: one.to_stored() for one in reading.documents}, stored)

    async def test_allowed(self) -> None:
        """With the permission, what went back is taken in and told, each document by itself."""
        stored = await self.stored()
        self.source.publish(product(), updated=UPDATED - 60)
        reading = await self.read(stored, accepts_rollback=True)
        self.assertEqual((len(reading.accepted), reading.lagging), (2, ()))
        self.assertEqual({one.updated for one in reading.documents}, {UPDATED - 60})

    async def test_allowed_is_not_any_date(self) -> None:
        """The permission is about the past: a date more than a day ahead is refused as ever."""
        stored = await self.stored()
        self.source.publish(product(), updated=UPDATED + 2 * DAY)
        error = await self.refusal(stored, accepts_rollback=True)
        self.assertEqual(error.code, "source-future")

    async def test_fast_forward_heals(self) -> None:
        """Documents dated 23 h ahead lock out the right ones for 23 h, and not longer."""
        self.source.publish(product(), updated=UPDATED + 23 * 3600)
        stored = await self.stored()
        self.source.publish(product(), updated=UPDATED + 3600)
        self.assertTrue((await self.read(stored)).lagging)
        self.source.publish(product(), updated=UPDATED + 23 * 3600 + 60)
        reading = await self.read(stored, now=NOW + 23 * 3600)
        self.assertEqual((reading.lagging, reading.unchanged), ((), False))


class CancelTests(SourceCase):
    """Stopping a read."""

    async def test_cancel(self) -> None:
        """A cancelled read ends at once and leaves no connection and no timer behind."""
        self.source.faults[STABLE_PATH] = Fault(stop_at=10)
        reading = Deferred.fromCoroutine(self.read())
        while not self.source.requests[STABLE_PATH]:
            await deferLater(reactor, 0.005)
        reading.cancel()
        with self.assertRaises(CancelledError):
            await reading
