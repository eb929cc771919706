"""Enrolment: the port where a machine with a token becomes a rack.

It knows one command. A peer has 5 s for it (TLS included) and 64 KiB; an address that
failed five times may try once a minute; all together may try 20 times a second.

``checked_request`` and ``issue`` are the decisions; the listener is below.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from common.commands import Enrol
from common.conversation import Conversation, Manners
from common.errors import Busy, InternalError, RackferryError, Refused, WrongUsage
from common.identity import Authority, certificate_pem, serial_of, spki_sha256
from common.names import is_segment
from regiond.attempts import AttemptRate
from regiond.racks.fleet import Fleet

MAX_REQUEST_BYTES = 16 * 1024
MAX_PENDING = 256
AFTERWARDS_S = 5.0

_log = Logger()

PublicKey = ec.EllipticCurvePublicKey


@attrs.frozen
class IssuedCertificate:
    """A rack's certificate as the region keeps it.

    ``serial`` and ``spki_sha256`` are lower-case hexadecimal, ``not_after`` seconds since
    the epoch.
    """

    serial: str
    spki_sha256: str
    not_after: float
    pem: bytes


def checked_request(csr_der: bytes) -> PublicKey:
    """The key of a signing request; its subject and extensions count for nothing.

    Raises:
        Refused: code ``csr-invalid``: not a request, not signed by its own key, or the key
            is not ECDSA P-256.
    """
    if len(csr_der) > MAX_REQUEST_BYTES:
        raise _invalid(f"{len(csr_der)} bytes are too many")
    try:
        request = x509.load_der_x509_csr(csr_der)
        key = request.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise _invalid("its key is not ECDSA P-256")
        if not request.is_signature_valid:
            raise _invalid("it is not signed with its own key")
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise _invalid("it cannot be read") from None
    return key


def _invalid(why: str) -> Refused:
    return Refused(f"the signing request is refused: {why}", code="csr-invalid")


def checked_name(name: str) -> str:
    """A rack's name, which may become part of a path.

    Raises:
        WrongUsage: code ``rack-name``.
    """
    if not is_segment(name):
        raise WrongUsage(
            "a rack's name consists of letters, digits and . _ ~ + -",
            object=name[:80],
            code="rack-name",
        )
    return name


def key_sha256(key: PublicKey) -> str:
    """How the region names a rack's key: lower-case hexadecimal."""
    return spki_sha256(key).hex()


def issue(authority: Authority, name: str, key: PublicKey, now: datetime) -> IssuedCertificate:
    """A certificate for the rack ``name`` with that key."""
    certificate = authority.issue_rack(name, key, now)
    return IssuedCertificate(
        serial_of(certificate),
        key_sha256(key),
        certificate.not_valid_after_utc.timestamp(),
        certificate_pem(certificate),
    )


def _too_often(address: str) -> Busy:
    return Busy(
        "too many attempts to enrol",
        object=address,
        code="enrol-too-often",
        remedy="wait a minute, then try again with a fresh token",
    )


class Enrolment(ServerFactory):
    """The enrolment listener. ``fleet.enrol`` decides; this limits who may ask, how often."""

    noisy = False

    def __init__(self, fleet: Fleet, clock: IReactorTime) -> None:
        self._fleet = fleet
        self._clock = clock
        self._rate = AttemptRate(_too_often)
        self._pending = 0

    def buildProtocol(self, addr: IAddress | None) -> Conversation | None:
        """A connection; None, which closes it, if too many are open (called by Twisted)."""
        if self._pending >= MAX_PENDING:
            return None
        self._pending += 1
        address = str(getattr(addr, "host", addr))

        async def enrol(
            secret: bytes, csr_der: bytes, name: str, version: str
        ) -> Mapping[str, Any]:
            return await self._enrol(address, secret, csr_der, name, version)

        return Conversation(
            {Enrol: enrol},
            self._clock,
            Manners(first=Enrol, silence_limit_s=AFTERWARDS_S, throttles=True),
            peer=f"{address} (enrolling)",
            on_lost=self._lost,
        )

    async def _enrol(
        self, address: str, secret: bytes, csr_der: bytes, name: str, version: str
    ) -> Mapping[str, Any]:
        self._rate.admit(address, self._clock.seconds())
        try:
            enrolled = await self._fleet.enrol(secret, csr_der, name)
        except InternalError:
            raise
        except RackferryError as error:
            self._rate.failed(address, self._clock.seconds())
            _log.info("{address} did not enrol: {why}", address=address, why=error.line())
            raise
        _log.info(
            "{address} enrolled as {name} (version {version})",
            address=address,
            name=name or "its token says",
            version=version[:40],
        )
        return attrs.asdict(enrolled)

    def _lost(self, reason: RackferryError) -> None:
        self._pending -= 1
        _log.debug("an enrolling connection ended: {reason}", reason=reason.line())
