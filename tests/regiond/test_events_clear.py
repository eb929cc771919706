"""Every event of an import clears when its cause is gone: one table, raised and cleared."""

from collections.abc import Callable

from twisted.internet import reactor

from regiond.sources.freshness import LAG_S, MAX_AGE_S
from regiond.store import events
from tests.doubles.gpg_keys import signed
from tests.doubles.importing import FIRST, JAMMY, KEYS, SECOND, ImportCase, path_of
from tests.doubles.stream_documents import (
    INDEX_PATH,
    STABLE_PATH,
    UPDATED,
    index,
    item,
    product,
    product_file,
    text,
)
from tests.doubles.stream_source import Fault, StreamSource

DAY_S = 24 * 3600
SOURCE = "boot-source 1"

Break = Callable[[StreamSource], None]


def answers(path: str, fault: Fault) -> Break:
    def break_it(source: StreamSource) -> None:
        source.faults[path] = fault

    return break_it


def says(path: str, content: bytes) -> Break:
    def break_it(source: StreamSource) -> None:
        source.files[path] = content

    return break_it


def tampered(path: str) -> Break:
    def break_it(source: StreamSource) -> None:
        source.files[path] = source.files[path].replace(b'"format"', b'"farmot"')

    return break_it


def by(*keys: str) -> Break:
    return says(INDEX_PATH, signed(text(index()), *keys))


def document(value: bytes) -> Break:
    return says(INDEX_PATH, signed(value, "ed25519"))


ODD = product(
    release="noble",
    version="24.04",
    subarch="ga-24.04",
    versions={"1": {"squashfs": {**item("squashfs", "a/b", b"x"), "path": "../b"}}},
)

# What is done to the source, and the event that it is to be.
SOURCE_FAULTS: tuple[tuple[str, Break], ...] = (
    ("source-http-404", answers(INDEX_PATH, Fault(status=404))),
    ("source-http-401", answers(INDEX_PATH, Fault(status=401))),
    ("source-http-403", answers(STABLE_PATH, Fault(status=403))),
    ("source-http-407", answers(INDEX_PATH, Fault(status=407))),
    ("source-http-500", answers(STABLE_PATH, Fault(status=500))),
    ("source-cut", answers(INDEX_PATH, Fault(cut_at=50))),
    ("source-too-large", answers(INDEX_PATH, Fault(endless=True))),
    ("source-encoding", answers(INDEX_PATH, Fault(gzip=True))),
    ("source-redirect-scheme", answers(INDEX_PATH, Fault(location="ftp://elsewhere/x"))),
    ("source-future", document(text(index(updated=UPDATED + 3 * DAY_S)))),
    ("source-inconsistent", document(text(index(updated=UPDATED + 3600)))),
    ("signature-missing", says(INDEX_PATH, b"<html>log in first</html>")),
    ("signature-missing", says(STABLE_PATH, text(product_file()))),
    ("signature-bad", tampered(INDEX_PATH)),
    ("signature-bad", tampered(STABLE_PATH)),
    ("signature-unknown-key", by("outsider")),
    ("signature-surrounding-text", says(INDEX_PATH, b"\n" + signed(text(index()), "ed25519"))),
    ("document-malformed", document(b"[1, 2]\n")),
    ("document-duplicate-key", document(b'{"a": 1, "a": 2}\n')),
    ("document-format", document(text(product_file()))),
    (
        "document-content-id",
        says(STABLE_PATH, signed(text(product_file(content_id="x")), "ed25519")),
    ),
)


class SourceEventTests(ImportCase):
    timeout = 120

    async def setUp(self) -> None:
        """A region that holds what its source has."""
        await super().setUp()
        self.source.publish(self.product("jammy"), updated=UPDATED)
        await self.select(JAMMY)
        await self.succeed()
        self.good = dict(self.source.files)

    async def raised(self, code: str, about: str = SOURCE) -> None:
        """The next import raises that event once, with cause and remedy."""
        self.time += 60
        await self.run_import()
        (kept,) = [
            each
            for each in await self.database.read(events.list_events)
            if (each.event.code, each.event.object) == (code, about)
        ]
        self.assertTrue(kept.event.cause)
        self.assertTrue(kept.event.remedy)

    async def cleared(self) -> None:
        self.time += 60
        await self.run_import()
        self.assertEqual(await self.open_events(), {})

    async def check_family(self, family: str) -> None:
        """Whatever was wrong with the source: when it is right again, nothing stays open."""
        for code, break_it in SOURCE_FAULTS:
            if code.startswith(family):
                break_it(self.source)
                await self.raised(code)
                self.source.files = dict(self.good)
                self.heal()
                await self.cleared()
                self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_answers(self) -> None:
        """Each way in which a server can answer wrongly."""
        await self.check_family("source-http")

    async def test_transport_and_dates(self) -> None:
        """Each way in which a document can come wrongly, or at the wrong time."""
        await self.check_family("source-cut")
        await self.check_family("source-t")
        await self.check_family("source-e")
        await self.check_family("source-redirect")
        await self.check_family("source-future")

    async def test_a_source_that_never_fits_together(self) -> None:
        """Index and product files of different times."""
        await self.check_family("source-inconsistent")

    async def test_signatures(self) -> None:
        """Each way in which a signature can be wrong."""
        await self.check_family("signature-")

    async def test_documents(self) -> None:
        """Each way in which a signed document can be wrong."""
        await self.check_family("document-")

    async def test_a_fault_that_stays_is_one_event(self) -> None:
        """It is counted, and not told again."""
        answers(INDEX_PATH, Fault(status=404))(self.source)
        for _ in range(3):
            await self.raised("source-http-404")
        (kept,) = await self.database.read(events.list_events)
        self.assertEqual(kept.count, 3)

    async def test_an_unreachable_source(self) -> None:
        """A server that comes back at the same address ends it."""
        await self.close_connections()
        port = self.urls[self.source].rstrip("/").rpartition(":")[2]
        await self.source.stop()
        await self.raised("source-unreachable")
        self.source.listen(reactor, int(port))
        await self.cleared()

    async def test_dates(self) -> None:
        """A lagging and an old source are events until it is current and young again."""
        self.source.publish(self.product("jammy"), updated=UPDATED - 60)
        await self.run_import()
        self.time += LAG_S
        await self.raised("source-rollback")
        self.source.files = dict(self.good)
        await self.cleared()
        self.time += MAX_AGE_S
        await self.raised("source-old")
        self.source.publish(self.product("jammy"), updated=int(self.time))
        await self.cleared()

    async def test_faulty_products(self) -> None:
        """What is left out is told until it is mended, or gone."""
        self.source.publish(self.product("jammy"), ODD, updated=UPDATED + 60)
        await self.raised("products-skipped")
        self.source.publish(self.product("jammy"), updated=UPDATED + 120)
        await self.cleared()

    async def test_faults_of_files(self) -> None:
        """A file that cannot be had is its image's event, until it can be, or is not wanted."""
        newer = self.product("jammy", {SECOND: {"squashfs": b"newer"}})
        path = path_of("jammy", "squashfs", SECOND)
        self.source.publish(newer, updated=UPDATED + 60)
        for code, fault, content in (
            ("transfer-http-404", Fault(status=404), b"newer"),
            ("transfer-length", None, b"longer than newer"),
            ("integrity-sha256", None, b"never"),
        ):
            with self.subTest(code):
                self.source.files[path] = content
                if fault is not None:
                    self.source.faults[path] = fault
                await self.raised(code, KEYS["jammy"])
                self.heal()
        self.source.files[path] = b"newer"
        await self.cleared()
        self.assertEqual(await self.versions(), {"jammy": SECOND})

    async def test_a_deleted_source_leaves_no_event(self) -> None:
        """Nobody can mend what is not there any more."""
        answers(INDEX_PATH, Fault(status=500))(self.source)
        await self.raised("source-http-500")
        await self.boot_sources.delete(1)
        self.assertEqual(await self.open_events(), {})
