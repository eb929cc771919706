"""Racks that may not come in, say the wrong thing, or have a disk that cannot be used."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor

from common.commands import PROTOCOL_VERSION, CurrentView, Hello
from common.connecting import dial
from common.conversation import Conversation
from common.digests import sha256_hex
from common.errors import RackferryError
from common.identity import Identity, new_authority, new_key, utc_now
from common.identity_files import load_or_create_authority
from common.joining import join
from common.tls import RackTLS
from common.tokens import Token, format_token, parse_token
from tests.integration.bad_input import (
    GOOD_SHA256,
    BadInputCase,
    change_database,
    rack_context,
    request,
)
from tests.integration.shells import ShellFailed, run_shell
from tests.integration.sources import LOOPBACK

YEARS = timedelta(days=3650)
CUT_OFF = f"is cut off: rack at {LOOPBACK} sent more than 65536 bytes in a box"


class RackCase(BadInputCase):
    """Tests beside a rack that is connected and in sync."""

    async def failure(self, work: Any, code: str) -> RackferryError:
        """The expected failure of something, with a cause and a remedy."""
        try:
            result = await work
        except RackferryError as error:
            self.assertEqual(error.code, code, error.line())
            self.assert_clear(error.object, error.message, error.remedy)
            return error
        self.fail(f"no {code}, but {result!r}")
        raise AssertionError

    async def assert_rack_unharmed(self) -> None:
        """rack-1 is connected and in sync, and serves machines; the region serves it."""
        await self.synced()
        status = await self.ask("status", rack=True)
        self.assertTrue(status["region_connected"])
        self.assertEqual((status["status"], status["problems"]), ("synced", []))
        request(self.site.ports.machines, "/images/boot.ipxe")  # so begins a boot
        (path,) = [name for name in self.site.image_files() if "/good/" in name and "demo" in name]
        reply = request(self.site.ports.machines, f"/images/{path}")
        self.assertEqual((reply.status, sha256_hex(reply.body)), (200, GOOD_SHA256))
        await self.assert_unharmed()


class TokenTests(RackCase):
    """Enrolment with a token that is no permission."""

    async def test_tokens_that_are_no_permission(self) -> None:
        """Forged, expired, used, for another name, of another region: refused by name."""
        real = await self.token("new")
        pin = parse_token(real).pin
        await self.failure(self.join(format_token(Token(pin, os.urandom(24)))), "token-unknown")

        late = await self.token("late")
        change_database(self.site, "UPDATE token SET expires_at = 1 WHERE name = 'late'")
        await self.failure(self.join(late), "token-expired")

        used = await self.token("used")
        self.assertEqual((await self.join(used)).name, "used")
        await self.failure(self.join(used), "token-used")

        error = await self.failure(self.join(real, name="other"), "token-wrong-name")
        self.assertIn("another rack than other", error.message)

        elsewhere = format_token(Token(os.urandom(32), parse_token(real).secret))
        error = await self.failure(self.join(elsewhere), "region-not-trusted")
        self.assertEqual(error.object, LOOPBACK)
        names = {rack["name"] for rack in await self.ask("rack-controllers read")}
        self.assertEqual(names & {"rack-1", "used", "new", "late", "other"}, {"rack-1", "used"})
        self.assertEqual((await self.join(real)).name, "new")
        await self.assert_rack_unharmed()

    async def test_a_token_that_is_none(self) -> None:
        """The shell says so at once, without repeating it, and writes nothing."""
        directory = self.directory()
        places = [f"config={directory / 'rackd.toml'}", f"state_dir={directory}"]
        with self.assertRaises(ShellFailed) as caught:
            run_shell(["join", LOOPBACK, "rg1.nonsense", *places])
        error = caught.exception.error
        self.assertEqual((caught.exception.exit_code, error["code"]), (2, "token-malformed"))
        self.assertNotIn("nonsense", caught.exception.stderr)
        self.assertIn("create-token", error["remedy"])
        self.assertEqual(list(directory.iterdir()), [])

    async def test_a_wrong_clock_is_named(self) -> None:
        """A rack whose clock is years off is told so, with both times, and keeps no certificate."""
        token = await self.token("timely")
        for shift in (YEARS, -YEARS):
            now = datetime.now(UTC) + shift

            def wrong(now: datetime = now) -> datetime:
                return now

            error = await self.failure(self.join(token, now=wrong), "clock-skew")
            self.assertIn(f"clock says {now:%Y-%m-%d}", error.message)
        self.assertEqual((await self.join(token)).name, "timely")
        await self.assert_rack_unharmed()

    async def token(self, name: str) -> str:
        return str((await self.ask(f"rack-controllers create-token name={name}"))["token"])

    def directory(self) -> Path:
        path = Path(tempfile.mkdtemp(prefix="rackferry-"))
        self.addCleanup(shutil.rmtree, path)
        return path

    async def join(
        self, token: str, name: str = "", now: Callable[[], datetime] = utc_now
    ) -> Identity:
        """Enrol a machine of its own; whatever fails leaves no certificate behind."""
        directory = self.directory()
        port = self.site.ports.enrol
        try:
            return await join(reactor, LOOPBACK, port, token, name, directory, now=now)
        except RackferryError:
            left = {path.name for path in directory.iterdir()}
            self.assertEqual(left - {"key.pem"}, set())
            raise


class ConversationTests(RackCase):
    """Racks that may connect, but not like this."""

    def setUp(self) -> None:
        super().setUp()
        self.authority = load_or_create_authority(self.site.directory / "region", utc_now())

    def identity(self, *, authority: Any = None, issued: datetime | None = None) -> Identity:
        """A certificate for rack-1, of the region's own authority or another."""
        key = new_key()
        signer = authority or self.authority
        certificate = signer.issue_rack("rack-1", key.public_key(), issued or utc_now())
        return Identity(key, certificate, self.authority.certificate)

    async def say(self, identity: Identity, command: Any, **arguments: Any) -> Any:
        """Connect with that identity and say one thing."""
        conversation = Conversation({}, reactor, peer="region-1")
        tls = RackTLS(identity, utc_now).for_host(LOOPBACK)
        await dial(reactor, (LOOPBACK, self.site.ports.rpc), tls, conversation, 10.0)
        try:
            return await conversation.call(command, **arguments)
        finally:
            await conversation.finish()

    async def hello(self, identity: Identity) -> Any:
        return await self.say(identity, Hello, version="1", protocol=PROTOCOL_VERSION)

    async def test_certificates_that_are_not_believed(self) -> None:
        """Of another authority, expired, not enrolled; and a region that is another: named."""
        stranger = new_authority(utc_now())
        other = self.identity(authority=stranger)
        await self.failure(self.hello(other), "certificate-unknown-authority")
        await self.failure(
            self.hello(self.identity(issued=utc_now() - YEARS)), "certificate-expired"
        )
        error = await self.failure(self.hello(self.identity()), "rack-unknown")
        self.assertEqual(error.object, "rack-1")
        believes_other = attrs.evolve(self.identity(), root=stranger.certificate)
        error = await self.failure(self.hello(believes_other), "region-not-trusted")
        self.assertEqual(error.object, LOOPBACK)
        await self.assert_rack_unharmed()

    async def test_a_command_before_hello(self) -> None:
        """It is refused by name, and the region goes on with every other rack."""
        try:
            await self.say(self.identity(), CurrentView, held="")
        except RackferryError as error:
            self.assertEqual(error.code, "protocol-hello-first")
            self.assertIn("CurrentView before Hello", error.message)
        else:
            self.fail("it was answered")
        await self.assert_rack_unharmed()

    async def test_an_oversized_box(self) -> None:
        """Whoever sends more than a box may have is cut off, and one line of the log says so."""
        before = self.site.region.log.read_text().count(CUT_OFF)
        with (
            socket.create_connection((LOOPBACK, self.site.ports.rpc), 10) as raw,
            rack_context(self.site).wrap_socket(raw, server_hostname=LOOPBACK) as line,
        ):
            line.settimeout(10)
            line.sendall(b"\0\x04_ask\0\x011\0\x08_command\0\x05Hello")
            sent = 0
            try:
                for number in range(10, 70):
                    line.sendall(b"\0\x02%d\xff\xff" % number + b"x" * 65535)
                    sent += 65535
                self.assertEqual(line.recv(1), b"")
            except OSError:
                pass  # a reset is the same word
        after = self.site.region.log.read_text()
        self.assertEqual(after.count(CUT_OFF) - before, 1)
        await self.assert_rack_unharmed()
