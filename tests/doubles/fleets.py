"""A region's racks on the real store, in memory of nobody else."""

import itertools
from datetime import UTC, datetime

from cryptography import x509
from twisted.internet.task import Clock

from common.errors import RackferryError
from common.identity import new_authority, new_key, serial_of
from common.joining import signing_request
from common.tokens import parse_token
from regiond.chunk_cache import ChunkCache
from regiond.fleet import RegionFleet
from regiond.racks.fleet import RackIdentity
from regiond.store import blobs, generations
from tests.doubles.stores import NOW, OnSQLite, Store, content, finished

AUTHORITY = new_authority(datetime.fromtimestamp(NOW, UTC))
PROBLEM = {"code": "no-space", "object": "disk", "message": "is full", "remedy": "free space"}


def new_request() -> bytes:
    """What a machine with a new key sends with its token."""
    return signing_request(new_key())


class FleetCase(Store, OnSQLite):
    """A region with a published image, if that is wanted, and racks that enrol."""

    is_published = True

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.is_importing = False
        counter = itertools.count(1)

        async def read_chunk(blob_id: int, seq: int) -> bytes:
            return await self.database.read(blobs.read_chunk, blob_id, seq)

        self.fleet = RegionFleet(
            self.database,
            ChunkCache(read_chunk),
            AUTHORITY,
            "region-1",
            clock=self.clock,
            now=lambda: NOW + self.clock.seconds(),
            random_bytes=lambda size: next(counter).to_bytes(size, "big"),
            is_importing=lambda: self.is_importing,
        )
        self.take_lease()
        self.root = content(2_500_000)
        if self.is_published:
            self.publish([self.root])

    def enrol(self, name: str = "rack-1") -> RackIdentity:
        """A rack, through token and signing request."""
        token, _ = finished(self.fleet.create_token(name))
        return self.enrol_with(token, new_request())

    def enrol_with(self, token: str, request: bytes, name: str = "") -> RackIdentity:
        secret = parse_token(token).secret
        enrolled = finished(self.fleet.enrol(secret, request, name))
        serial = serial_of(x509.load_pem_x509_certificate(enrolled.certificate_pem))
        known = finished(self.fleet.rack_by_serial(serial))
        assert known is not None
        return known

    def view(self) -> tuple[int, str]:
        return self.read(generations.current_generation)

    def refusal(self, work: object, family: type[RackferryError]) -> RackferryError:
        with self.assertRaises(family) as caught:
            finished(work)  # type: ignore[arg-type]  # a coroutine
        return caught.exception
