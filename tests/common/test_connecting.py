"""Dialling."""

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from common.connecting import dial
from common.conversation import Conversation
from common.errors import TransferError
from common.tls import UnverifiedTLS


class DialTests(TestCase):
    """One attempt to connect."""

    def dial(self, host: str, port: int) -> "Deferred[None]":
        conversation = Conversation({}, reactor, peer=f"{host}:{port}")
        return Deferred.fromCoroutine(
            dial(reactor, (host, port), UnverifiedTLS(), conversation, 5.0)
        )

    async def test_nobody_there(self) -> None:
        """A refused connection names address, port and cause."""
        try:
            await self.dial("127.0.0.1", 1)
            self.fail("connected")
        except TransferError as error:
            self.assertEqual((error.code, error.object), ("region-unreachable", "127.0.0.1:1"))
            self.assertIn("refused", error.message.lower())

    async def test_cancelled(self) -> None:
        """Who is cancelled while dialling, by address or by name, learns that and nothing else."""
        for host in ("127.0.0.1", "localhost"):
            dialling = self.dial(host, 1)
            dialling.cancel()
            await self.assertFailure(dialling, CancelledError)
