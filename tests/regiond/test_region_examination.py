"""What one reading of a blob finds: where it is bad, or that only its digests are wrong."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.digests import DIGEST_BYTES, RunningDigest, sha256_hex
from regiond.examination import Examination

CHUNKS = [b"one" * 9, b"two" * 9, b"three" * 9, b"end"]
CONTENT = b"".join(CHUNKS)
DIGESTS = RunningDigest().add_all(CHUNKS)
LIST = b"".join(DIGESTS)
NAME = sha256_hex(CONTENT)


def examined(
    chunks: list[bytes] = CHUNKS, digests: list[bytes] = DIGESTS, listed: bytes = LIST
) -> Examination:
    """A reading of these."""
    found = Examination(NAME, len(CONTENT), listed)
    for chunk, digest in zip(chunks, digests, strict=True):
        found.add(chunk, digest)
    return found


def flipped(content: bytes, bit: int) -> bytes:
    """With one bit changed."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


class ExaminationTests(SynchronousTestCase):
    def test_right(self) -> None:
        """What is right is left alone; an empty blob, too."""
        found = examined()
        self.assertTrue(found.is_whole)
        self.assertIsNone(found.wrong_digests)
        empty = Examination(sha256_hex(b""), 0, RunningDigest().digests)
        self.assertTrue(empty.is_whole)
        self.assertIsNone(empty.wrong_digests)

    @given(st.integers(0, len(CHUNKS) - 1), st.data())
    def test_a_flipped_bit_is_found_where_it_is(self, seq: int, data: st.DataObject) -> None:
        """Whatever bit of whatever chunk: the blob is bad from that chunk on."""
        bit = data.draw(st.integers(0, 8 * len(CHUNKS[seq]) - 1))
        chunks = [*CHUNKS]
        chunks[seq] = flipped(chunks[seq], bit)
        found = examined(chunks)
        self.assertFalse(found.is_whole)
        self.assertEqual(found.first_bad, seq)
        self.assertIn(f"chunk {seq} has other bytes", found.fault)

    @given(st.integers(0, len(CHUNKS) - 1), st.integers(0, 8 * DIGEST_BYTES - 1))
    def test_a_wrong_digest_makes_no_bad_bytes(self, seq: int, bit: int) -> None:
        """Beside the chunk, in the list, or both: the bytes have the name, and digests are made anew."""
        beside = [*DIGESTS]
        beside[seq] = flipped(beside[seq], bit)
        listed = flipped(LIST, 8 * DIGEST_BYTES * seq + bit)
        for digests, digest_list, wrong in (
            (beside, LIST, {seq: DIGESTS[seq]}),
            (DIGESTS, listed, {}),
            (DIGESTS, b"", {}),
            (beside, listed, {seq: DIGESTS[seq]}),
        ):
            found = examined(digests=digests, listed=digest_list)
            self.assertTrue(found.is_whole)
            self.assertEqual(found.wrong_digests, wrong)
            self.assertEqual(found.digests, LIST)

    def test_what_cannot_be_had(self) -> None:
        """The first chunk that cannot be had is the first bad one, with the reason."""
        found = examined(CHUNKS[:2], DIGESTS[:2])
        found.lose("is missing")
        self.assertFalse(found.is_whole)
        self.assertEqual((found.first_bad, found.fault), (2, "chunk 2 is missing"))

    def test_bytes_of_another_name(self) -> None:
        """Where chunks and digests agree and the name does not, nothing of it is believed."""
        found = Examination(sha256_hex(b"other"), len(CONTENT), LIST)
        for chunk, digest in zip(CHUNKS, DIGESTS, strict=True):
            found.add(chunk, digest)
        self.assertFalse(found.is_whole)
        self.assertEqual((found.first_bad, found.fault), (0, "has other bytes than its name says"))

    def test_too_few_bytes(self) -> None:
        """A blob is not whole before its last chunk was read."""
        self.assertFalse(examined(CHUNKS[:3], DIGESTS[:3]).is_whole)
