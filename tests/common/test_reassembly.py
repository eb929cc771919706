"""Laws of a body that comes in pieces, in any order."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.commands import BLOB_PIECE_BYTES
from common.digests import CHUNK_BYTES
from common.reassembly import WINDOW, Reassembly

CONTENT = bytes(range(251)) * 13_000  # a little more than three chunks


class ReassemblyTests(SynchronousTestCase):
    """Asking and putting together."""

    @given(
        offset=st.integers(0, len(CONTENT) - 1),
        size_bytes=st.integers(1, len(CONTENT)),
        choices=st.lists(st.integers(0, WINDOW - 1), min_size=1),
    )
    def test_any_order(self, offset: int, size_bytes: int, choices: list[int]) -> None:
        """Whatever arrives first, the bytes come out in order, whole, and never many at once."""
        stop = min(len(CONTENT), offset + size_bytes)
        reassembly = Reassembly(offset, stop)
        waiting: list[tuple[int, int]] = []
        given_out: list[bytes] = []
        turn = 0
        while not reassembly.is_over:
            while wanted := reassembly.ask():
                waiting.append(wanted)
            ends = {at + length for at, length in waiting}
            self.assertLessEqual(max(ends) - offset - sum(map(len, given_out)), WINDOW << 16)
            at, length = waiting.pop(choices[turn % len(choices)] % len(waiting))
            turn += 1
            given_out += reassembly.arrived(at, CONTENT[at : at + length])
        self.assertEqual(b"".join(given_out), CONTENT[offset:stop])
        self.assertEqual(waiting, [])

    @given(offset=st.integers(0, 3 * CHUNK_BYTES))
    def test_pieces_fit(self, offset: int) -> None:
        """A piece is carried by AMP and lies within one chunk; a chunk is 17 of them."""
        reassembly = Reassembly(offset, 4 * CHUNK_BYTES)
        at, length = reassembly.ask() or (0, 0)
        self.assertTrue(0 < length <= BLOB_PIECE_BYTES <= 65_535)
        self.assertEqual(at // CHUNK_BYTES, (at + length - 1) // CHUNK_BYTES)
        self.assertEqual(-(-CHUNK_BYTES // BLOB_PIECE_BYTES), 17)

    def test_wrong_length(self) -> None:
        """A piece that is not as long as it was asked for is refused."""
        reassembly = Reassembly(0, 100)
        reassembly.ask()
        self.assertRaises(ValueError, reassembly.arrived, 0, b"x" * 99)
