"""The region as a source of its own: what it has published, signed with its own key.

The documents are made when what is published changes, signed once, and kept in the database,
so that they are the same bytes at any time and in every region. A file is served as long as
racks may fetch it: who began with older documents can end with them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from common.bell import Bell
from common.digests import sha256_hex
from common.errors import NotFound, RackferryError
from common.events import Event
from common.images import ImageKey
from common.names import is_document_path, is_item_path
from common.pools import Threads
from common.serving import ByteSource, WholeBytes, content_type_of
from common.unbroken import unbroken
from regiond.blob_bytes import BlobBytes
from regiond.chunk_cache import ChunkCache
from regiond.store import blobs, events, own_stream
from regiond.store.database import Database
from regiond.store.images import StoredImage
from regiond.stream_documents import MANIFEST, Drafts, draft, manifest, path_of
from regiond.stream_signing import OBJECT, SigningKey, make_key, sign_each

QUIET_S = 2.0
"""Documents are made when nothing was published for so long: an import publishes each second."""

MOST_WAITS = 15
"""So many times something may be published meanwhile; then they are made in mid-import."""

RETRY_S = 300.0


class OwnStream(Service):
    """Keeps the documents true, and finds what is asked for.

    Args:
        database: the store.
        cache: of chunks.
        state_dir: where GnuPG may have its home.
        in_thread: runs GnuPG, and what takes as long.
        clock: for pauses.
        now: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        database: Database,
        cache: ChunkCache,
        state_dir: Path,
        in_thread: Threads,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._cache = cache
        self._state_dir = state_dir
        self._in_thread = in_thread
        self._clock = clock
        self._now = now
        self._bell = Bell(clock)
        self._signing = DeferredLock()
        self._may_have_failed = True  # in an earlier life
        self._working: Deferred[None] | None = None

    # What is kept true

    def startService(self) -> None:
        """Begin with what changed while nobody looked."""
        super().startService()
        self._working = Deferred.fromCoroutine(self._work_for_ever())
        self._working.addErrback(self._ended)

    def stopService(self) -> Deferred[None] | None:
        """Stop; documents are replaced whole or not at all."""
        super().stopService()
        if self._working is not None:
            self._working.cancel()
        return self._working

    def _ended(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            self.log.failure("the region's own stream stays as it is", failure)

    def look(self) -> None:
        """What is published, or is to be shown, may have changed."""
        self._bell.ring()

    async def _work_for_ever(self) -> None:
        while self.running:
            is_well = await self._try()
            if await self._bell.wait(None if is_well else RETRY_S):
                await self._quiet()

    async def _quiet(self) -> None:
        """Wait until the news seem to be over, for half a minute at the most."""
        for _ in range(MOST_WAITS):
            if not await self._bell.wait(QUIET_S):
                return

    async def _try(self) -> bool:
        """Bring the documents up to date, or say why they stay as they are."""
        try:
            await self.refresh()
            await self._settle()
        except RackferryError as error:
            self.log.error("the region's own stream stays as it is: {why}", why=error.line())
            await self._fail(error)
            return False
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 - a bug must not end it
            self.log.failure("the region's own stream stays as it is")
            return False
        return True

    async def _settle(self, *raised: Event) -> None:
        if raised or self._may_have_failed:
            await self._database.write(events.settle, raised, {OBJECT}, self._now())
        self._may_have_failed = bool(raised)

    async def _fail(self, error: RackferryError) -> None:
        try:
            await self._settle(attrs.evolve(Event.of(error), object=OBJECT))
        except RackferryError as why:
            self.log.error("nor can that be recorded: {why}", why=why.line())

    async def refresh(self) -> bool:
        """Make and sign the documents that are not true any more; whether there were any.

        Raises:
            ConfigError: they cannot be signed.
            StorageError: the database failed.
        """
        found = await self._database.read(own_stream.published)
        if not (found.images or found.documents):
            return False
        drafts: Drafts = await self._in_thread(
            partial(draft, found.images, found.documents, found.at)
        )
        if not drafts.new and drafts.paths == found.documents.keys():
            return False
        texts = {path: each.text for path, each in drafts.new.items() if each.is_signed}
        signed = await self._signed(texts)
        new = {path: (each, signed.get(path, each.text)) for path, each in drafts.new.items()}
        return await self._database.write(
            own_stream.keep_documents, found.generation, new, drafts.paths, self._now()
        )

    async def _signed(self, texts: dict[str, bytes]) -> dict[str, bytes]:
        signed: dict[str, bytes] = await self._alone(
            partial(sign_each, texts, await self._key(), self._state_dir)
        )
        return signed

    async def _key(self) -> SigningKey:
        """The key, made at first need."""
        key = await self._database.read(own_stream.signing_key)
        if key is None:
            made = await self._alone(partial(make_key, self._state_dir))
            key = await self._database.write(own_stream.keep_key, made, self._now())
        return key

    async def _alone(self, work: Callable[[], Any]) -> Any:
        """One GnuPG at a time: each removes what was left before it."""
        await self._signing.acquire()
        try:
            return await unbroken(self._in_thread(work))
        finally:
            self._signing.release()

    # What is asked for

    async def keyring(self, path: str) -> ByteSource:
        """The public key, as ``gpg --export`` writes it.

        Raises:
            NotFound: it is one file, with nothing below it.
        """
        if path:
            raise _unknown(path)
        key = await self._key()
        return WholeBytes(f'"{sha256_hex(key.public)}"', key.public, "application/pgp-keys")

    async def find(self, path: str) -> ByteSource:
        """The document, or the file of an image, at that path.

        Raises:
            NotFound: there is none, or it is not shown.
        """
        if is_document_path(path):
            document = await self._database.read(own_stream.find_document, path)
            if document is not None:
                return BlobBytes(document, self._cache, content_type_of(path))
        elif is_item_path(path) and path.count("/") == _PARTS - 1:
            parts = path.split("/")
            key, name = ImageKey(*parts[:5]), parts[-1]
            versions = await self._database.read(own_stream.fetchable_images, key, self._now())
            for image in versions:
                if path == path_of(image, name):
                    found = await self._file(image, name)
                    if found is not None:
                        return found
        raise _unknown(path)

    async def _file(self, image: StoredImage, name: str) -> ByteSource | None:
        for file in image.files:
            if file.name == name:
                blob = await self._database.read(blobs.find_complete, file.sha256)
                return None if blob is None else BlobBytes(blob, self._cache)
        text = manifest(image) if name == MANIFEST else None
        if text is None:
            return None
        return WholeBytes(f'"{sha256_hex(text)}"', text, "text/plain; charset=us-ascii")


_PARTS = len(("os", "arch", "subarch", "release", "label", "version", "name"))


def _unknown(path: str) -> NotFound:
    return NotFound(
        "the region's own stream has no such file",
        object=path[:200],
        remedy="/images-stream/streams/v1/index.sjson names its documents, and these its files",
    )
