"""Listeners against clients that take their time, or send what nobody asked for."""

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from common.sites import IDLE_TIMEOUT_S, QuietSite


class SiteTests(SynchronousTestCase):
    """Clients that take their time."""

    def connect(self) -> tuple[Clock, Any, StringTransport]:
        clock = Clock()
        site = QuietSite(Resource(), clock)
        site.doStart()
        self.addCleanup(site.doStop)
        channel, transport = site.buildProtocol(None), StringTransport()
        transport.abortConnection = transport.loseConnection
        channel.makeConnection(transport)
        return clock, channel, transport

    def test_slow_header(self) -> None:
        """A header that trickles in does not keep the connection open."""
        clock, channel, transport = self.connect()
        for _ in range(int(IDLE_TIMEOUT_S)):
            channel.dataReceived(b"G")
            clock.advance(1.01)
        self.assertTrue(transport.disconnecting)

    def test_idle_costs_nothing(self) -> None:
        """A listener without connections has no timer running."""
        clock = Clock()
        site = QuietSite(Resource(), clock)
        site.doStart()
        self.assertEqual(clock.getDelayedCalls(), [])
        site.doStop()

    def test_body_is_not_kept(self) -> None:
        """What a client sends as a body is thrown away."""
        channel = self.connect()[1]
        channel.dataReceived(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n")
        channel.dataReceived(b"x" * 1_000_000)
        self.assertEqual(channel.requests[0].content.tell(), 0)
        channel.connectionLost(None)
