"""What the region shows as a mirror of its sources: the same as its racks do.

Upstream's signed documents, byte for byte, and every held file under the path by which
these name it. Nothing but the database is asked, so it goes on while a source is down.
"""

from collections.abc import Callable

from common.errors import NotFound
from common.names import is_mirror_path
from common.serving import content_type_of
from regiond.blob_bytes import BlobBytes
from regiond.chunk_cache import ChunkCache
from regiond.store import mirrors
from regiond.store.database import Database

_MOST_ID = (1 << 63) - 1  # what the database can be asked for


class Mirror:
    """The mirrors of all sources.

    Args:
        database: the store.
        cache: of chunks.
        now: seconds since the epoch.
    """

    def __init__(self, database: Database, cache: ChunkCache, now: Callable[[], float]) -> None:
        self._database = database
        self._cache = cache
        self._now = now

    async def find(self, path: str) -> BlobBytes:
        """What stands at ``<source id>/<upstream path>``.

        Raises:
            NotFound: nothing that is shown.
        """
        source_id, _, upstream_path = path.partition("/")
        if is_mirror_path(f"mirror/{path}") and int(source_id) <= _MOST_ID:
            found = await self._database.read(
                mirrors.find_mirrored, int(source_id), upstream_path, self._now()
            )
            if found is not None:
                return BlobBytes(found, self._cache, content_type_of(path))
        raise NotFound(
            "no source's mirror shows such a file",
            object=f"/mirror/{path[:200]}",
            remedy="mirrors are below /mirror/SOURCE-ID/; boot-sources read lists the ids",
        )
