"""Redirects of boot sources: followed, but never to where an upstream must not send us.

The host that an admin typed is trusted, on loopback and private networks too. A host that
is reached by a redirect must be public: its name is resolved once, and only public
addresses among the answers are ever connected to, so that no second look-up can differ
from the one that was judged. Through a proxy, which resolves names itself, addresses and
local names are judged as they are written; what else it connects to is for its own rules.
"""

from collections.abc import Callable, Sequence
from typing import Any

from hyperlink import URL
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from common.errors import SourceError
from common.hosts import address_of, as_uri, is_public
from common.known_endpoints import KnownEndpoints
from common.origins import first_header
from common.proxies import Proxy, is_surely_private
from common.proxying import ProxiedAgent
from common.release import release

MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Nothing that tells one installation from another.
_USER_AGENT = f"Rackferry/{release()}"
_CREDENTIALS = (b"authorization", b"cookie", b"proxy-authorization")
_REMEDY = "point the boot source at the address it should be read from"


def redirect_target(current: URL, location: str) -> URL:
    """Where a redirect leads.

    Raises:
        SourceError: codes ``source-redirect``, not a URL, and ``source-redirect-scheme``,
            to a worse one.
    """
    try:
        target = as_uri(current.click(location)).replace(userinfo="")
    except (ValueError, NotImplementedError) as error:  # hyperlink's word for "https:x"
        raise _refusal(
            current, f"to something that is no address: {location!r}", "source-redirect"
        ) from error
    if target.scheme not in {"https", current.scheme} or not target.host:
        raise _refusal(
            current,
            f"to {target.scheme or 'no'}://{target.host}, a worse scheme",
            "source-redirect-scheme",
        )
    return target


def is_same_place(one: URL, other: URL) -> bool:
    """Whether credentials for ``one`` may be sent to ``other``: same host, same or TLS port."""
    ports = (one.port, other.port)
    return one.host == other.host and (ports[0] == ports[1] or ports == (80, 443))


@implementer(IAgent)
class FollowingAgent:
    """An agent that follows redirects by the rules above.

    Args:
        trusted: makes requests to the host of the URL that was asked for.
        public: makes requests to any other host; connects to public addresses only.
        was_refused: whether ``public`` found a host to have no public address.
        is_private: whether a host is not public by what is written; then it is not asked.
            Without it: whether it is an address that is not public.
    """

    def __init__(
        self,
        trusted: IAgent,
        public: IAgent,
        was_refused: Callable[[str], bool],
        is_private: Callable[[str], bool] | None = None,
    ) -> None:
        self._trusted = trusted
        self._public = public
        self._was_refused = was_refused
        self._is_private = is_private or _is_private_address

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: ARG002 - IAgent; sources are only read
    ) -> Deferred[IResponse]:
        """Ask; the response is the last one of the chain."""
        named = Headers() if headers is None else headers.copy()
        named.setRawHeaders("user-agent", [_USER_AGENT])
        return Deferred.fromCoroutine(self._request(method, uri, named))

    async def _request(self, method: bytes, uri: bytes, headers: Headers) -> IResponse:
        response = await self._trusted.request(method, uri, headers, None)
        location = _location(response)
        if not location:
            return response  # nearly always: nothing has to be parsed
        first = current = URL.from_text(uri.decode("ascii"))
        for _ in range(MOST_REDIRECTS):
            await _drop(response)
            target = redirect_target(current, location)
            if not is_same_place(current, target):
                headers = headers.copy()
                for name in _CREDENTIALS:
                    headers.removeHeader(name)
            current = target
            response = await self._one_request(first, method, current, headers)
            location = _location(response)
            if not location:
                return response
        await _drop(response)
        raise _refusal(first, f"more than {MOST_REDIRECTS} times", "source-redirect-loop")

    async def _one_request(
        self, first: URL, method: bytes, url: URL, headers: Headers
    ) -> IResponse:
        is_first = url.host == first.host
        if not is_first and self._is_private(url.host):
            raise _not_public(first, url.host)
        agent = self._trusted if is_first else self._public
        try:
            return await agent.request(method, url.to_text().encode("ascii"), headers, None)
        except DNSLookupError:
            if self._was_refused(url.host):
                raise _not_public(first, url.host) from None
            raise


def source_agent(
    reactor: Any,
    pool: HTTPConnectionPool,
    redirect_pool: HTTPConnectionPool,
    *,
    tls: IPolicyForHTTPS,
    connect_timeout_s: float,
    proxy: Proxy | None = None,
) -> IAgent:
    """The agent for boot sources.

    With a proxy, which resolves the names, a redirect is judged by the host's name alone.

    Args:
        reactor: IReactorTime, IReactorTCP and IReactorPluggableNameResolver.
        pool: connections to hosts that admins typed.
        redirect_pool: another pool, for hosts reached by redirect: were the pools one, a
            redirect could ride on a connection to a private host that is open already.
        tls: how certificates of https sources are checked.
        connect_timeout_s: for one TCP connection.
        proxy: through which every request goes, if any.
    """
    if proxy is not None:
        near, far = (
            ProxiedAgent(reactor, proxy, each, tls=tls, connect_timeout_s=connect_timeout_s)
            for each in (pool, redirect_pool)
        )
        return FollowingAgent(near, far, lambda _: False, is_surely_private)
    public_reactor = _PublicReactor(reactor)
    return FollowingAgent(
        Agent.usingEndpointFactory(reactor, KnownEndpoints(reactor, tls, connect_timeout_s), pool),
        Agent(public_reactor, tls, connectTimeout=connect_timeout_s, pool=redirect_pool),
        lambda host: host in public_reactor.nameResolver.refused,
    )


def _is_private_address(host: str) -> bool:
    address = address_of(host)
    return address is not None and not is_public(address)


def _not_public(source: URL, host: str) -> SourceError:
    """The refusal of a redirect to a host that only the region can reach."""
    return _refusal(source, f"to {host}, which is not public", "source-redirect-private")


def _refusal(source: URL, where: str, code: str) -> SourceError:
    return SourceError(
        f"{source.replace(userinfo='', query=()).to_text()} redirects {where}",
        code=code,
        remedy=_REMEDY,
    )


def _location(response: IResponse) -> str:
    """Where a response sends us; "" if it does not."""
    if response.code not in _REDIRECTS:
        return ""
    return first_header(response, b"location")


async def _drop(response: IResponse) -> None:
    """Throw the body of a redirect away, and the connection if it goes on and on."""
    body = _Dropped()
    response.deliverBody(body)
    await body.over


class _Dropped(Protocol):
    _MOST_BYTES = 65536

    def __init__(self) -> None:
        self.over: Deferred[None] = Deferred(lambda _: self._close())
        self._size_bytes = 0

    def dataReceived(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes > self._MOST_BYTES:
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002 - nobody cares how
        self.over.callback(None)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


@implementer(IReactorPluggableNameResolver)
class _PublicReactor:
    """A reactor whose names resolve to public addresses only; else the one it wraps."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.nameResolver = PublicNames(reactor.nameResolver)

    def installNameResolver(self, resolver: object) -> IHostnameResolver:  # noqa: ARG002 - the interface's
        """Part of the interface; nobody installs a resolver here."""
        raise RuntimeError("the resolver of redirects is fixed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IHostnameResolver)
class PublicNames:
    """Resolves as another resolver does, and keeps back what is not public.

    Attributes:
        refused: names that had an address which is not public.
    """

    def __init__(self, resolver: IHostnameResolver) -> None:
        self._resolver = resolver
        self.refused: set[str] = set()

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Resolve ``hostName``; the receiver hears of public addresses only."""
        self.refused.discard(hostName)
        return self._resolver.resolveHostName(
            _PublicOnly(resolutionReceiver, lambda: self.refused.add(hostName)),
            hostName,
            portNumber,
            addressTypes,
            transportSemantics,
        )


@implementer(IResolutionReceiver)
class _PublicOnly:
    def __init__(self, receiver: IResolutionReceiver, refuse: Callable[[], object]) -> None:
        self._receiver = receiver
        self._refuse = refuse

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:
        if not _is_private_address(address.host):
            self._receiver.addressResolved(address)
        else:
            self._refuse()

    def resolutionComplete(self) -> None:
        self._receiver.resolutionComplete()
