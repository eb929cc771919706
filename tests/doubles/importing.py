"""A region from its database up to the importer, and a boot source over HTTP on loopback.

The database is a real file, the documents are signed and GnuPG verifies them; only time is
the test's own. A test that ends leaves no connection and no timer behind: trial sees to that.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from common.errors import RackferryError
from common.events import Event
from common.fetching import Limits
from common.images import Selection
from common.pools import Threads
from regiond.boot_sources import BootSources
from regiond.fulfilment import Transfers
from regiond.import_service import ImportResult
from regiond.importer import Importer
from regiond.limits import Limits as RateLimits
from regiond.pinning import Pinning
from regiond.region import Region
from regiond.region_settings import RegionSettings
from regiond.routes import Routes
from regiond.selections import Selections
from regiond.settings_table import PARALLEL_TRANSFERS
from regiond.sources import verified
from regiond.store import events, generations, images, selections, sources
from regiond.store.blobs import Blob, find_blob
from regiond.store.database import Database
from regiond.store.images import StoredImage
from regiond.store.sources import SourceFields
from regiond.upstream import Upstream
from tests.doubles.gpg_keys import public_keys
from tests.doubles.stores import _empty_file
from tests.doubles.stream_documents import INDEX_PATH, STABLE_PATH, UPDATED, item, product
from tests.doubles.stream_source import StreamSource
from tests.doubles.streams import inline

VERSIONS = {"jammy": "22.04", "noble": "24.04", "focal": "20.04"}
FIRST = "20250718"
SECOND = "20250801"
JAMMY = Selection("ubuntu", "jammy", ("amd64",))
NOBLE = Selection("ubuntu", "noble", ("amd64",))
HASTY = Limits(
    stall_timeout_s=0.3, min_rate=1, head_timeout_s=0.5, connect_timeout_s=2.0, max_attempts=2
)
PATIENT = Limits(max_attempts=2)
KEYS = {
    "jammy": "ubuntu/amd64/ga-22.04/jammy/stable",
    "noble": "ubuntu/amd64/ga-24.04/noble/stable",
}


def path_of(release: str, ftype: str, version: str = FIRST) -> str:
    """Where a source has a file."""
    return f"{release}/amd64/{version}/{ftype}"


class ImportCase(TestCase):
    """A region with one source (id 1) and no selection.

    Attributes:
        time: seconds since the epoch, for the region.
        source: the first boot source.
        verifications: how many documents GnuPG was asked about.
        limits, hashing, database_reactor: for suites that want other ones; None is inline.
    """

    timeout = 30  # seconds; what hangs is a failure with a name
    limits = PATIENT
    hashing: Threads = staticmethod(inline)
    database_reactor: Any = None

    async def setUp(self) -> None:
        self.time = UPDATED + 3600.0
        self.directory = Path(tempfile.mkdtemp(prefix="rf-import-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.file = self.directory / "regiond.db"
        shutil.copy(_empty_file(), self.file)
        self.urls: dict[StreamSource, str] = {}
        self.verifications = 0
        self._count_verifications()
        self._updated = UPDATED
        self.source = self.new_source()
        self.routes = Routes(reactor, inline, connect_timeout_s=2.0, most_per_host=2)
        self.addCleanup(self.close_connections)
        await self.open()
        self.addCleanup(self.close)
        await self.add_source(self.source)

    def _count_verifications(self) -> None:
        verify_each = verified.verify_each

        def counted(documents: Mapping[str, bytes], *args: Any, **kwargs: Any) -> Any:
            self.verifications += len(documents)
            return verify_each(documents, *args, **kwargs)

        self.patch(verified, "verify_each", counted)

    async def close_connections(self) -> None:
        """Close what is kept alive. The last answer's connection joins it a turn later."""
        await deferLater(reactor, 0)
        await self.routes.close()

    # The region

    async def open(self, name: str = "region-1") -> None:
        """A region, on whatever is in the database file."""
        self.database = Database(f"sqlite:///{self.file}", self.database_reactor)
        await self.database.open()
        self.build(name)

    def build(self, name: str = "region-1") -> None:
        """The parts above the database."""
        self.upstream = Upstream(
            self.database, self.routes, inline, clock=reactor, now=lambda: self.time
        )
        now = lambda: self.time  # noqa: E731
        self.settings = RegionSettings(self.database, now)
        self.throttle_limits = RateLimits(reactor, reactor.seconds)
        self.importer = self.new_importer(name)
        self.boot_sources = BootSources(self.database, self.upstream, now)
        self.selections = Selections(self.database, self.upstream, now)
        self.region = Region(self.database, self.importer, now)
        self.pinning = Pinning(self.database, now)

    def be(self, limits: Limits) -> None:
        """Be patient, or hasty where a source is silent on purpose, from the next import on."""
        self.limits = limits
        self.importer = self.new_importer("region-1")

    def new_importer(self, name: str) -> Importer:
        """An importer as the region of that name would have it."""
        transfers = Transfers(
            self.routes, self.hashing, self.limits, reactor, lambda: self.time, lambda: 0.0,
            lambda: self.settings.values[PARALLEL_TRANSFERS], self.throttle_limits.of_source,
        )  # fmt: skip
        return Importer(
            self.database,
            self.upstream,
            transfers,
            holder=name,
            clock=reactor,
            now=lambda: self.time,
        )

    async def close(self) -> None:
        await self.database.close()

    def start_import(self) -> Deferred[ImportResult]:
        return Deferred.fromCoroutine(self.importer.run("a test"))

    async def run_import(self) -> ImportResult:
        return await self.importer.run("a test")

    async def succeed(self) -> ImportResult:
        """An import in which everything works."""
        result = await self.run_import()
        self.assertEqual(
            (result.outcome, {name: error.line() for name, error in result.failed.items()}),
            ("complete", {}),
        )
        return result

    async def fails(self, work: Any, family: type[RackferryError], code: str) -> RackferryError:
        """The expected failure of some work."""
        error = await self.assertFailure(Deferred.fromCoroutine(work), family)
        self.assertEqual(error.code, code, error.line())
        return error

    # The source

    def new_source(self) -> StreamSource:
        source = StreamSource()
        self.urls[source] = source.listen(reactor)
        self.addCleanup(source.stop)
        return source

    async def add_source(self, source: StreamSource, priority: int = 0) -> int:
        fields = SourceFields(
            self.urls[source], keyring_data=public_keys("ed25519"), priority=priority
        )
        made = await self.database.write(sources.create_source, fields, self.time)
        return made.id

    def product(
        self,
        release: str = "jammy",
        versions: Mapping[str, Mapping[str, bytes]] | None = None,
        source: StreamSource | None = None,
        **tags: object,
    ) -> dict[str, Any]:
        """A product with these files by version and type; the source gets their bytes."""
        versions = versions or {FIRST: {"squashfs": f"root of {release}".encode()}}
        made = {}
        for version, files in versions.items():
            entries = {}
            for ftype, content in files.items():
                path = path_of(release, ftype, version)
                (source or self.source).files[path] = content
                entries[ftype] = item(ftype, path, content)
            made[version] = entries
        number = VERSIONS[release]
        tags = {"subarch": f"ga-{number}", "subarches": "generic", **tags}
        return product(release=release, version=number, versions=made, **tags)

    def publish(self, *products: dict[str, Any], source: StreamSource | None = None) -> None:
        """New signed documents, a minute newer than those before."""
        self._updated += 60
        (source or self.source).publish(*products, updated=self._updated)

    async def select(self, *wanted: Selection, source_id: int = 1) -> None:
        for each in wanted:
            await self.database.write(
                selections.create_selection, source_id, each, unchecked=False, now=self.time
            )

    async def deselect(self, selection_id: int, source_id: int = 1) -> None:
        await self.database.write(selections.delete_selection, source_id, selection_id, self.time)

    async def jammy(self, content: bytes = b"root") -> None:
        """The source has jammy, and it is wanted."""
        self.publish(self.product("jammy", {FIRST: {"squashfs": content}}))
        await self.select(JAMMY)

    def heal(self) -> None:
        """Nothing is wrong with the source any more; counting begins anew."""
        for source in self.urls:
            source.faults.clear()
            source.requests.clear()
            source.sent_bytes = 0

    # What is there

    async def published(self) -> dict[str, StoredImage]:
        found = await self.database.read(images.list_images, ("published",))
        return {image.key.release: image for image in found}

    async def versions(self) -> dict[str, str]:
        """Release to published version."""
        return {name: image.version for name, image in (await self.published()).items()}

    def limit_pages(self, pages: int) -> None:
        """Let the database grow to so many pages of 64 KiB; never less than it has."""
        assert self.database._opened is not None
        for engine in (self.database._opened.writer, self.database._opened.appender):
            pooled = engine.raw_connection()
            pooled.driver_connection.execute(f"PRAGMA max_page_count={max(pages, 1)}")
            pooled.close()

    async def blob(self, content: bytes) -> Blob | None:
        return await self.database.read(find_blob, hashlib.sha256(content).hexdigest())

    async def generation(self) -> int:
        return (await self.database.read(generations.current_generation))[0]

    async def open_events(self) -> dict[tuple[str, str], Event]:
        """By code and object."""
        found = await self.database.read(events.list_events)
        return {(each.event.code, each.event.object): each.event for each in found}

    def fingerprint(self) -> str:
        """Changes with any write to the database."""
        log = self.file.with_name(self.file.name + "-wal")
        return hashlib.sha256(self.file.read_bytes() + log.read_bytes()).hexdigest()

    async def until(self, condition: Callable[[], Any], limit_s: float = 10.0) -> None:
        """Let the reactor turn until something holds."""
        end_s = reactor.seconds() + limit_s
        while True:
            holds = condition()
            if hasattr(holds, "__await__"):
                holds = await holds
            if holds:
                return
            self.assertLess(reactor.seconds(), end_s, "it never came to hold")
            await deferLater(reactor, 0.005)


DOCUMENTS = (INDEX_PATH, STABLE_PATH)
