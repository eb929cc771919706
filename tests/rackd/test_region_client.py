"""The rack's connection to its regions."""

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import readBody

from common.commands import PIECE_BYTES
from common.digests import sha256_hex
from common.errors import IntegrityError, NoSpace, NotFound, RackferryError, TransferError
from common.identity import Identity, certificate_pem, key_pem
from common.identity_files import save_rack_certificate
from common.pools import Threads
from rackd import known_regions, region_client
from rackd.known_regions import REGIONS_FILE
from rackd.region_client import POOL_CLOSE_TIMEOUT_S, RegionClient
from regiond.racks.images import served_digests
from tests.doubles.directories import fresh_directory
from tests.doubles.disks import SlowThreads, at_once
from tests.doubles.tls_regions import Region
from tests.doubles.trust import (
    AUTHORITY,
    DAY,
    HOSTS,
    NOW,
    OTHER_AUTHORITY,
    SERVER,
    FakeFleet,
    LoopbackTestCase,
    eventually,
    rack,
)

_BLOB = b"blob" * 100_000
_NAME = sha256_hex(_BLOB)


class ClientTests(LoopbackTestCase):
    """Against real regions over real TLS."""

    def setUp(self) -> None:
        self.rack = rack()
        self.fleet = FakeFleet(self.rack)
        self.dir = fresh_directory(self)
        self.heard: list[Any] = []

    async def region(self, name: str = "region-1", identity: Identity = SERVER) -> Region:
        return await Region(self, name, self.fleet).start(identity)

    def client_of(
        self, *addresses: tuple[str, int], on_disk: Threads = deferToThread
    ) -> RegionClient:
        client = RegionClient(
            reactor,
            self.rack,
            addresses,
            self.dir,
            random=lambda: 0.01,
            on_disk=on_disk,
        )
        client.on_connected = lambda: self.heard.append("connected")
        client.on_view_changed = lambda generation, digest: self.heard.append((generation, digest))
        client.on_sync_now = lambda: self.heard.append("sync")
        client.on_lost = lambda reason: self.heard.append(reason.code)
        client.startService()
        self.addCleanup(client.stopService)
        return client

    async def connected(self, *regions: Region) -> RegionClient:
        client = self.client_of(*(each.address for each in regions))
        await eventually(reactor, lambda: "connected" in self.heard)
        return client

    async def refusal(self, calling: Any) -> RackferryError:
        error: RackferryError = await self.failure_of(calling, RackferryError)
        return error

    async def test_asks_and_reports(self) -> None:
        """Questions and reports arrive as those of this rack."""
        client = await self.connected(await self.region())
        self.fleet.view = (3, "d" * 64)
        self.assertEqual(await client.current_view("h"), (3, "d" * 64))
        await client.report_progress(3, 1, 2)
        await client.report_sync(3, "h", "")
        self.assertEqual(
            [call for call in self.fleet.calls if call[0] != "seen"],
            [
                ("current_view", "rack-1", "h"),
                ("progress", "rack-1", 3, 1, 2),
                ("sync", "rack-1", 3, "h", ""),
            ],
        )
        self.assertIsNone(client.problem)

    async def test_a_bug_does_not_end_the_trying(self) -> None:
        """Whatever goes wrong in a connection is logged, and the next one is made."""
        region = await self.region()
        client = self.client_of(region.address)
        heard = self.heard

        def stumble() -> None:
            heard.append("connected")
            if len(heard) == 1:
                raise RuntimeError("a bug")

        client.on_connected = stumble
        await eventually(reactor, lambda: len(heard) == 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertIsNone(client.problem)

    async def test_a_full_disk_costs_no_connection(self) -> None:
        """Regions that cannot be remembered are known all the same."""

        def full(*_: Any) -> None:
            raise NoSpace("full")

        self.patch(known_regions, "write_durably", full)
        region = await self.region()
        client = await self.connected(region)
        self.assertEqual(client.image_bases(), region.endpoint.image_bases())

    async def test_documents(self) -> None:
        """A document arrives whole, however many pieces it has, and only if it is the one named."""
        client = await self.connected(await self.region())
        for size in (0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 1):
            document = b"x" * size
            name = sha256_hex(document)
            self.fleet.documents[name] = document
            self.assertEqual(await client.document(name), document)
        self.fleet.documents["0" * 64] = b"another"
        self.assertIsInstance(await self.refusal(client.document("0" * 64)), IntegrityError)
        self.assertIsInstance(await self.refusal(client.document("1" * 64)), NotFound)

    async def test_documents_without_end(self) -> None:
        """A document that claims to be enormous, or never goes on, is refused."""
        client = await self.connected(await self.region())

        async def enormous(*arguments: Any) -> tuple[bytes, int]:
            return b"x", 1 << 30

        async def stuck(*arguments: Any) -> tuple[bytes, int]:
            return b"", 10

        for document in (enormous, stuck):
            self.fleet.document = document
            self.assertEqual((await self.refusal(client.document("0" * 64))).code, "protocol")

    async def test_notices(self) -> None:
        """What the region announces is heard."""
        region = await self.region()
        await self.connected(region)
        region.sessions.announce(5, lambda _: "e" * 64)
        self.assertEqual(await region.sessions.sync_now(), ["rack-1"])
        await eventually(reactor, lambda: len(self.heard) == 3)
        self.assertEqual(set(self.heard), {"connected", "sync", (5, "e" * 64)})

    async def test_reconnects(self) -> None:
        """A lost connection is told, and made again by itself."""
        region = await self.region()
        client = await self.connected(region)
        region.sessions.drop(self.rack.serial)
        await eventually(
            reactor, lambda: self.heard == ["connected", "connection-lost", "connected"]
        )
        await client.current_view("")

    async def test_without_region(self) -> None:
        """Without a region every call fails with the reason, and trying goes on."""
        region = await self.region()
        client = self.client_of(("127.0.0.1", 1))
        first = await self.refusal(client.current_view(""))
        self.assertIsInstance(first, TransferError)
        await eventually(reactor, lambda: client.problem.code == "region-unreachable")
        error = await self.refusal(client.current_view(""))
        self.assertEqual((error.code, error.object), ("region-unreachable", "127.0.0.1:1"))
        client._regions._configured.append(region.address)
        await eventually(reactor, lambda: "connected" in self.heard)

    async def test_other_region_takes_over(self) -> None:
        """When the region it is connected to dies, the rack goes to one it has learnt of."""
        first, second = await self.region("region-1"), await self.region("region-2")
        first.others.append(second)
        client = await self.connected(first)
        self.fleet.racks.clear()  # region-1 refuses from now on
        second.sessions.fleet = second.fleet = FakeFleet(self.rack)
        first.sessions.drop(self.rack.serial)
        await eventually(reactor, lambda: second.sessions.by_rack("rack-1"))
        await eventually(reactor, lambda: client.problem is None)
        self.assertIn(f"https://127.0.0.1:{second.images_port}", client.image_bases()[0])

    async def test_remembers(self) -> None:
        """Learnt regions outlive a restart, even if the configured one is gone."""
        first, second = await self.region("region-1"), await self.region("region-2")
        first.others.append(second)
        client = await self.connected(first)
        await client.stopService()
        kept = json.loads((self.dir / REGIONS_FILE).read_bytes())
        self.assertEqual([each["region"] for each in kept], ["region-1", "region-2"])
        self.heard.clear()
        await self.connected_again()

    async def connected_again(self) -> None:
        client = self.client_of(("127.0.0.1", 1))
        await eventually(reactor, lambda: "connected" in self.heard)
        self.assertEqual(len(client.image_bases()), 2)

    async def test_damaged_memory(self) -> None:
        """A damaged list of regions is as good as none."""
        (self.dir / REGIONS_FILE).write_bytes(b"rubbish")
        client = self.client_of((await self.region()).address)
        await eventually(reactor, lambda: "connected" in self.heard)
        self.assertEqual(len(client.image_bases()), 1)

    async def test_a_disk_that_hangs(self) -> None:
        """However long the disk takes to keep what was learnt, the region is followed at once."""
        slow = SlowThreads()
        region = await self.region()
        client = self.client_of(region.address, on_disk=slow)
        slow.finish_one()  # what was learnt before is read
        await eventually(reactor, lambda: "connected" in self.heard)
        self.assertEqual(await client.current_view(""), (0, ""))
        self.assertFalse((self.dir / REGIONS_FILE).exists())
        stopping = client.stopService()
        while not stopping.called:
            await deferLater(reactor, 0)
            while slow.pending:
                slow.finish_one()
        await stopping
        self.assertTrue((self.dir / REGIONS_FILE).exists())

    async def test_wrong_regions(self) -> None:
        """A region of another authority, or one that refuses us, is a problem with a code."""
        stranger = await self.region(identity=OTHER_AUTHORITY.issue_server(HOSTS, NOW))
        client = self.client_of(stranger.address)
        await eventually(reactor, lambda: client.problem.code == "region-not-trusted")
        elsewhere = await self.region(identity=AUTHORITY.issue_server(["192.0.2.1"], NOW))
        client = self.client_of(elsewhere.address)
        await eventually(reactor, lambda: client.problem.code == "region-not-trusted")
        self.fleet.racks.clear()
        client = self.client_of((await self.region()).address)
        await eventually(reactor, lambda: client.problem.code == "rack-unknown")
        self.assertEqual(self.heard, [])

    async def test_an_expired_certificate_and_its_successor(self) -> None:
        """What is wrong with our own certificate comes first; a new one is taken by itself."""
        good = self.rack
        self.rack = rack(issued=NOW - 800 * DAY)
        client = self.client_of(("127.0.0.1", 1))
        problems: list[str] = []
        client.on_problem = lambda problem: problems.append(problem.code)
        await eventually(reactor, lambda: client.problem.code == "certificate-expired")
        region = await self.region()
        client._regions._configured.append(region.address)
        (self.dir / "key.pem").write_bytes(key_pem(good.key))
        save_rack_certificate(self.dir, certificate_pem(good.certificate), AUTHORITY.pem)
        await eventually(reactor, lambda: "connected" in self.heard)
        self.assertEqual(problems[0], "certificate-expired")

    async def test_doubt(self) -> None:
        """A region that was doubted and does not answer is left for another; one that does stays."""
        first, second = await self.region("region-1"), await self.region("region-2")
        client = await self.connected(first, second)
        client.doubt()
        await client.current_view("")
        self.assertEqual(self.heard, ["connected"])
        self.patch(region_client, "SILENCE_LIMIT_AMONG_OTHERS_S", 0.5)
        (session,) = first.sessions.by_rack("rack-1")
        session.conversation.transport.pauseProducing()
        client.doubt()
        await eventually(reactor, lambda: second.sessions.by_rack("rack-1"))

    async def test_waits_for_a_connection(self) -> None:
        """Whoever waits for a region is told when there is one, or why there is none."""
        client = self.client_of(("127.0.0.1", 1))
        error = await self.refusal(client.connected())
        self.assertEqual(error.code, "region-unreachable")
        client._regions._configured.append((await self.region()).address)
        await eventually(reactor, lambda: "connected" in self.heard)
        await client.connected()
        self.assertTrue(client.has_others)

    async def test_deleted_while_connected(self) -> None:
        """A rack that is deleted learns it with its next question."""
        client = await self.connected(await self.region())
        self.fleet.racks.clear()
        self.assertEqual((await self.refusal(client.current_view(""))).code, "rack-unknown")

    async def test_images(self) -> None:
        """The same identity fetches bytes over HTTPS, from the places the region named."""
        self.fleet.blobs[_NAME] = served_digests(_NAME, _BLOB)
        region = await self.region()
        client = await self.connected(region)
        self.assertEqual(client.image_bases(), [f"https://127.0.0.1:{region.images_port}"])
        url = f"{client.image_bases()[0]}/blobs/{_NAME}".encode()
        for _ in range(2):
            response = await client.agent.request(b"GET", url)
            self.assertEqual((response.code, await readBody(response)), (200, _BLOB))

    async def test_stops_while_connected(self) -> None:
        """Stopping a connected client ends it, and that is no loss to report."""
        client = await self.connected(await self.region())
        await client.stopService()
        self.assertEqual(self.heard, ["connected"])

    async def test_stops_while_waiting(self) -> None:
        """Stopping does not wait for the next attempt."""
        client = self.client_of(("127.0.0.1", 1))
        client._random = lambda: 1e6
        await eventually(reactor, lambda: client.problem.code == "region-unreachable")
        await client.stopService()

    async def test_stops_while_connecting(self) -> None:
        """Stopping gives up a connection that is being made."""
        region = await self.region()
        client = self.client_of(region.address)
        await client.stopService()
        self.assertEqual(self.heard, [])


class SilentPoolTests(SynchronousTestCase):
    """A region that fell silent."""

    def test_stopping_does_not_wait_for_ever(self) -> None:
        """Idle image connections that nobody closes hold a stop up for two seconds only."""
        clock = Clock()
        client = RegionClient(
            clock, rack(), [], fresh_directory(self), random=lambda: 0.0, on_disk=at_once
        )
        closing: Deferred[None] = Deferred()
        client._pool.closeCachedConnections = lambda: closing
        stopping = client.stopService()
        self.assertNoResult(stopping)
        clock.advance(POOL_CLOSE_TIMEOUT_S)
        self.successResultOf(stopping)
        closing.callback(None)
