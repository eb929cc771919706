"""stop-import, whatever the import is at: told at once, nothing lost, the next one goes on."""

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from common.errors import Conflict
from regiond.import_service import STOP_PATIENCE_S, ImportResult, ImportService
from regiond.schedule import Schedule
from regiond.sources import verified
from regiond.store import blob_writing
from regiond.upstream import Upstream
from tests.doubles.importing import DOCUMENTS, FIRST, JAMMY, ImportCase, path_of
from tests.doubles.stream_source import Fault
from tests.doubles.streams import some_bytes

LARGE = some_bytes(9 << 20)
ROOT = path_of("jammy", "squashfs")


class StopCase(ImportCase):
    """A service whose own clock stands still: a stop that returns has really stopped."""

    async def setUp(self) -> None:
        await super().setUp()
        self.publish(self.product("jammy", {FIRST: {"squashfs": LARGE}}))
        await self.select(JAMMY)
        self.clock = Clock()
        self.service = ImportService(
            self.importer, lambda: Schedule(automatic=False), self.clock, now=self.clock.seconds
        )
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def is_told(self, running: "Deferred[ImportResult]") -> "Deferred[Conflict]":
        told = self.assertFailure(running, Conflict)
        return told.addCallback(
            lambda error: self.assertEqual(error.code, "import-stopped") or error
        )

    async def goes_on(self) -> None:
        """The next import completes, and fetches only what was not there."""
        self.heal()
        blob = await self.blob(LARGE)
        held_bytes = blob.held_bytes if blob else 0
        result = await self.service.request("again")
        self.assertEqual((result.outcome, result.failed), ("complete", {}))
        self.assertEqual(result.fetched_bytes, len(LARGE) - held_bytes)
        self.assertEqual(await self.versions(), {"jammy": FIRST})


class StalledServerTests(StopCase):
    async def check_stops(self, path: str, fault: Fault, began: Callable[[], bool]) -> None:
        self.source.faults[path] = fault
        running = self.service.request("a test")
        await self.until(began)
        told = self.is_told(running)
        await self.service.stop_import()
        self.assertFalse(self.service.is_importing)
        await told
        self.assertEqual(self.clock.getDelayedCalls(), [])
        await self.goes_on()

    async def test_in_the_head_of_a_document(self) -> None:
        """An index that is never answered."""
        await self.check_stops(
            DOCUMENTS[0], Fault(silent=True), lambda: self.source.requests[DOCUMENTS[0]] > 0
        )

    async def test_in_the_body_of_a_document(self) -> None:
        """A product file that ends in the middle and keeps the connection."""
        await self.check_stops(
            DOCUMENTS[1], Fault(stop_at=100), lambda: self.source.requests[DOCUMENTS[1]] > 0
        )

    async def test_in_the_head_of_a_file(self) -> None:
        """A file that is never answered."""
        await self.check_stops(ROOT, Fault(silent=True), lambda: self.source.requests[ROOT] > 0)

    async def test_in_the_body_of_a_file(self) -> None:
        """A file that ends in the middle: what came of it is kept."""
        await self.check_stops(
            ROOT,
            Fault(stop_at=len(LARGE) - 10),
            lambda: self.importer.progress.fetched_bytes >= 4 << 20,
        )


class ThreadTests(StopCase):
    """A thread cannot be stopped; nobody waits for it."""

    database_reactor = reactor

    async def setUp(self) -> None:
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.addCleanup(self.gate.set)
        await super().setUp()

    def blocking(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, which waits for the gate once."""

        def gated(*args: Any, **kwargs: Any) -> Any:
            self.entered.set()
            self.gate.wait(30)
            return work(*args, **kwargs)

        return gated

    async def check_stops(self) -> None:
        running = self.service.request("a test")
        await self.until(self.entered.is_set)
        told = self.is_told(running)
        stopping = self.service.stop_import()
        await told
        self.clock.advance(STOP_PATIENCE_S)
        await stopping
        following = self.service.request("again")
        self.gate.set()
        result = await following
        self.assertEqual((result.outcome, result.failed), ("complete", {}))
        self.assertEqual(await self.versions(), {"jammy": FIRST})

    async def test_while_the_database_writes(self) -> None:
        """A disk that hangs in a commit; no two imports write at once."""
        self.patch(blob_writing, "append_chunks", self.blocking(blob_writing.append_chunks))
        await self.check_stops()

    async def test_while_gnupg_runs(self) -> None:
        """The verification that is under way ends for nobody."""
        self.patch(verified, "verify_each", self.blocking(verified.verify_each))
        await self.check_stops()

    def build(self, name: str = "region-1") -> None:
        """With GnuPG in a thread."""
        super().build(name)
        self.upstream = Upstream(
            self.database, self.routes, deferToThread, clock=reactor, now=lambda: self.time
        )
        self.importer = self.new_importer(name)
