"""How each boot source is reached: where it is, through which proxy, trusting whom, as whom.

Sources with the same proxy and the same certificates share their connections; others never
do, for a connection that is open already would be neither asked through the right proxy nor
checked against the right certificates. The environment (``http_proxy`` and the like) has no
say, and is never touched.
"""

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IPolicyForHTTPS

from common.errors import ConfigError, RackferryError
from common.origins import HttpOrigin
from common.pools import Threads
from common.proxies import Proxy
from common.redirects import source_agent
from regiond.named_files import read_named
from regiond.source_fields import location_of, proxy_of
from regiond.sources.locations import SourceLocation
from regiond.store.sources import BootSource, SourceFields

MOST_ROUTES = 64
"""So many proxies and CA files have connections of their own; more begin anew each time."""


@attrs.frozen
class Way:
    """What is known of the way to a source without looking into files.

    Attributes:
        location: where it is.
        proxy: through what.
        note: what a message says after an address, about the way there; "" if it is direct.
    """

    location: SourceLocation
    proxy: Proxy | None
    note: str

    @classmethod
    def to(cls, source: BootSource) -> "Way":
        """The way to a source."""
        return cls(location_of(source), proxy_of(source), note_of(source))


@attrs.frozen
class Route:
    """The way to one source, and the agent that goes it (``common.redirects``)."""

    way: Way
    agent: IAgent

    @property
    def location(self) -> SourceLocation:
        """Where the source is."""
        return self.way.location

    def headers(self) -> Headers:
        """Those of each request: as whom it is asked."""
        authorization = self.location.authorization
        if not authorization:
            return Headers()
        return Headers({b"authorization": [authorization.encode("ascii")]})


class SourceOrigin:
    """One file of a source (``common.fetching.Origin``); the way there is looked up when asked."""

    def __init__(self, routes: "Routes", source: BootSource, path: str) -> None:
        way = routes.way(source)
        self._url = way.location.url_of(path)
        self.name = f"{self._url}{way.note}"
        self._routes = routes
        self._source = source

    async def open(self, offset: int) -> Any:
        """Ask for the bytes from ``offset`` on.

        Raises:
            TransferError: no answer.
            SourceError: a redirect that is not followed, or a proxy that wants a password.
            ConfigError: the source's CA file cannot be used.
        """
        route = await self._routes.to(self._source)
        origin = HttpOrigin(route.agent, self._url, headers=route.headers, note=route.way.note)
        return await origin.open(offset)


class Routes:
    """Knows the way to every source.

    Args:
        reactor: for connections.
        in_thread: reads CA files.
        connect_timeout_s: for one TCP connection.
        most_per_host: connections that are kept open to one host.
    """

    def __init__(
        self, reactor: Any, in_thread: Threads, *, connect_timeout_s: float, most_per_host: int
    ) -> None:
        self._reactor = reactor
        self._in_thread = in_thread
        self._connect_timeout_s = connect_timeout_s
        self._most_per_host = most_per_host
        self._agents: OrderedDict[tuple[Proxy | None, bytes], IAgent] = OrderedDict()
        self._pools: list[HTTPConnectionPool] = []
        # Credentials are in them: they go with whoever read or fetches from the source.
        self._ways: WeakKeyDictionary[BootSource, Way] = WeakKeyDictionary()

    def way(self, source: BootSource) -> Way:
        """What is known of the way to a source; worked out once, for there are many files."""
        known = self._ways.get(source)
        if known is None:
            known = self._ways[source] = Way.to(source)
        return known

    def heed_sources(self, sources: Iterable[BootSource]) -> None:
        """Forget proxies, and the passwords for them, that none of these sources has any more."""
        proxies = {proxy_of(each) for each in sources}
        for key in [key for key in self._agents if key[0] not in proxies]:
            del self._agents[key]  # what it has open closes by itself

    def origin(self, source: BootSource, path: str, size_bytes: int) -> SourceOrigin:  # noqa: ARG002 - Origins
        """One file of a source."""
        return SourceOrigin(self, source, path)

    async def to(self, source: BootSource) -> Route:
        """The way to a source.

        Raises:
            ConfigError: codes ``source-ca-missing`` and ``source-ca-unusable``.
        """
        trusted = b""
        if source.ca_file is not None:
            trusted = await self._in_thread(partial(certificates_of, source.ca_file))
        way = self.way(source)
        return Route(way, self._agent(way.proxy, trusted))

    async def close(self) -> None:
        """Close all connections that nobody uses now."""
        for pool in self._pools:
            await pool.closeCachedConnections()

    def _agent(self, proxy: Proxy | None, trusted: bytes) -> IAgent:
        key = (proxy, trusted)
        agent = self._agents.pop(key, None) or self._new_agent(proxy, trusted)
        self._agents[key] = agent
        if len(self._agents) > MOST_ROUTES:
            self._agents.popitem(last=False)  # what it has open closes by itself
            del self._pools[: -2 * MOST_ROUTES]
        return agent

    def _new_agent(self, proxy: Proxy | None, trusted: bytes) -> IAgent:
        pools = [HTTPConnectionPool(self._reactor), HTTPConnectionPool(self._reactor)]
        for pool in pools:
            pool.maxPersistentPerHost = self._most_per_host
        self._pools += pools
        return source_agent(
            self._reactor,
            *pools,
            tls=_policy(trusted),
            connect_timeout_s=self._connect_timeout_s,
            proxy=proxy,
        )


def note_of(source: BootSource) -> str:
    """What a message says about the way to a source; "" if there is nothing to say."""
    proxy = proxy_of(source)
    words = [f"through the proxy {proxy.name}"] if proxy else []
    words += [f"trusting {source.ca_file} only"] if source.ca_file else []
    return f" ({', '.join(words)})" if words else ""


async def ca_warning(fields: SourceFields, in_thread: Threads) -> str:
    """What is wrong with a CA file that may be given all the same; "" if nothing is.

    Raises:
        ConfigError: code ``source-ca-unusable``.
    """
    if fields.ca_file is None:
        return ""
    try:
        await in_thread(partial(certificates_of, fields.ca_file))
    except RackferryError as error:
        if error.code != "source-ca-missing":
            raise
        return error.line()
    return ""


def certificates_of(ca_file: str) -> bytes:
    """The certificates in a file, as PEM and nothing else; blocks.

    Raises:
        ConfigError: codes ``source-ca-missing`` (it is not there) and
            ``source-ca-unusable``.
    """
    try:
        found = x509.load_pem_x509_certificates(read_named(Path(ca_file)))
    except FileNotFoundError:
        raise ConfigError(
            f"the CA file {ca_file} is not there",
            object=ca_file,
            code="source-ca-missing",
            remedy="put it there, or give the source another ca_file=",
        ) from None
    except OSError as error:
        raise _unusable(ca_file, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _unusable(ca_file, "holds no certificate that can be read") from error
    return b"".join(each.public_bytes(Encoding.PEM) for each in found)


def _policy(trusted: bytes) -> IPolicyForHTTPS:
    """Believes those certificates; without any, whom this system believes."""
    if not trusted:
        return BrowserLikePolicyForHTTPS()
    found = x509.load_pem_x509_certificates(trusted)
    certificates = [Certificate.loadPEM(each.public_bytes(Encoding.PEM)) for each in found]
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(certificates))


def _unusable(ca_file: str, why: str) -> ConfigError:
    return ConfigError(
        f"the CA file {ca_file} {why}",
        object=ca_file,
        code="source-ca-unusable",
        remedy="give a file of certificates in PEM",
    )
