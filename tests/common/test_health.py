"""``/healthz`` and ``/readyz`` over real HTTP."""

import json

import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent
from twisted.web.resource import Resource

from common.errors import StorageError
from common.health import HEALTH_TIMEOUT_S, Health
from common.sites import QuietSite


class HealthTests(TestCase):
    timeout = 10

    async def setUp(self) -> None:
        self.alive: Deferred[None] | Exception | None = None
        self.ready: Deferred[None] | Exception | None = None
        self.clock = Clock()
        root = Resource()
        root.putChild(b"healthz", Health(self.check_alive, self.clock))
        root.putChild(b"readyz", Health(self.check_ready, self.clock))
        site = QuietSite(root, self.clock)
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        self.http = treq.client.HTTPClient(Agent(reactor))
        self.addCleanup(self.let_go, port)

    async def let_go(self, port: object) -> None:
        await deferLater(reactor, 0.01)  # connections close a turn later
        await port.stopListening()  # type: ignore[attr-defined]  # a listening port

    @staticmethod
    async def outcome(of: Deferred[None] | Exception | None) -> None:
        if isinstance(of, Exception):
            raise of
        if of is not None:
            await of

    async def check_alive(self) -> None:
        await self.outcome(self.alive)

    async def check_ready(self) -> None:
        await self.outcome(self.ready)

    async def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        response = await self.http.request(method, self.url + path)
        return response.code, await response.content()

    async def test_well(self) -> None:
        """A check that returns is 200, and says so in JSON."""
        for path in ("/healthz", "/readyz"):
            code, body = await self.get(path)
            self.assertEqual((code, json.loads(body)), (200, {"ok": True}))

    async def test_the_two_are_different_questions(self) -> None:
        """A process may be alive and not ready: 503, with the reason."""
        self.ready = StorageError("the disk is gone")
        self.assertEqual((await self.get("/healthz"))[0], 200)
        code, body = await self.get("/readyz")
        self.assertEqual(
            (code, json.loads(body)), (503, {"ok": False, "reason": "the disk is gone"})
        )

    async def test_a_bug_is_not_healthy(self) -> None:
        """Whatever a check raises is a 503; what it says is for the log, not for strangers."""
        self.alive = RuntimeError("SELECT secret")
        code, body = await self.get("/healthz")
        self.assertEqual((code, json.loads(body)["reason"]), (503, "RuntimeError"))

    async def test_a_check_that_hangs_is_not_healthy(self) -> None:
        """The answer comes when time is up, not never."""
        self.alive = Deferred()
        asked = Deferred.fromCoroutine(self.get("/healthz"))
        while not any(call.time == HEALTH_TIMEOUT_S for call in self.clock.getDelayedCalls()):
            await deferLater(reactor, 0.001)
        self.clock.advance(HEALTH_TIMEOUT_S)
        self.assertEqual((await asked)[0], 503)

    async def test_somebody_who_leaves_cancels_the_check(self) -> None:
        """No answer is written to a connection that is gone."""
        cancelled: list[object] = []
        self.alive = Deferred(cancelled.append)
        asked = Deferred.fromCoroutine(self.get("/healthz"))
        while not self.clock.getDelayedCalls():
            await deferLater(reactor, 0.001)
        await deferLater(reactor, 0.01)
        asked.cancel()
        await self.assertFailure(asked, Exception)
        while not cancelled:
            await deferLater(reactor, 0.001)

    async def test_head_is_answered_without_a_body(self) -> None:
        """Watchers that only want the status get it."""
        self.assertEqual(await self.get("/healthz", "HEAD"), (200, b""))
