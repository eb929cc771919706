"""SHA-256 names and running digest lists (pure).

A blob is named by its SHA-256. Its **digest list** holds the running SHA-256 after each
1 MiB chunk, 32 raw bytes each; the last one is the blob's name. One pass of hashing thus
tells, chunk by chunk, whether the bytes so far are right, and names the blob at the end.
An empty blob has a list of one entry, the digest of nothing.
"""

import hashlib
import re
from collections.abc import Iterable

CHUNK_BYTES = 1 << 20
DIGEST_BYTES = 32

_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_sha256(text: str) -> bool:
    """Whether ``text`` is a SHA-256 in lower-case hexadecimal."""
    return _SHA256.fullmatch(text) is not None


def sha256_hex(content: bytes) -> str:
    """The name of ``content``."""
    return hashlib.sha256(content).hexdigest()


def chunk_count(size_bytes: int) -> int:
    """How many chunks hold ``size_bytes``; none for an empty blob."""
    return -(-size_bytes // CHUNK_BYTES)


def digest_at(digests: bytes, seq: int) -> bytes:
    """The running digest after chunk ``seq`` (from 0)."""
    return digests[seq * DIGEST_BYTES : (seq + 1) * DIGEST_BYTES]


def is_digest_list_of(digests: bytes, sha256: str, size_bytes: int) -> bool:
    """Whether a list has the right length for the size, and ends in the blob's name."""
    entries = max(1, chunk_count(size_bytes))
    return len(digests) == entries * DIGEST_BYTES and digests[-DIGEST_BYTES:].hex() == sha256


class RunningDigest:
    """The SHA-256 of what was added so far, chunk by chunk."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._digests = bytearray()
        self.size_bytes = 0

    def add(self, chunk: bytes) -> bytes:
        """Add the next chunk; returns the running digest after it (32 bytes)."""
        self._hash.update(chunk)
        self.size_bytes += len(chunk)
        digest = self._hash.digest()
        self._digests += digest
        return digest

    def add_if(self, chunk: bytes, wanted: bytes | None) -> bytes:
        """The running digest with the next chunk, which is added only if that is ``wanted``.

        ``wanted`` None adds any chunk.
        """
        if wanted is None:
            return self.add(chunk)
        tried = self._hash.copy()
        tried.update(chunk)
        found = tried.digest()
        if found == wanted:
            self._hash = tried
            self.size_bytes += len(chunk)
            self._digests += found
        return found

    def add_all(self, chunks: Iterable[bytes]) -> list[bytes]:
        """Add several chunks; returns the running digest after each."""
        return [self.add(chunk) for chunk in chunks]

    def copy(self) -> "RunningDigest":
        """An independent continuation, to try a chunk without committing to it."""
        twin = RunningDigest()
        twin._hash = self._hash.copy()
        twin._digests = bytearray(self._digests)
        twin.size_bytes = self.size_bytes
        return twin

    def hexdigest(self) -> str:
        """The SHA-256 of everything so far."""
        return self._hash.hexdigest()

    @property
    def chunks(self) -> int:
        """How many chunks were added."""
        return len(self._digests) // DIGEST_BYTES

    @property
    def digests(self) -> bytes:
        """The digest list so far (of an empty blob: the digest of nothing)."""
        return bytes(self._digests) or self._hash.digest()


def digest_list(chunks: Iterable[bytes]) -> bytes:
    """The digest list of a whole blob given in chunks."""
    running = RunningDigest()
    running.add_all(chunks)
    return running.digests
