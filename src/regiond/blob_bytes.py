"""The bytes of a blob as they are served: chunks from the database, through the cache."""

import attrs

from regiond.chunk_cache import ChunkCache
from regiond.store.blobs import Blob


@attrs.frozen
class BlobBytes:
    """A complete blob as a ``common.serving.ByteSource``."""

    blob: Blob
    cache: ChunkCache
    content_type: str = "application/octet-stream"

    @property
    def size_bytes(self) -> int:
        """The blob's size."""
        return self.blob.size_bytes

    @property
    def etag(self) -> str:
        """The blob's name, quoted."""
        return f'"{self.blob.sha256}"'

    async def read_chunk(self, seq: int) -> bytes:
        """One chunk."""
        return await self.cache.get(self.blob.id, seq)
