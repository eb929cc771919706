"""Control sessions: who gets in, what may be said, who is told."""

import json
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase

from common import commands
from common.commands import (
    PIECE_BYTES,
    CurrentView,
    Hello,
    Ping,
    ReadBlob,
    ReadDocument,
    ReportProgress,
    ReportSync,
    SyncNow,
    ViewChanged,
)
from common.conversation import Conversation, pong
from common.digests import sha256_hex
from common.errors import NotFound, ProtocolError, RackferryError, Refused, StorageError
from common.identity import Identity
from common.throttle import Throttle
from common.tls import ServerTLS
from regiond.racks.sessions import MAX_SESSIONS_PER_RACK, MAX_STRANGERS, Sessions
from tests.doubles.conversations import ALL_COMMANDS, arguments_of
from tests.doubles.streams import MemorySource
from tests.doubles.trust import (
    SERVER,
    FakeFleet,
    LoopbackTestCase,
    endpoints,
    eventually,
    known,
    rack,
)

_HELLO = {"version": "1", "protocol": 1}


class SessionTests(LoopbackTestCase):
    """One rack, over real TLS."""

    def setUp(self) -> None:
        self.rack = rack("rack-1")
        self.fleet = FakeFleet(self.rack)
        self.limit_bytes_s: int | None = None
        self.notices: list[tuple[Any, ...]] = []

    async def serve(self) -> None:
        self.sessions = Sessions(
            self.fleet,
            lambda: endpoints(self.port, 5252),
            "region-1",
            "9.9",
            reactor,
            throttle=Throttle(lambda: self.limit_bytes_s, reactor),
        )
        self.port = await self.listen(self.sessions, ServerTLS(SERVER, asks_certificate=True))

    async def enter(self, identity: Identity | None = None) -> Conversation:
        async def changed(generation: int, digest: str) -> dict[str, Any]:
            self.notices.append((generation, digest))
            return {}

        async def sync_now() -> dict[str, Any]:
            self.notices.append(("sync",))
            return {}

        client = self.client({ViewChanged: changed, SyncNow: sync_now, Ping: pong})
        await self.connect(client, self.port, self.tls(identity or self.rack))
        return client

    async def greet(self, identity: Identity | None = None) -> Conversation:
        client = await self.enter(identity)
        await client.call(Hello, **_HELLO)
        return client

    async def refusal(self, calling: Any) -> RackferryError:
        error: RackferryError = await self.failure_of(calling, RackferryError)
        return error

    async def test_hello(self) -> None:
        """Hello tells who the region is, who the rack is, and where all regions are."""
        await self.serve()
        client = await self.enter()
        answer = await client.call(Hello, **_HELLO)
        self.assertEqual(
            json.loads(answer.pop("endpoints")),
            [
                {
                    "region": "region-1",
                    "hosts": ["127.0.0.1"],
                    "rpc_port": self.port,
                    "images_port": 5252,
                }
            ],
        )
        self.assertEqual(
            answer,
            {"version": "9.9", "protocol": 1, "region_name": "region-1", "rack_name": "rack-1"},
        )

    async def test_conversation(self) -> None:
        """After hello each command reaches its use-case, as the rack of the certificate."""
        await self.serve()
        client = await self.greet()
        document = b"d" * (PIECE_BYTES + 10)
        name = sha256_hex(document)
        self.fleet.documents[name] = document
        self.fleet.view = (7, "f" * 64)
        self.assertEqual(
            await client.call(CurrentView, held="h"), {"generation": 7, "digest": "f" * 64}
        )
        piece = await client.call(ReadDocument, sha256=name, offset=PIECE_BYTES)
        self.assertEqual(piece, {"piece": b"d" * 10, "size_bytes": len(document)})
        await client.call(ReportProgress, generation=7, fetched_bytes=1, total_bytes=2)
        await client.call(ReportSync, generation=7, held="h", problem="")
        await client.call(Ping)
        self.assertEqual(
            [call for call in self.fleet.calls if call[0] != "seen"],
            [
                ("current_view", "rack-1", "h"),
                ("progress", "rack-1", 7, 1, 2),
                ("sync", "rack-1", 7, "h", ""),
            ],
        )
        self.assertIsInstance(
            await self.refusal(client.call(ReadDocument, sha256="0" * 64, offset=0)), NotFound
        )

    async def test_blobs_heed_the_limit(self) -> None:
        """A piece comes whole, or as much of it as the limit of all racks lets pass."""
        await self.serve()
        client = await self.greet()
        name = sha256_hex(b"bytes")
        self.fleet.blobs[name] = MemorySource(b"bytes")
        with mock.patch("regiond.racks.sessions.MOST_WAIT_S", 0.01):
            for self.limit_bytes_s, piece in ((None, b"bytes"), (0, b"")):
                answer = await client.call(
                    ReadBlob, sha256=name, of_digests=False, offset=0, length=5
                )
                self.assertEqual(answer, {"piece": piece, "size_bytes": 5})

    async def test_every_command_before_hello(self) -> None:
        """Every command of the wire but Hello is refused before hello, and ends the connection."""
        await self.serve()
        for command in ALL_COMMANDS:
            if command is Hello or not command.requiresAnswer:
                continue
            client = await self.enter()
            error = await self.refusal(client.call(command, **arguments_of(command)))
            self.assertEqual(error.code, "protocol-hello-first", command)
            await eventually(reactor, lambda client=client: client.is_lost)
        self.assertEqual(self.fleet.calls, [])

    async def test_commands_of_other_tables(self) -> None:
        """After hello, commands of other conversations are unknown here."""
        await self.serve()
        client = await self.greet()
        foreign = {commands.Enrol, commands.Ask, commands.ReadAnswer, ViewChanged, SyncNow}
        for command in foreign:
            error = await self.refusal(client.call(command, **arguments_of(command)))
            self.assertEqual(error.code, "protocol-unknown-command", command)

    async def test_unknown_racks(self) -> None:
        """A certificate of ours that the fleet does not know, or knows otherwise, is refused."""
        await self.serve()
        forgotten, renamed, rekeyed = rack("rack-2"), rack("rack-3"), rack("rack-4")
        other_key = known(rack("rack-4"))
        self.fleet.racks[renamed.serial] = known(rack("rack-9"))
        self.fleet.racks[rekeyed.serial] = other_key
        for identity in (forgotten, renamed, rekeyed):
            client = await self.enter(identity)
            error = await self.refusal(client.call(Hello, **_HELLO))
            self.assertEqual(error.code, "rack-unknown")
            self.assertTrue(error.remedy)
            await eventually(reactor, lambda client=client: client.is_lost)

    async def test_deleted_rack(self) -> None:
        """A rack that is deleted is refused from its next command on, and its connection ends."""
        await self.serve()
        client = await self.greet()
        del self.fleet.racks[self.rack.serial]
        error = await self.refusal(client.call(CurrentView, held=""))
        self.assertIsInstance(error, Refused)
        self.assertEqual(error.code, "rack-unknown")
        await eventually(reactor, lambda: client.is_lost)
        await eventually(reactor, lambda: not self.sessions.by_rack("rack-1"))
        self.assertNotIn(("current_view", "rack-1", ""), self.fleet.calls)

    async def test_other_protocol(self) -> None:
        """Another version of the protocol is refused, naming both."""
        await self.serve()
        client = await self.enter()
        error = await self.refusal(client.call(Hello, version="0.1", protocol=2))
        self.assertIsInstance(error, ProtocolError)
        self.assertEqual(error.code, "protocol-version")
        self.assertEqual(self.sessions.by_rack("rack-1"), [])

    async def test_failing_use_case(self) -> None:
        """An expected failure of a use-case arrives whole; a bug arrives as a reference."""
        await self.serve()
        client = await self.greet()
        self.fleet.failure = StorageError("the disk", object="db", remedy="look")
        error = await self.refusal(client.call(CurrentView, held=""))
        self.assertEqual((error.message, error.remedy), ("the disk", "look"))
        self.fleet.failure = KeyError("inside")
        error = await self.refusal(client.call(CurrentView, held=""))
        self.assertEqual(error.code, "internal")
        self.assertNotIn("inside", error.line())
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def test_found_and_dropped(self) -> None:
        """Sessions are found by serial and by name, and dropped by serial."""
        await self.serve()
        client = await self.greet()
        serial = self.rack.serial
        self.assertEqual(self.sessions.by_serial(serial), self.sessions.by_rack("rack-1"))
        self.assertEqual(len(self.sessions.by_serial(serial)), 1)
        self.sessions.drop("0")
        self.assertFalse(client.is_lost)
        self.sessions.drop(serial)
        await eventually(reactor, lambda: client.is_lost)
        self.assertEqual(self.sessions.by_serial(serial), [])

    async def test_newest_sessions_win(self) -> None:
        """A rack has few sessions at once; the oldest makes room."""
        await self.serve()
        clients = [await self.greet() for _ in range(MAX_SESSIONS_PER_RACK + 1)]
        await eventually(reactor, lambda: clients[0].is_lost)
        self.assertEqual(len(self.sessions.by_rack("rack-1")), MAX_SESSIONS_PER_RACK)
        await clients[-1].call(Ping)

    async def test_announced(self) -> None:
        """A publish is told to each rack with its own digest, several at once only once."""
        second = rack("rack-2")
        self.fleet.racks[second.serial] = known(second)
        await self.serve()
        await self.greet()
        await self.greet(second)
        for generation in (1, 2, 3):
            self.sessions.announce(generation, lambda each: f"view of {each.name}")
        await eventually(reactor, lambda: len(self.notices) == 2, timeout_s=1.0)
        self.assertEqual(sorted(self.notices), [(3, "view of rack-1"), (3, "view of rack-2")])
        self.sessions.announce(4, lambda each: "later")
        await eventually(reactor, lambda: (4, "later") in self.notices)

    async def test_sync_now(self) -> None:
        """One rack or all are told to sync; the answer says who took it."""
        await self.serve()
        await self.greet()
        self.assertEqual(await self.sessions.sync_now("rack-9"), [])
        self.assertEqual(await self.sessions.sync_now("rack-1"), ["rack-1"])
        self.assertEqual(await self.sessions.sync_now(), ["rack-1"])
        self.assertEqual(self.notices, [("sync",), ("sync",)])

    async def test_stop(self) -> None:
        """Stopping ends all sessions, and a pending announcement is forgotten."""
        await self.serve()
        client = await self.greet()
        self.sessions.announce(1, lambda _: "x")
        await self.sessions.stop()
        await eventually(reactor, lambda: client.is_lost)
        self.assertEqual(self.notices, [])


class ListenerTests(SynchronousTestCase):
    """What needs no TLS."""

    def test_no_certificate_at_all(self) -> None:
        """Without TLS nobody is anybody."""
        clock = Clock()
        throttle = Throttle(lambda: None, clock)
        sessions = Sessions(FakeFleet(), endpoints, "region-1", "1", clock, throttle=throttle)
        client, server, pump = iosim.connectedServerAndClient(
            lambda: sessions.buildProtocol(None), lambda: Conversation({}, clock)
        )
        calling = Deferred.fromCoroutine(client.call(Hello, **_HELLO))
        pump.flush()
        error = self.failureResultOf(calling, Refused).value
        self.assertEqual(error.code, "certificate-missing")
        self.assertTrue(server.is_lost)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_strangers(self) -> None:
        """Of connections that have not said hello, only so many are open at once."""
        clock = Clock()
        throttle = Throttle(lambda: None, clock)
        sessions = Sessions(FakeFleet(), endpoints, "region-1", "1", clock, throttle=throttle)
        for _ in range(MAX_STRANGERS):
            last = iosim.connectedServerAndClient(
                lambda: sessions.buildProtocol(None), lambda: Conversation({}, clock)
            )
        self.assertIsNone(sessions.buildProtocol(None))
        last[1].transport.abortConnection()
        last[2].flush()
        self.assertIsNotNone(sessions.buildProtocol(None))
