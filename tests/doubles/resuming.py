"""Fetches blobs at once and chunk by chunk into a real library, as a transfer does."""

from collections.abc import Callable

from common.digests import CHUNK_BYTES
from common.images import File
from rackd.library import Library
from tests.doubles.images import digests_of


class ResumingFetches:
    """Has all blobs; resumes what is in a partial file.

    Attributes:
        library: where they go.
        blobs: what can be fetched, by SHA-256.
        before_chunk: called before each chunk is written.
        fetched_bytes: what was written since the last look at it.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.blobs: dict[str, bytes] = {}
        self.before_chunk: Callable[[], None] = lambda: None
        self.fetched_bytes = 0

    async def fetch(self, file: File, progress: Callable[[int], None]) -> None:
        """As ``rackd.blobs.BlobFetcher.fetch``."""
        blob = self.blobs[file.sha256]
        sink = self.library.sink(file, digests_of(blob))
        try:
            running = await sink.resume()
            for offset in range(running.size_bytes, len(blob), CHUNK_BYTES):
                self.before_chunk()
                chunk = blob[offset : offset + CHUNK_BYTES]
                await sink.write([chunk], [])
                self.fetched_bytes += len(chunk)
                progress(offset + len(chunk))
            await sink.finish(b"")
        finally:
            await sink.close()
