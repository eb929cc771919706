"""Endpoints of the few hosts that are asked again and again, each made once.

An agent of twisted.web asks for an endpoint with every request, also when the request goes
over a connection that is open already. Making one takes IDNA's tables (and for TLS a context)
and was measured to be a seventh of a request for a small file.
"""

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer


@implementer(IAgentEndpointFactory)
class KnownEndpoints:
    """For an agent whose hosts are few: all of them are remembered.

    Args:
        reactor: for connections.
        tls: how certificates are checked.
        connect_timeout_s: for one TCP connection.
    """

    def __init__(self, reactor: Any, tls: IPolicyForHTTPS, connect_timeout_s: float) -> None:
        self._reactor = reactor
        self._tls = tls
        self._connect_timeout_s = connect_timeout_s
        self._known: dict[tuple[bytes, bytes, int], IStreamClientEndpoint] = {}

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The endpoint of an http or https address."""
        place = (uri.scheme, uri.host, uri.port)
        if place not in self._known:
            self._known[place] = self._made(*place)
        return self._known[place]

    def _made(self, scheme: bytes, host: bytes, port: int) -> IStreamClientEndpoint:
        endpoint = HostnameEndpoint(
            self._reactor, host.decode("ascii"), port, timeout=self._connect_timeout_s
        )
        if scheme == b"http":
            return endpoint
        return wrapClientTLS(self._tls.creatorForNetloc(host, port), endpoint)
