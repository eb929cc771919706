"""How a hook is told: a program that is started, or a web address that is posted to.

The program is started without a shell, with the message on its standard input and nothing of
the daemon's environment; the web address gets one POST, and is believed only if it answers
with 2xx itself: redirects are not followed.
"""

import os
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer
from zope.interface import implementer

from common.canonical import canonical_json
from common.errors import ConfigError, TimedOut, TransferError
from common.origins import UNREACHABLE, HttpBody, cancellable, unreachable
from regiond.telling import Message, environment

PROGRAM_TIMEOUT_S = 30.0
WEBHOOK_TIMEOUT_S = 10.0
MOST_SAID_BYTES = 2000


class Program:
    """Starts a program for each message.

    Args:
        reactor: starts it.
        command: its absolute path, and its arguments.
    """

    def __init__(self, reactor: Any, command: Sequence[str]) -> None:
        self._reactor = reactor
        self._command = tuple(command)

    async def deliver(self, message: Message) -> None:
        """Start it, and wait until it has ended well.

        Raises:
            ConfigError: it cannot be started.
            TransferError: it ended with another code than 0.
            TimedOut: it took longer than 30 s, and was killed.
        """
        path = self._command[0]
        ended = self._start(path, message)
        ended.addTimeout(PROGRAM_TIMEOUT_S, self._reactor)
        try:
            await ended
        except DeferredTimeout:
            raise TimedOut(
                f"{path} ran longer than {PROGRAM_TIMEOUT_S:g} s, and was killed"
            ) from None

    def _start(self, path: str, message: Message) -> Deferred[None]:
        if not (Path(path).is_file() and os.access(path, os.X_OK)):
            raise ConfigError(f"{path} is no program that this user may start")
        running = _Running(canonical_json(message) + b"\n")
        try:
            self._reactor.spawnProcess(
                running, path, self._command, env=environment(message), path="/"
            )
        except OSError as error:
            raise ConfigError(f"{path} cannot be started: {error.strerror}") from error
        return running.ended


class _Running(ProcessProtocol):
    """One run. ``ended`` fires with its end, not with that of what it left behind."""

    transport: Any

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._said = b""
        self.ended: Deferred[None] = Deferred(self._kill)

    def connectionMade(self) -> None:
        self.transport.write(self._text)
        self.transport.closeStdin()

    def errReceived(self, data: bytes) -> None:
        self._said = (self._said + data)[-MOST_SAID_BYTES:]

    def processExited(self, reason: Failure) -> None:
        self.transport.loseConnection()
        if self.ended.called:
            return
        if reason.check(ProcessDone):
            self.ended.callback(None)
            return
        lines = self._said.decode("utf-8", "replace").strip().splitlines()
        said = f": {lines[-1]}" if lines else ""
        self.ended.errback(TransferError(f"the program failed ({_how(reason)}){said}"))

    def _kill(self, _: Deferred[None]) -> None:
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            return


def _how(reason: Failure) -> str:
    end: Any = reason.value
    return f"signal {end.signal}" if end.signal else f"exit code {end.exitCode}"


class Webhook:
    """Posts each message to a web address.

    Args:
        agent: makes requests; verifies TLS and follows nothing.
        url: the address; a user and password in it are sent as basic authentication.
        token_file: holds a bearer token, read anew for each message; None for none.
        clock: for the time-out.
    """

    def __init__(
        self, agent: IAgent, url: str, token_file: Path | None, clock: IReactorTime
    ) -> None:
        parts = urlsplit(url)
        _, _, place = parts.netloc.rpartition("@")
        self._agent = agent
        self._url = parts._replace(netloc=place).geturl()
        # A path may be as secret as a password.
        self._shown = f"{parts.scheme}://{place}"
        self._user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        self._has_user = parts.username is not None
        self._token_file = token_file
        self._clock = clock

    async def deliver(self, message: Message) -> None:
        """Post it, and wait for the answer.

        Raises:
            ConfigError: the token cannot be read.
            TransferError: no connection, or an answer other than 2xx.
            TimedOut: no answer within 10 s.
        """
        headers = Headers({"content-type": ["application/json"], "user-agent": ["rackferry"]})
        authorization = self._authorization()
        if authorization:
            headers.setRawHeaders("authorization", [authorization])
        body = _Body(canonical_json(message))
        asked = cancellable(self._agent.request(b"POST", self._url.encode(), headers, body))
        asked.addTimeout(WEBHOOK_TIMEOUT_S, self._clock)
        try:
            response = await asked
        except DeferredTimeout:
            raise TimedOut(f"{self._shown} did not answer within {WEBHOOK_TIMEOUT_S:g} s") from None
        except UNREACHABLE as error:
            raise unreachable(error, self._shown) from error
        HttpBody(response, self._shown).abort()
        if not 200 <= response.code < 300:
            redirected = ", and redirects are not followed" if 300 <= response.code < 400 else ""
            raise TransferError(f"{self._shown} answered with {response.code}{redirected}")

    def _authorization(self) -> str:
        if self._token_file is not None:
            try:
                return f"Bearer {self._token_file.read_text('ascii').strip()}"
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not ASCII"
                raise ConfigError(f"{self._token_file} cannot be read: {reason}") from error
        return f"Basic {b64encode(self._user.encode()).decode()}" if self._has_user else ""


@implementer(IBodyProducer)
class _Body:
    """The body of a request."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Send it (called by the agent)."""
        consumer.write(self._content)
        sent: Deferred[None] = Deferred()
        sent.callback(None)
        return sent

    def pauseProducing(self) -> None:
        """It is on its way (called by the agent)."""

    def resumeProducing(self) -> None:
        """It is on its way (called by the agent)."""

    def stopProducing(self) -> None:
        """It is on its way (called by the agent)."""
