"""What the doors for racks need of the region, and who is knocking.

``Fleet`` is the whole of it: enrolment, sessions and images call nothing else. Who a rack
is, its certificate alone says; that it may still come in, the fleet says, each time.
"""

from typing import Protocol

import attrs

from common.errors import Refused
from common.identity import rack_name, serial_of, spki_sha256
from common.serving import ByteSource
from common.tls import peer_certificate


@attrs.frozen
class RackIdentity:
    """A rack as the region knows it. ``spki_sha256``: of its key, lower-case hexadecimal."""

    name: str
    serial: str
    spki_sha256: str


@attrs.frozen
class Enrolled:
    """What a rack gets for its token."""

    certificate_pem: bytes
    ca_pem: bytes
    region_name: str


class Fleet(Protocol):
    """The region's use-cases as racks see them; every one may raise a ``RackferryError``."""

    async def enrol(self, secret: bytes, csr_der: bytes, name: str) -> Enrolled:
        """A certificate for a one-time secret; the same one again for the same key."""

    async def rack_by_serial(self, serial: str) -> RackIdentity | None:
        """The active rack with that certificate; None if deleted, revoked or unknown."""

    async def seen(self, rack: RackIdentity) -> None:
        """The rack has said something just now. Called often: keep it in memory."""

    def sent(self, rack: RackIdentity, size_bytes: int) -> None:
        """The rack was sent so many bytes of images."""

    async def greeted(self, rack: RackIdentity, rack_now: float) -> None:
        """The rack has said hello, and what its clock shows (seconds since the epoch)."""

    async def current_view(self, rack: RackIdentity, held: str) -> tuple[int, str]:
        """Generation and digest of the rack's view; ``held`` is the digest it holds, or ""."""

    async def document(self, rack: RackIdentity, sha256: str, offset: int) -> tuple[bytes, int]:
        """A piece of at most ``PIECE_BYTES`` from ``offset``, and the size of the whole.

        Raises:
            NotFound: no such document for this rack.
        """

    async def report_progress(
        self, rack: RackIdentity, generation: int, fetched_bytes: int, total_bytes: int
    ) -> None:
        """How far a sync is."""

    async def report_sync(
        self, rack: RackIdentity, generation: int, held: str, problem: str
    ) -> None:
        """How a sync ended; ``problem`` is JSON of an error object, or ""."""

    async def blob(self, rack: RackIdentity, sha256: str) -> ByteSource | None:
        """The bytes of a blob; None if it is not in the rack's view."""

    async def digests(self, rack: RackIdentity, sha256: str) -> bytes | None:
        """The digest list of a blob; None if it is not in the rack's view."""


async def rack_of(fleet: Fleet, transport: object) -> RackIdentity:
    """Which rack is at the other end of a TLS connection.

    Raises:
        Refused: no certificate, or not one of an active rack.
    """
    certificate = peer_certificate(transport)
    if certificate is None:
        raise Refused("no certificate was presented", code="certificate-missing")
    serial, name = serial_of(certificate), rack_name(certificate)
    rack = await fleet.rack_by_serial(serial)
    key = spki_sha256(certificate.public_key()).hex()
    if rack is None or (rack.name, rack.serial, rack.spki_sha256) != (name, serial, key):
        raise Refused(
            f"the certificate {serial} is not that of an active rack",
            object=name,
            code="rack-unknown",
            remedy="enrol again: rack-controllers create-token on the region, then on the rack "
            "join and systemctl restart rackd",
        )
    return rack
