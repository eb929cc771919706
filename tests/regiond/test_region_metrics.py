"""What a region measures, of real imports into a real database."""

from functools import partial

from cryptography import x509
from twisted.internet.task import Clock

from common import metrics
from common.identity import new_key, serial_of
from common.joining import signing_request
from common.metrics import Tally
from common.pulse import Pulse
from common.release import release
from common.tokens import parse_token
from regiond import metrics_table as table
from regiond.chunk_cache import ChunkCache
from regiond.import_service import ImportResult, ImportService
from regiond.metrics import RegionMetrics, count_import
from regiond.racks.fleet import RackIdentity
from regiond.schedule import Schedule
from tests.common.test_metrics import lint
from tests.doubles.answering import AnswerCase
from tests.doubles.importing import JAMMY, path_of
from tests.doubles.stream_source import Fault

EXPIRY = 1_900_000_000.0


class RegionMetricsTests(AnswerCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.tally = Tally()
        self.clock = Clock()
        self.imports = ImportService(
            self.importer,
            lambda: Schedule(automatic=False),
            self.clock,
            partial(count_import, self.tally),
            now=self.clock.seconds,
        )
        self.metrics = RegionMetrics(
            self.database,
            self.boot_sources,
            self.fleet,
            self.imports,
            self.scrub,
            cache=ChunkCache(self.database.read_chunk),
            tally=self.tally,
            pulse=Pulse(self.clock),
            certificates=lambda: {"ca": EXPIRY},
        )

    async def enrolled(self, name: str) -> RackIdentity:
        text, _ = await self.fleet.create_token(name)
        request = signing_request(new_key())
        made = await self.fleet.enrol(parse_token(text).secret, request, name)
        certificate = x509.load_pem_x509_certificate(made.certificate_pem)
        identity = await self.fleet.rack_by_serial(serial_of(certificate))
        assert identity is not None
        return identity

    async def import_once(self) -> ImportResult:
        return await self.imports.request("a test")

    async def value(self, name: str, **labels: str) -> float | None:
        """One sample; None if it is not shown."""
        inner = ",".join(f'{label}="{value}"' for label, value in labels.items())
        wanted = f"{name}{{{inner}}} " if inner else f"{name} "
        for line in (await self.metrics.text()).decode().splitlines():
            if line.startswith(wanted):
                return float(line.removeprefix(wanted))
        return None

    async def test_promtool_has_nothing_to_say(self) -> None:
        """Neither before anything happened nor after an import."""
        self.assertEqual(lint(await self.metrics.text()), "")
        self.publish(self.product("jammy"))
        await self.select(JAMMY)
        await self.import_once()
        self.assertEqual(lint(await self.metrics.text()), "")

    async def test_an_import_is_counted(self) -> None:
        """How it ended, what it fetched, and what is held since."""
        self.publish(self.product("jammy"))
        await self.select(JAMMY)
        result = await self.import_once()
        size_bytes = len(b"root of jammy")
        self.assertEqual(await self.value(table.IMPORTS, outcome="complete"), 1)
        self.assertEqual(await self.value(table.IMPORT_BYTES), size_bytes)
        self.assertEqual(await self.value(table.IMPORT_BYTES_AGAIN), 0)
        self.assertEqual(await self.value(table.GENERATION), result.generation)
        self.assertEqual(await self.value(table.IMAGES, state="published"), 1)
        self.assertEqual(await self.value(table.SOURCE_SUCCESS, source="1"), self.time)
        self.assertEqual(await self.value(table.SOURCE_LAGGING, source="1"), 0)

    async def test_failures_have_reasons(self) -> None:
        """By their codes; the problem that an admin sees is counted, too."""
        self.publish(self.product("jammy"))
        await self.select(JAMMY)
        self.source.faults[path_of("jammy", "squashfs")] = Fault(status=404)
        result = await self.import_once()
        (error,) = result.failed.values()
        self.assertEqual(await self.value(table.IMPORT_FAILURES, code=error.code), 1)
        self.assertEqual(await self.value(table.IMPORTS, outcome="incomplete"), 1)
        self.assertEqual(await self.value(metrics.PROBLEMS.name, severity="error"), 1)

    async def test_racks(self) -> None:
        """How each is, how far behind, and what it was sent."""
        identity = await self.enrolled("rack-1")
        self.publish(self.product("jammy"))
        await self.select(JAMMY)
        result = await self.import_once()
        await self.fleet.seen(identity)
        self.fleet.sent(identity, 1234)
        self.assertEqual(
            await self.value(table.RACK_STATUS, rack="rack-1", status="out-of-sync"), 1
        )
        self.assertEqual(await self.value(table.RACK_BEHIND, rack="rack-1"), result.generation)
        self.assertEqual(await self.value(table.RACK_BYTES, rack="rack-1"), 1234)
        self.assertIsNone(await self.value(table.RACK_SYNCED, rack="rack-1"))
        generation, digest = await self.fleet.current_view(identity, "")
        await self.fleet.report_sync(identity, generation, digest, "")
        self.assertEqual(await self.value(table.RACK_STATUS, rack="rack-1", status="synced"), 1)
        self.assertEqual(await self.value(table.RACK_BEHIND, rack="rack-1"), 0)
        self.assertEqual(await self.value(table.RACK_SYNCED, rack="rack-1"), self.time)

    async def test_the_process(self) -> None:
        """Its release, its certificates, its database, its memory."""
        self.assertEqual(await self.value(metrics.BUILD.name, release=release()), 1)
        self.assertEqual(await self.value(metrics.CERTIFICATE_END.name, certificate="ca"), EXPIRY)
        self.assertGreater(await self.value(table.DATABASE_BYTES) or 0, 0)
        self.assertGreater(await self.value(table.FREE_BYTES) or 0, 0)
        self.assertGreater(await self.value("process_resident_memory_bytes") or 0, 0)
