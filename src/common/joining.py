"""A rack's side of enrolment: from a token to a certificate.

The order is the point (reference: k3s and kubeadm join the same way):

1. Make the rack's key and sync it. A retry then has the same key, and the region gives
   the same certificate again: a lost answer costs nothing.
2. Connect with TLS 1.3, believe nobody, send nothing.
3. Find the certificate with the pinned key in the presented chain, and verify the leaf
   against exactly that one for the host that was dialled.
4. Only now send the secret.
5. Check the answer against the key and the root, and write it durably.
"""

import contextlib
import ipaddress
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IHandshakeListener
from twisted.logger import Logger
from zope.interface import implementer

from common.commands import Enrol
from common.connecting import dial, unreachable
from common.conversation import Conversation
from common.durable import remove_file
from common.errors import (
    IntegrityError,
    RackferryError,
    StorageError,
    TransferError,
)
from common.identity import (
    Identity,
    Key,
    certificate_pem,
    check_times,
    rack_name,
    spki_sha256,
    utc_now,
)
from common.identity_files import load_or_create_rack_key, save_rack_certificate
from common.pools import Threads
from common.release import release
from common.tls import UnverifiedTLS, is_address, not_trusted
from common.tokens import Token, parse_token
from common.unbroken import unbroken

CONNECT_TIMEOUT_S = 10.0
ATTEMPTS = 3

T = TypeVar("T")

_log = Logger()


def trusted_root(
    chain: Sequence[x509.Certificate], pin: bytes, host: str, now: datetime
) -> x509.Certificate:
    """The authority that the token names, if the presented leaf is its word for ``host``.

    Raises:
        Refused: code ``region-not-trusted``: no certificate has the pinned key, or the leaf
            is not signed by it, or not for this host; code ``clock-skew``.
    """
    root = next((each for each in chain if spki_sha256(each.public_key()) == pin), None)
    if root is None:
        raise not_trusted(host, "it does not hold the key that the token names")
    leaf = chain[0]
    check_times(leaf, now, host)
    check_times(root, now, host)
    subject = x509.IPAddress(ipaddress.ip_address(host)) if is_address(host) else x509.DNSName(host)
    verifier = PolicyBuilder().store(Store([root])).time(now).build_server_verifier(subject)
    try:
        verifier.verify(leaf, [])
    except VerificationError as error:
        raise not_trusted(host, f"its certificate does not verify ({error})") from error
    return root


def signing_request(key: Key) -> bytes:
    """A request that proves possession of ``key``, and says nothing else (DER)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def checked_identity(
    answer: dict[str, Any], key: Key, pin: bytes, name: str, now: datetime
) -> Identity:
    """What the region gave, if it belongs to our key and to the pinned authority.

    Raises:
        IntegrityError: code ``enrol-answer``.
        Refused: code ``clock-skew``.
    """
    try:
        certificate = x509.load_pem_x509_certificate(answer["certificate_pem"])
        root = x509.load_pem_x509_certificate(answer["ca_pem"])
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise _wrong_answer("it is not signed by its own authority") from error
    if spki_sha256(root.public_key()) != pin:
        raise _wrong_answer("it is of another authority")
    if spki_sha256(certificate.public_key()) != spki_sha256(key.public_key()):
        raise _wrong_answer("it is for another key")
    if not rack_name(certificate) or name not in {"", rack_name(certificate)}:
        raise _wrong_answer(f'it is for "{rack_name(certificate)}"')
    check_times(certificate, now, rack_name(certificate))
    return Identity(key, certificate, root)


def _wrong_answer(why: str) -> IntegrityError:
    return IntegrityError(
        f"the certificate from the region cannot be used: {why}", code="enrol-answer"
    )


@implementer(IHandshakeListener)
class _Enrolling(Conversation):
    """The connection; ``secured`` fires when the handshake is over, either way."""

    def __init__(self, reactor: Any, peer: str) -> None:
        super().__init__({}, reactor, peer=peer, on_lost=self._ended)
        self.secured: Deferred[None] = Deferred()

    def handshakeCompleted(self) -> None:
        """Called by Twisted."""
        self.secured.callback(None)

    def _ended(self, reason: RackferryError) -> None:
        if not self.secured.called:
            self.secured.errback(reason)

    def chain(self) -> list[x509.Certificate]:
        """What the other side presented, the leaf first."""
        handle = self.transport.getHandle()
        return list(handle.get_peer_cert_chain(as_cryptography=True) or [])


async def _at_once(work: Callable[[], T], /) -> T:
    return work()


def _keep(identity: Identity, state_dir: Path, token_file: Path | None) -> None:
    """On a disk thread."""
    save_rack_certificate(
        state_dir, certificate_pem(identity.certificate), certificate_pem(identity.root)
    )
    if token_file is not None:
        with contextlib.suppress(StorageError):
            remove_file(token_file)


async def join(  # noqa: PLR0917 - what the shell and rackd both have at hand
    reactor: Any,
    host: str,
    port: int,
    token: str,
    name: str,
    state_dir: Path,
    *,
    token_file: Path | None = None,
    on_disk: Threads = _at_once,
    now: Callable[[], datetime] = utc_now,
) -> Identity:
    """Enrol this machine.

    Args:
        reactor: for connections and deadlines.
        host: the region, as its certificate names it: a host name or an address.
        port: its enrolment port.
        token: the text that ``create-token`` printed.
        name: the rack's name; "" for the name that the token was made for.
        state_dir: where ``key.pem``, ``cert.pem`` and ``ca.pem`` go.
        token_file: removed afterwards, if it can be.
        on_disk: runs what blocks on the disk; at once, where nothing else is to be done.
        now: the wall clock.

    Raises:
        WrongUsage: code ``token-malformed``.
        TransferError: code ``region-unreachable``: address, port and cause are named.
        Refused: codes ``region-not-trusted``, ``clock-skew``, or what the region says
            (``token-unknown``, ``token-expired``, ``token-used``, ``token-wrong-name``).
        StorageError, NoSpace, ConfigError: the state directory cannot be used.
    """
    parsed = parse_token(token)
    key = await unbroken(on_disk(partial(load_or_create_rack_key, state_dir)))
    wish = _Wish(parsed, name, key, now)
    attempt = 1
    while True:
        try:
            identity = await _attempt(reactor, host, port, wish)
            break
        except TransferError as error:
            # The answer was lost: the region gives the same one again for the same key.
            if error.code != "connection-lost" or attempt == ATTEMPTS:
                raise
            attempt += 1
    await unbroken(on_disk(partial(_keep, identity, state_dir, token_file)))
    _log.info("enrolled as {name}", name=identity.name)
    return identity


@attrs.frozen
class _Wish:
    """What one enrolment wants; ``name`` may be ""."""

    token: Token
    name: str
    key: Key
    now: Callable[[], datetime]


async def _attempt(reactor: Any, host: str, port: int, wish: _Wish) -> Identity:
    peer = f"{host}:{port}"
    conversation = _Enrolling(reactor, peer)
    await dial(reactor, (host, port), UnverifiedTLS(), conversation, CONNECT_TIMEOUT_S)
    try:
        await _secured(conversation, reactor, peer)
        trusted_root(conversation.chain(), wish.token.pin, host, wish.now())
        answer = await conversation.call(
            Enrol,
            secret=wish.token.secret,
            csr_der=signing_request(wish.key),
            name=wish.name,
            version=release(),
        )
    finally:
        await conversation.finish()
    return checked_identity(answer, wish.key, wish.token.pin, wish.name, wish.now())


async def _secured(conversation: _Enrolling, reactor: Any, peer: str) -> None:
    try:
        await conversation.secured.addTimeout(CONNECT_TIMEOUT_S, reactor)
    except DeferredTimeout:
        raise unreachable(peer, f"no TLS handshake within {CONNECT_TIMEOUT_S:g} s") from None
    except TransferError as error:
        raise unreachable(peer, error.message) from error
