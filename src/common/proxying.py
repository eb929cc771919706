"""Requests through an HTTP proxy: an argument of the request, never of the process.

What is asked by http goes to the proxy as it is (RFC 9112, section 3.2.2); for https the
proxy opens a tunnel (RFC 9110, section 9.3.6) in which TLS is spoken with the host itself,
whose certificate is checked as without a proxy. The proxy's password is told to the proxy
alone. Each failure of the proxy is an error that names it, without its password.
"""

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ProxyAgent
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    IAgent,
    IAgentEndpointFactory,
    IBodyProducer,
    IPolicyForHTTPS,
    IResponse,
)
from zope.interface import implementer

from common.errors import RackferryError
from common.origins import HttpBody
from common.proxies import Proxy

_MOST_HEAD_BYTES = 16384
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?\r?\n")
# The first byte of what a TLS server may say first: an alert or a handshake record.
_TLS_RECORDS = (b"\x15", b"\x16")


@implementer(IAgent)
class ProxiedAgent:
    """Makes every request through one proxy.

    Args:
        reactor: IReactorTime and what ``HostnameEndpoint`` wants.
        proxy: through which.
        pool: for connections to that proxy and through it, and no others.
        tls: how certificates of https hosts are checked.
        connect_timeout_s: for the TCP connection to the proxy.
    """

    def __init__(
        self,
        reactor: Any,
        proxy: Proxy,
        pool: HTTPConnectionPool,
        *,
        tls: IPolicyForHTTPS,
        connect_timeout_s: float,
    ) -> None:
        self._proxy = proxy
        near = HostnameEndpoint(reactor, proxy.host, proxy.port, timeout=connect_timeout_s)
        endpoint = _ProxyEndpoint(near, proxy)
        self._as_it_is = ProxyAgent(endpoint, reactor, pool)
        tunnels = _Tunnels(endpoint, proxy, tls)
        self._tunnelled = Agent.usingEndpointFactory(reactor, tunnels, pool)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Ask (IAgent)."""
        asking: Deferred[IResponse]
        if uri.startswith(b"https:"):
            asking = self._tunnelled.request(method, uri, headers, bodyProducer)
            return asking
        named = Headers() if headers is None else headers.copy()
        if self._proxy.authorization:
            named.setRawHeaders("proxy-authorization", [self._proxy.authorization])
        asking = self._as_it_is.request(method, uri, named, bodyProducer)
        return asking.addCallback(self._demand_welcome)

    def _demand_welcome(self, response: IResponse) -> IResponse:
        if response.code == 407:
            HttpBody(response, self._proxy.name).abort()
            raise self._proxy.not_welcome()
        return response


@implementer(IStreamClientEndpoint)
class _ProxyEndpoint:
    """Connects to the proxy; a failure names it."""

    def __init__(self, endpoint: IStreamClientEndpoint, proxy: Proxy) -> None:
        self._endpoint = endpoint
        self._proxy = proxy

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect (called by Twisted)."""
        return self._endpoint.connect(protocolFactory).addErrback(self._named)

    def _named(self, failure: Failure) -> Failure:
        if failure.check(ConnectError, DNSLookupError):
            raise self._proxy.fault(f"could not be reached: {failure.value}")
        return failure


@implementer(IAgentEndpointFactory)
class _Tunnels:
    """TLS with a host, in a tunnel through the proxy."""

    def __init__(self, endpoint: IStreamClientEndpoint, proxy: Proxy, tls: IPolicyForHTTPS) -> None:
        self._endpoint = endpoint
        self._proxy = proxy
        self._tls = tls

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The way to a host (called by Twisted)."""
        tunnel = _TunnelEndpoint(self._endpoint, self._proxy, uri.host, uri.port)
        return wrapClientTLS(self._tls.creatorForNetloc(uri.host, uri.port), tunnel)


@implementer(IStreamClientEndpoint)
class _TunnelEndpoint:
    """Connects to the proxy and asks it for a tunnel.

    Without a time limit of its own: whoever asks for a document or file has one, and
    cancels.
    """

    def __init__(
        self, endpoint: IStreamClientEndpoint, proxy: Proxy, host: bytes, port: int
    ) -> None:
        self._endpoint = endpoint
        self._proxy = proxy
        self._target = b"%b:%d" % (b"[%b]" % host if b":" in host else host, port)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, and open the tunnel (called by Twisted)."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        tunnel = _Tunnel(self._proxy, self._target, factory)
        await self._endpoint.connect(Factory.forProtocol(lambda: tunnel))
        return await tunnel.opened


class _Tunnel(Protocol):
    """One connection to the proxy: first our request and its answer, then what is inside."""

    def __init__(self, proxy: Proxy, target: bytes, factory: IProtocolFactory) -> None:
        self.opened: Deferred[IProtocol] = Deferred(lambda _: self._abort())
        self._proxy = proxy
        self._target = target
        self._factory = factory
        self._head = b""
        self._inside: TLSMemoryBIOProtocol | None = None
        self._heard = False

    def connectionMade(self) -> None:
        """Ask for the tunnel (called by Twisted)."""
        lines = [b"CONNECT %b HTTP/1.1" % self._target, b"Host: %b" % self._target]
        if self._proxy.authorization:
            lines.append(b"Proxy-Authorization: " + self._proxy.authorization.encode("ascii"))
        self._wire.write(b"\r\n".join([*lines, b"", b""]))

    def dataReceived(self, data: bytes) -> None:
        """The proxy's answer; from then on what the host says (called by Twisted)."""
        if self._inside is None:
            self._head += data
            self._read_head()
        elif self._heard:
            self._inside.dataReceived(data)
        else:
            self._hear_first(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over (called by Twisted)."""
        inside, self._inside = self._inside, None
        if inside is not None:
            inside.connectionLost(reason)
        else:
            self._fail(self._proxy.fault("closed the connection instead of opening a tunnel"))

    def _read_head(self) -> None:
        end = self._head.find(b"\r\n\r\n")
        if end < 0 and len(self._head) <= _MOST_HEAD_BYTES:
            return
        status = _STATUS.match(self._head)
        if end < 0 or end > _MOST_HEAD_BYTES or status is None:
            self._fail(self._proxy.fault("answered with something that is no HTTP"))
        elif status[1] == b"407":
            self._fail(self._proxy.not_welcome())
        elif status[1][:1] != b"2":
            said = b" ".join(filter(None, status.groups())).decode("latin-1")
            target = self._target.decode("ascii")
            self._fail(self._proxy.fault(f"opens no tunnel to {target}: {said}"))
        else:
            self._open(self._head[end + 4 :])

    def _open(self, rest: bytes) -> None:
        inside: Any = self._factory.buildProtocol(self._wire.getPeer())
        self._inside = inside
        inside.makeConnection(self._wire)
        if rest:
            self._hear_first(rest)
        self.opened.callback(inside)

    def _hear_first(self, data: bytes) -> None:
        """A page of the proxy's own is no tunnel, whatever its status says."""
        self._heard = True
        if self._inside is None or data[:1] in _TLS_RECORDS:
            self.dataReceived(data)
            return
        error = self._proxy.fault("answered with a page of its own instead of a tunnel")
        # Said of certificates by its name; in truth whatever ends the handshake.
        self._inside.failVerification(Failure(error))

    def _fail(self, error: RackferryError) -> None:
        if not self.opened.called:
            self.opened.errback(error)
        self._abort()

    def _abort(self) -> None:
        if self.transport is not None:
            self._wire.abortConnection()

    @property
    def _wire(self) -> Any:
        return self.transport
