"""One reading of a complete blob, chunk by chunk: is it still what its name says (pure).

Each chunk's running digest is known twice: beside the chunk, and in the blob's digest list.
A chunk is taken for bad where both contradict it; if in the end the bytes have the name,
they are right all the same, and the digests were wrong.
"""

from collections.abc import Mapping

from common.digests import RunningDigest, digest_at


class Examination:
    """See the module.

    Args:
        sha256: the blob's name.
        size_bytes: its size.
        digests: its digest list, as far as it can be read.
    """

    def __init__(self, sha256: str, size_bytes: int, digests: bytes) -> None:
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._listed = digests
        self._running = RunningDigest()
        self._contradicted: dict[int, bytes] = {}
        self._suspect: int | None = None
        self._loss = ""

    def add(self, content: bytes, digest: bytes) -> None:
        """The next chunk, and the digest beside it."""
        seq = self._running.chunks
        found = self._running.add(content)
        if found != digest:
            self._contradicted[seq] = found
        if found not in {digest, digest_at(self._listed, seq)} and self._suspect is None:
            self._suspect = seq

    def lose(self, why: str) -> None:
        """The next chunk cannot be had; nothing is read after it."""
        self._loss = why
        if self._suspect is None:
            self._suspect = self._running.chunks

    @property
    def is_whole(self) -> bool:
        """Whether all bytes were there and are right."""
        return (
            not self._loss
            and self._running.size_bytes == self._size_bytes
            and self._running.hexdigest() == self._sha256
        )

    @property
    def first_bad(self) -> int:
        """The number of the first bad chunk of a blob that is not whole."""
        return self._suspect or 0

    @property
    def fault(self) -> str:
        """What is wrong with a blob that is not whole."""
        if self._suspect is None:
            return "has other bytes than its name says"
        return f"chunk {self._suspect} {self._loss or 'has other bytes than its digest says'}"

    @property
    def digests(self) -> bytes:
        """The right digest list of a blob that is whole."""
        return self._running.digests

    @property
    def wrong_digests(self) -> Mapping[int, bytes] | None:
        """Of a blob that is whole: the right digests of chunks that had a wrong one beside them.

        None if nothing is wrong, there and in the list.
        """
        if not self._contradicted and self._listed == self.digests:
            return None
        return self._contradicted
