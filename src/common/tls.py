"""TLS 1.3 between racks and regions: who presents what, and who is believed.

Three ways to talk, and no fourth:

* ``ServerTLS(identity, asks_certificate=False)``: the enrolment port. Presents the server
  certificate and the authority's, so that a rack can compare the latter with its pin.
* ``ServerTLS(identity, asks_certificate=True)``: control and images. OpenSSL itself
  demands a certificate of the region's own authority before a byte is read.
* ``RackTLS(identity)``: a rack, that believes its own authority only, for exactly the
  name or address it dialled. ``UnverifiedTLS`` is for enrolment, which verifies by itself.

TLS 1.3 only, no tickets, no session cache: a resumed session would skip the certificate.
A rack's handshake ends *before* the region has refused its certificate, so "connected"
means that the first answer has come.
"""

import ipaddress
from collections.abc import Callable
from datetime import datetime

import service_identity
from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from common.bulk_tls import BulkConnection
from common.errors import RackferryError, Refused
from common.identity import Identity, check_times

_log = Logger()

# OpenSSL's X509_V_ERR_*: the certificate is not valid yet; it has expired.
_TIME_ERRORS = frozenset({9, 10})


def _context(identity: Identity | None) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if identity is not None:
        context.use_privatekey(identity.key)
        context.use_certificate(identity.certificate)
        context.add_extra_chain_cert(identity.root)
        store = context.get_cert_store()
        if store is not None:
            store.add_cert(crypto.X509.from_cryptography(identity.root))
    return context


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """The region's side, for ``wrapServerTLS``.

    Attributes:
        asks_certificate: whether only holders of a certificate of the same authority
            are let in.
        identity: what is presented.
    """

    def __init__(self, identity: Identity, *, asks_certificate: bool) -> None:
        self.asks_certificate = asks_certificate
        self.use(identity)

    def use(self, identity: Identity) -> None:
        """Present this identity from the next connection on (a renewed certificate)."""
        self.identity = identity
        context = _context(identity)
        if self.asks_certificate:
            mode = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
            context.set_verify(mode, lambda *arguments: bool(arguments[-1]))
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: ARG002 - Twisted's
        """One connection (called by Twisted)."""
        return BulkConnection(self._context, None)


@implementer(IOpenSSLClientConnectionCreator)
class UnverifiedTLS:
    """A client that believes nobody yet: the caller judges the chain before it speaks."""

    def __init__(self) -> None:
        self._context = _context(None)
        self._context.set_verify(SSL.VERIFY_NONE)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: ARG002 - Twisted's
        """One connection (called by Twisted)."""
        return BulkConnection(self._context, None)


@implementer(IOpenSSLClientConnectionCreator)
class _ClientTLS:
    """A rack's connections to one name or address."""

    def __init__(self, context: SSL.Context, host: str, now: Callable[[], datetime]) -> None:
        self._context = context
        self._host = host
        self._now = now

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: ARG002 - Twisted's
        """One connection (called by Twisted)."""
        connection = BulkConnection(self._context, None)
        mode = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        connection.set_verify(mode, self._verify)
        if not is_address(self._host):
            connection.set_tlsext_host_name(self._host.encode("idna"))
        return connection

    def _verify(
        self, connection: SSL.Connection, presented: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        # An exception must not cross OpenSSL; the connection's Twisted protocol (its app
        # data) is told the reason, and ends with it.
        try:
            self._judge(presented.to_cryptography(), error, depth, bool(ok))
        except RackferryError as refusal:
            connection.get_app_data().failVerification(Failure(refusal))
            return False
        except Exception:  # noqa: BLE001 - see above; refused, and logged as the bug it is
            _log.failure("while verifying a certificate")
            return False
        return True

    def _judge(self, presented: x509.Certificate, error: int, depth: int, ok: bool) -> None:
        if error in _TIME_ERRORS:
            check_times(presented, self._now(), self._host)
        if not ok:
            raise not_trusted(self._host, f"its certificate was refused (OpenSSL error {error})")
        if depth == 0:
            check_host(presented, self._host)


@implementer(IPolicyForHTTPS)
class RackTLS:
    """A rack's side: proves who it is, believes its own authority only.

    ``for_host`` gives what ``wrapClientTLS`` wants; the object itself is what
    ``twisted.web.client.Agent`` wants as its policy.
    """

    def __init__(self, identity: Identity, now: Callable[[], datetime]) -> None:
        self._now = now
        self.use(identity)

    def use(self, identity: Identity) -> None:
        """Be this one from the next connection on (a rack that was enrolled again)."""
        self._context = _context(identity)

    def for_host(self, host: str) -> IOpenSSLClientConnectionCreator:
        """Connections to ``host``, a name or an address, and to nobody else."""
        creator: IOpenSSLClientConnectionCreator = _ClientTLS(self._context, host, self._now)
        return creator

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:  # noqa: ARG002 - Twisted's
        """Called by Twisted's Agent."""
        return self.for_host(hostname.decode("ascii").strip("[]"))


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_host(presented: x509.Certificate, host: str) -> None:
    """Raises ``Refused`` (``region-not-trusted``) unless the certificate names ``host``."""
    check = verify_certificate_ip_address if is_address(host) else verify_certificate_hostname
    try:
        check(presented, host)
    except (service_identity.VerificationError, service_identity.CertificateError) as error:
        raise not_trusted(
            host, "its certificate does not name the host that was dialled"
        ) from error


def not_trusted(host: str, why: str) -> Refused:
    """The error of a region that is not the one it should be."""
    return Refused(
        f"the region is not trusted: {why}",
        object=host,
        code="region-not-trusted",
        remedy="check the address; if the region's keys were replaced, enrol with a new token",
    )


# What OpenSSL says when the other side refuses our certificate (TLS alerts), and what it means.
_ALERTS = {
    "certificate required": ("certificate-missing", "the region demands a certificate"),
    "certificate expired": ("certificate-expired", "the region says our certificate has expired"),
    "unknown ca": ("certificate-unknown-authority", "our certificate is not of that region"),
    "bad certificate": ("certificate-refused", "the region refuses our certificate"),
    "unsupported certificate": ("certificate-refused", "the region refuses our certificate"),
    "certificate unknown": ("certificate-refused", "the region refuses our certificate"),
}


def openssl_reasons(error: SSL.Error) -> str:
    """What OpenSSL says, without its error numbers."""
    queue = error.args[0] if error.args else None
    if isinstance(queue, list) and queue:
        return " ".join(str(entry[-1]) for entry in queue)
    return str(error) or type(error).__name__


def refusal(error: SSL.Error, peer: str) -> RackferryError | None:
    """What a failed handshake means, if the peer told us with a TLS alert; else None."""
    reasons = openssl_reasons(error)
    for words, (code, message) in _ALERTS.items():
        if words in reasons:
            return Refused(
                message,
                object=peer,
                code=code,
                remedy="compare the clocks; else enrol again: rack-controllers create-token",
            )
    return None


def peer_certificate(transport: object) -> x509.Certificate | None:
    """The certificate that the other side of a TLS connection has proved to own."""
    get = getattr(transport, "getPeerCertificate", None)
    presented = get() if get is not None else None
    return None if presented is None else presented.to_cryptography()
