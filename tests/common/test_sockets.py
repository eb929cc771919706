"""Tuning one connection's socket."""

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from common.sockets import RECEIVE_BYTES, SEND_BYTES, receive_much, send_much


class Socket:
    """A transport with the class attributes of Twisted's sockets."""

    SEND_LIMIT = 1
    bufferSize = 1


class SocketTests(SynchronousTestCase):
    """``send_much`` and ``receive_much``."""

    def test_the_socket_is_set(self) -> None:
        """A plain connection's own transport is tuned, and only that one."""
        socket = Socket()
        send_much(socket)
        receive_much(socket)
        self.assertEqual((socket.SEND_LIMIT, socket.bufferSize), (SEND_BYTES, RECEIVE_BYTES))
        self.assertEqual((Socket.SEND_LIMIT, Socket.bufferSize), (1, 1))

    def test_beneath_a_wrapper_that_pretends(self) -> None:
        """TLS is such a wrapper: it reads through to the socket, but does not write through."""
        wrapper: Any = WrappingFactory(Factory.forProtocol(Protocol)).buildProtocol(None)
        wrapper.transport = socket = Socket()
        self.assertEqual(wrapper.SEND_LIMIT, 1)
        send_much(wrapper)
        receive_much(wrapper)
        self.assertEqual((socket.SEND_LIMIT, socket.bufferSize), (SEND_BYTES, RECEIVE_BYTES))

    def test_without_a_socket_nothing_happens(self) -> None:
        """A transport in memory has nothing to tune."""
        send_much(object())
        receive_much(None)
