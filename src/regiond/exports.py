"""What can be asked of a region by an admin who carries its images away.

The region says what a bundle is to have, and gives the bytes; the shell writes them, as the
user who typed it.
"""

from collections.abc import Sequence

from common.bundles import BundleSource, Manifest
from common.errors import NotFound
from common.images import Image, View
from common.serving import ByteSource
from regiond.blob_bytes import BlobBytes
from regiond.bundle_layout import lay_out
from regiond.chunk_cache import ChunkCache
from regiond.restrictions import checked, without_meaning
from regiond.rows import shown_url
from regiond.store import blobs, generations, images, source_documents, sources
from regiond.store.database import Database


class Exports:
    """The use-cases.

    Args:
        database: the store.
        cache: of chunks.
    """

    def __init__(self, database: Database, cache: ChunkCache) -> None:
        self._database = database
        self._cache = cache

    async def manifest(self, words: Sequence[str]) -> Manifest:
        """What a bundle of these images is to have now; without words: of all.

        Raises:
            WrongUsage: one of the words is none.
            NotFound: code ``bundle-empty``; there is no such image.
        """
        wanted = checked(words) or None
        _, digest = await self._database.read(generations.current_generation)
        view = await self._view(digest)
        names = [each.document_sha256 for each in view.images.values()]
        found = [await self._image(name) for name in (*names, *view.mirror_only)]
        known = {}
        for source in await self._database.read(sources.list_sources):
            stored = await self._database.read(source_documents.stored_documents, source.id)
            keys = sorted({each.fingerprint for each in stored.values()} - {""})
            known[str(source.id)] = BundleSource(shown_url(source.url), tuple(keys))
        held = [image for image in found if image is not None]
        published = await self._database.read(images.list_images, ("published",))
        bases = {each.key: each.base_image for each in published if each.base_image}
        manifest = lay_out(held, view.documents, known, wanted, base_images=bases)
        lost = without_meaning(wanted or (), [image.key for image in held])
        if lost or not manifest.images:
            raise NotFound(
                lost or "the region holds no image",
                object="export",
                code="bundle-empty",
                remedy="boot-resources read shows what it holds",
            )
        return manifest

    async def _view(self, digest: str) -> View:
        content = await self._database.read(generations.read_document, digest)
        return View(0) if content is None else View.from_document(content)

    async def _image(self, sha256: str) -> Image | None:
        content = await self._database.read(generations.read_document, sha256)
        return None if content is None else Image.from_document(content)

    async def blob(self, sha256: str, of_digests: bool) -> ByteSource:
        """Any blob that is complete, for ``regiond.pieces``; digest lists are not given.

        Raises:
            NotFound: it is not held (any more).
        """
        blob = await self._database.read(blobs.find_blob, sha256)
        if of_digests or blob is None or not blob.is_complete:
            raise NotFound(
                "the region does not hold it any more",
                object=sha256,
                code="blob-unknown",
                remedy="export again",
            )
        return BlobBytes(blob, self._cache)
