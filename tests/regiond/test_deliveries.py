"""A real program, and a real web server on loopback."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from common.errors import ConfigError, RackferryError, TimedOut, TransferError
from regiond import deliveries
from regiond.deliveries import Program, Webhook
from tests.doubles.directories import fresh_directory
from tests.doubles.trust import eventually

MESSAGE = {
    "code": "no-space",
    "severity": "error",
    "object": "database",
    "state": "open",
    "cause": "full",
    "remedy": "free some",
    "id": 7,
    "region": "region-1",
}


class DeliveryCase(TestCase):
    timeout = 30

    async def fails(self, work: Any, family: type[RackferryError]) -> str:
        error = await self.assertFailure(Deferred.fromCoroutine(work), family)
        return str(error.message)


class ProgramTests(DeliveryCase):
    """``Program``"""

    def setUp(self) -> None:
        self.directory = fresh_directory(self)

    def program(self, text: str, *arguments: str) -> Program:
        path = self.directory / "hook"
        path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{text}\n")
        path.chmod(0o755)
        return Program(reactor, (str(path), *arguments))

    async def test_it_gets_the_message_and_nothing_else(self) -> None:
        """JSON on stdin, the words in the environment, the arguments as typed, no shell."""
        os.environ["SECRET_OF_THE_DAEMON"] = "x"
        self.addCleanup(os.environ.pop, "SECRET_OF_THE_DAEMON")
        out = self.directory / "out"
        hook = self.program(
            "json.dump([json.load(sys.stdin), sys.argv[1:], dict(os.environ), os.getcwd()],"
            f" open({str(out)!r}, 'w'))",
            "--now",
            "$HOME; false",
        )
        await hook.deliver(MESSAGE)
        said, arguments, environ, where = json.loads(out.read_text())
        self.assertEqual((said, arguments, where), (MESSAGE, ["--now", "$HOME; false"], "/"))
        self.assertEqual(environ["RACKFERRY_EVENT_CODE"], "no-space")
        self.assertNotIn("SECRET_OF_THE_DAEMON", environ)

    async def test_a_program_that_fails_says_why(self) -> None:
        """The exit code and its last line on stderr are told."""
        hook = self.program("sys.exit('first\\nno such pager')")
        reason = await self.fails(hook.deliver(MESSAGE), TransferError)
        self.assertIn("exit code 1", reason)
        self.assertIn("no such pager", reason)

    async def test_a_program_that_hangs_is_killed(self) -> None:
        """After its time it is gone, and so is its process."""
        self.patch(deliveries, "PROGRAM_TIMEOUT_S", 1.0)
        out = self.directory / "pid"
        hook = self.program(f"open({str(out)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
        self.assertIn("killed", await self.fails(hook.deliver(MESSAGE), TimedOut))
        if out.exists() and out.read_text():
            stat = Path(f"/proc/{out.read_text()}")
            await eventually(reactor, lambda: not stat.exists())

    async def test_what_it_leaves_behind_keeps_nobody(self) -> None:
        """A child that holds the pipes does not hold the message."""
        hook = self.program("if not os.fork(): time.sleep(2)")
        await hook.deliver(MESSAGE)

    async def test_no_program(self) -> None:
        """What is not there, or no program, is said before anything is started."""
        hook = Program(reactor, (str(self.directory / "none"),))
        self.assertIn("no program", await self.fails(hook.deliver(MESSAGE), ConfigError))


class _Server(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.location = ""
        self.silent = False
        self.got: list[tuple[bytes, dict[bytes, bytes], bytes]] = []

    def render(self, request: Request) -> bytes | int:
        self.got.append((request.method, request.getAllHeaders(), request.content.read()))
        if self.silent:
            return NOT_DONE_YET
        request.setResponseCode(self.status)
        if self.location:
            request.setHeader("location", self.location)
        return b"whatever"


class WebhookTests(DeliveryCase):
    """``Webhook``"""

    def setUp(self) -> None:
        self.server = _Server()
        port = reactor.listenTCP(0, Site(self.server), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.place = f"127.0.0.1:{port.getHost().port}"

    def webhook(self, user: str = "", token_file: Path | None = None) -> Webhook:
        url = f"http://{user}{self.place}/secret-path"
        return Webhook(Agent(reactor), url, token_file, reactor)

    async def test_it_is_posted(self) -> None:
        """One POST with the message as JSON."""
        await self.webhook().deliver(MESSAGE)
        ((method, headers, body),) = self.server.got
        self.assertEqual((method, json.loads(body)), (b"POST", MESSAGE))
        self.assertEqual(headers[b"content-type"], b"application/json")
        self.assertNotIn(b"authorization", headers)

    async def test_credentials(self) -> None:
        """Basic from the address, or bearer from a file that may change at any time."""
        await self.webhook("me:pass%40word@").deliver(MESSAGE)
        self.assertEqual(self.server.got[-1][1][b"authorization"], b"Basic bWU6cGFzc0B3b3Jk")
        token = fresh_directory(self) / "token"
        hook = self.webhook(token_file=token)
        self.assertIn("No such file", await self.fails(hook.deliver(MESSAGE), ConfigError))
        for text in ("one", "two"):
            token.write_text(f"{text}\n")
            await hook.deliver(MESSAGE)
            self.assertEqual(self.server.got[-1][1][b"authorization"], f"Bearer {text}".encode())

    async def test_any_other_answer_is_a_failure(self) -> None:
        """An error, or a redirect: nothing is followed, and no secret of the address is told."""
        for status in (302, 404, 500):
            self.server.status = status
            self.server.location = f"http://{self.place}/elsewhere" if status == 302 else ""
            reason = await self.fails(self.webhook("me:word@").deliver(MESSAGE), TransferError)
            self.assertIn(str(status), reason)
            for secret in ("secret-path", "word"):
                self.assertNotIn(secret, reason)
        self.assertEqual(len(self.server.got), 3)

    async def test_a_silent_server_is_given_up(self) -> None:
        """It has ten seconds."""
        self.patch(deliveries, "WEBHOOK_TIMEOUT_S", 0.1)
        self.server.silent = True
        await self.fails(self.webhook().deliver(MESSAGE), TimedOut)

    async def test_nobody_listens(self) -> None:
        """An address where nobody is, is a failure that names the host."""
        hook = Webhook(Agent(reactor), "http://127.0.0.1:1/x", None, reactor)
        self.assertIn("127.0.0.1", await self.fails(hook.deliver(MESSAGE), TransferError))
