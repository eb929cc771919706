"""Names and running digest lists."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from common.digests import (
    CHUNK_BYTES,
    RunningDigest,
    chunk_count,
    digest_at,
    digest_list,
    is_digest_list_of,
    is_sha256,
    sha256_hex,
)
from tests.doubles.streams import chunks_of, some_bytes


class DigestListTests(SynchronousTestCase):
    """``digest_list`` and its checks."""

    def test_each_entry_is_the_digest_of_all_bytes_so_far(self) -> None:
        """Entry n is the SHA-256 of the first n+1 chunks, the last one the blob's name."""
        content = some_bytes(2 * CHUNK_BYTES + 5)
        digests = digest_list(chunks_of(content))
        for seq in range(3):
            end = (seq + 1) * CHUNK_BYTES
            self.assertEqual(digest_at(digests, seq), hashlib.sha256(content[:end]).digest())
        self.assertTrue(is_digest_list_of(digests, sha256_hex(content), len(content)))

    def test_an_empty_blob_has_one_entry(self) -> None:
        """The list of nothing holds the digest of nothing."""
        self.assertEqual(digest_list([]), hashlib.sha256().digest())
        self.assertTrue(is_digest_list_of(digest_list([]), sha256_hex(b""), 0))

    def test_a_list_of_another_blob_is_refused(self) -> None:
        """A wrong length or a wrong last entry does not belong to the blob."""
        content = some_bytes(CHUNK_BYTES + 1)
        digests, name = digest_list(chunks_of(content)), sha256_hex(content)
        self.assertFalse(is_digest_list_of(digests[:-1], name, len(content)))
        self.assertFalse(is_digest_list_of(digests, name, CHUNK_BYTES))
        self.assertFalse(is_digest_list_of(digests, sha256_hex(b"x"), len(content)))

    @given(st.integers(0, 2**60))
    def test_chunks_hold_the_bytes_exactly(self, size_bytes: int) -> None:
        """So many chunks are enough, and one less is not."""
        count = chunk_count(size_bytes)
        self.assertTrue((count - 1) * CHUNK_BYTES < size_bytes or count == 0)
        self.assertTrue(count * CHUNK_BYTES >= size_bytes)


class RunningDigestTests(SynchronousTestCase):
    """``RunningDigest``."""

    @given(st.lists(st.binary(max_size=20), max_size=5))
    @settings(max_examples=30)
    def test_counts_what_was_added(self, chunks: list[bytes]) -> None:
        """Size, number of chunks and name follow what was added."""
        running = RunningDigest()
        running.add_all(chunks)
        content = b"".join(chunks)
        self.assertEqual(running.size_bytes, len(content))
        self.assertEqual(running.chunks, len(chunks))
        self.assertEqual(running.hexdigest(), sha256_hex(content))

    def test_a_wrong_chunk_is_not_added(self) -> None:
        """``add_if`` says what it found and stays where it was."""
        running, right = RunningDigest(), RunningDigest()
        wanted = right.add(b"right")
        self.assertNotEqual(running.add_if(b"wrong", wanted), wanted)
        self.assertEqual((running.size_bytes, running.chunks), (0, 0))
        self.assertEqual(running.add_if(b"right", wanted), wanted)
        self.assertEqual(running.digests, right.digests)

    def test_a_copy_goes_its_own_way(self) -> None:
        """What is added to a copy does not reach the original."""
        running = RunningDigest()
        running.add(b"a")
        running.copy().add(b"b")
        self.assertEqual(running.hexdigest(), sha256_hex(b"a"))


class NameTests(SynchronousTestCase):
    """``is_sha256``."""

    def test_only_lower_case_hexadecimal_of_64_digits_is_a_name(self) -> None:
        """Anything else is refused: names become paths and columns."""
        self.assertTrue(is_sha256("0a" * 32))
        for wrong in ("0A" * 32, "0a" * 31, "0a" * 32 + "\n", "../" * 21 + "x", ""):
            self.assertFalse(is_sha256(wrong), wrong)
