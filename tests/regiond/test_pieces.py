"""Pieces of blobs for racks that reach one port only."""

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from common.commands import BLOB_PIECE_BYTES
from common.digests import CHUNK_BYTES, sha256_hex
from common.errors import NotFound, RangeError, Refused
from common.serving import ByteSource
from regiond.pieces import MOST_OPEN, OPEN_S, Pieces
from regiond.racks.fleet import RackIdentity
from regiond.racks.images import visible
from tests.doubles.images import digests_of
from tests.doubles.streams import MemorySource, some_bytes
from tests.doubles.trust import FakeFleet

CONTENT = some_bytes(CHUNK_BYTES + 1000)
NAME = sha256_hex(CONTENT)
RACK = RackIdentity("rack-1", "1", "0")


class CountingFleet(FakeFleet):
    """Counts how often a blob is looked up."""

    looks = 0

    async def blob(self, rack: RackIdentity, sha256: str) -> ByteSource | None:
        self.looks += 1
        return await super().blob(rack, sha256)


class PiecesTests(TestCase):
    """What a rack may read, and how much at once."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fleet = CountingFleet()
        self.fleet.blobs[NAME] = MemorySource(CONTENT)
        self.fleet.digest_lists[NAME] = digests_of(CONTENT)
        self.allowed_bytes = BLOB_PIECE_BYTES
        self.pieces = Pieces(self.find, self.clock, self.pace)
        self.is_deleted = False

    async def find(self, sha256: str, of_digests: bool) -> ByteSource:
        if self.is_deleted:
            raise Refused("deleted")
        return await visible(self.fleet, RACK, sha256, of_digests=of_digests)

    async def pace(self, most_bytes: int) -> int:
        return min(most_bytes, self.allowed_bytes)

    async def read(
        self, offset: int, length: int, *, sha256: str = NAME, of_digests: bool = False
    ) -> tuple[bytes, int]:
        answer = await self.pieces.read(sha256, of_digests=of_digests, offset=offset, length=length)
        return answer["piece"], answer["size_bytes"]

    async def test_pieces(self) -> None:
        """The bytes asked for, of the blob or of its digest list, and the size of the whole."""
        for offset in (0, 7, CHUNK_BYTES - BLOB_PIECE_BYTES):
            piece = CONTENT[offset : offset + BLOB_PIECE_BYTES]
            self.assertEqual(await self.read(offset, BLOB_PIECE_BYTES), (piece, len(CONTENT)))
        self.assertEqual(await self.read(CHUNK_BYTES, 1000), (CONTENT[-1000:], len(CONTENT)))
        self.assertEqual(await self.read(32, 32, of_digests=True), (digests_of(CONTENT)[32:], 64))

    async def test_what_is_no_piece(self) -> None:
        """Nothing outside the bytes, across chunks, empty or too long is given."""
        wrong = [
            (-1, 1),
            (0, 0),
            (0, -1),
            (0, BLOB_PIECE_BYTES + 1),
            (CHUNK_BYTES - 1, 2),
            (len(CONTENT) - 1, 2),
            (len(CONTENT), 1),
            (10 * CHUNK_BYTES, 1),
        ]
        for offset, length in wrong:
            with self.assertRaises(RangeError):
                await self.read(offset, length)

    async def test_a_limit(self) -> None:
        """What may go now goes, and none if it is none; the size of the whole comes with it."""
        for self.allowed_bytes in (100, 0):
            piece = CONTENT[7 : 7 + self.allowed_bytes]
            self.assertEqual(await self.read(7, 500), (piece, len(CONTENT)))

    async def test_outside_the_view(self) -> None:
        """What the rack may not have does not exist for it."""
        for of_digests in (False, True):
            with self.assertRaises(NotFound):
                await self.read(0, 1, sha256="0" * 64, of_digests=of_digests)

    async def test_a_blob_that_leaves_the_view(self) -> None:
        """It is looked up again after a while, and not for each piece."""
        for _ in range(20):
            await self.read(0, 1)
        self.assertEqual(self.fleet.looks, 1)
        del self.fleet.blobs[NAME]
        self.clock.advance(OPEN_S)
        with self.assertRaises(NotFound):
            await self.read(0, 1)

    async def test_a_rack_that_is_deleted(self) -> None:
        """It opens nothing any more, and what is open is closed soon."""
        await self.read(0, 1)
        self.is_deleted = True
        with self.assertRaises(Refused):
            await self.read(0, 1, of_digests=True)
        self.clock.advance(OPEN_S)
        with self.assertRaises(Refused):
            await self.read(0, 1)

    async def test_few_are_open(self) -> None:
        """However many blobs are read, few are remembered; the oldest is looked up again."""
        for number in range(MOST_OPEN):
            name = f"{number:064x}"
            self.fleet.blobs[name] = MemorySource(CONTENT)
            await self.read(0, 1, sha256=name)
        await self.read(0, 1)
        self.assertEqual(self.fleet.looks, MOST_OPEN + 1)
        await self.read(0, 1, sha256="0" * 64)
        self.assertEqual(self.fleet.looks, MOST_OPEN + 2)
