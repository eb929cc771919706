"""Dialling a region: TCP and TLS, with one clear error."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory

from common.conversation import Conversation
from common.errors import TransferError


async def dial(
    reactor: Any,
    address: tuple[str, int],
    tls: IOpenSSLClientConnectionCreator,
    conversation: Conversation,
    timeout_s: float,
) -> None:
    """Connect ``conversation`` to ``address`` (host, port). TLS has only begun then.

    Raises:
        TransferError: code ``region-unreachable``.
    """
    endpoint = wrapClientTLS(tls, HostnameEndpoint(reactor, *address, timeout=timeout_s))
    connecting = endpoint.connect(Factory.forProtocol(lambda: conversation))
    try:
        await _cancelled_as_such(connecting)
    except CancelledError:
        raise
    except Exception as error:
        raise unreachable(conversation.peer, str(error)) from error


def _cancelled_as_such(connecting: "Deferred[Any]") -> "Deferred[Any]":
    """The same, but when cancelled it says so: endpoints say "DNS lookup failed", for one."""

    def cancel(waiting: "Deferred[Any]") -> None:
        waiting.errback(CancelledError())
        connecting.cancel()

    def pass_on(result: Any) -> None:
        if not waiting.called:
            waiting.callback(result)

    waiting: Deferred[Any] = Deferred(cancel)
    connecting.addBoth(pass_on)
    return waiting


def unreachable(peer: str, why: str) -> TransferError:
    """The error of a region that cannot be reached."""
    return TransferError(
        f"the region cannot be reached: {why}",
        object=peer,
        code="region-unreachable",
        remedy="check address, port and firewall, and that regiond runs there",
    )
