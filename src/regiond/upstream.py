"""What the boot sources say now: reads each, and remembers what the documents offered.

Parsing a catalogue of the real size takes a tenth of a second, so it runs in a thread, and
its result is kept for as long as the documents are the same.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from common.errors import ConfigError, RackferryError
from regiond.sources.catalogue import Catalogue, catalogue
from regiond.sources.documents import read_source
from regiond.sources.locations import SourceLocation
from regiond.sources.readings import SourceReading, StoredDocument, read_stored
from regiond.sources.retrieval import Retriever
from regiond.sources.signatures import inspect_keyring
from regiond.sources.verified import InThread, SourceAccess
from regiond.store import sources
from regiond.store.database import Database
from regiond.store.sources import BootSource, SourceFields

Documents = Mapping[str, StoredDocument]


@attrs.frozen
class Look:
    """One source, looked at once: what it said, or why it could not be read."""

    source: BootSource
    stored: Documents
    reading: SourceReading | None = None
    error: RackferryError | None = None

    @property
    def is_unchanged(self) -> bool:
        """Whether it was read, and every document is the stored one."""
        return self.reading is not None and self.reading.unchanged


def object_name(source_id: int) -> str:
    """How messages and events call a source."""
    return f"boot-source {source_id}"


def location_of(source: BootSource | SourceFields) -> SourceLocation:
    """Where a source is."""
    return SourceLocation.parse(source.url, unsigned=source.unsigned)


def authorised(location: SourceLocation) -> Headers:
    """The headers of each request to a source."""
    if not location.authorization:
        return Headers()
    return Headers({b"authorization": [location.authorization.encode("ascii")]})


def keyring_of(source: BootSource | SourceFields, name: str) -> bytes | None:
    """A source's keyring; None if it is declared unsigned. ``name`` is for messages.

    Raises:
        ConfigError: code ``signature-keyring-missing``.
    """
    if source.unsigned:
        return None
    if source.keyring_data is not None:
        return source.keyring_data
    path = Path(source.keyring_filename or "")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the keyring {path} cannot be read: {error.strerror}",
            object=name,
            code="signature-keyring-missing",
            remedy="install the package that has it (on Ubuntu: ubuntu-keyring), or give the "
            "source another keyring",
        ) from error


class Upstream:
    """Reads boot sources.

    Args:
        database: where the last good documents are.
        agent: follows redirects by ``common.redirects``.
        in_thread: runs GnuPG and parsing.
        clock: for time-outs.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        agent: IAgent,
        in_thread: InThread,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        self.agent = agent
        self._database = database
        self._in_thread = in_thread
        self._clock = clock
        self._now = now
        self._catalogues: dict[int, tuple[frozenset[str], Catalogue]] = {}
        self._read_at: dict[int, float] = {}

    async def look(self, source: BootSource, *, afresh: bool = False) -> Look:
        """Read a source now; a failure is part of the answer, named for the source.

        Args:
            source: which.
            afresh: as if it had never been read.
        """
        stored: Documents = {}
        if not afresh:
            stored = await self._database.read(sources.stored_documents, source.id)
        try:
            reading = await self._read(source, stored)
        except RackferryError as error:
            return Look(source, stored, error=_about(source, error))
        self._read_at[source.id] = self._now()
        return Look(source, stored, reading)

    def as_read(self, source: BootSource) -> BootSource:
        """The source with the last time it was read well: where nothing changes, only we know."""
        known = self._read_at.get(source.id)
        return source if known is None else attrs.evolve(source, last_success_at=known)

    async def _read(self, source: BootSource, stored: Documents) -> SourceReading:
        location = location_of(source)
        keyring = await self._in_thread(partial(keyring_of, source, object_name(source.id)))
        retriever = Retriever(self.agent, self._clock, lambda: authorised(location))
        return await read_source(
            location, stored, SourceAccess(retriever, keyring, self._in_thread, self._now())
        )

    async def catalogue(self, look: Look) -> Catalogue:
        """What the source offers: by what it said now, else by its last good documents."""
        documents = look.stored
        if look.reading is not None:
            documents = {each.path: each.to_stored() for each in look.reading.documents}
        digests = frozenset(document.sha256 for document in documents.values())
        known = self._catalogues.get(look.source.id)
        if known is not None and known[0] == digests:
            return known[1]
        found: Catalogue = await self._in_thread(partial(_catalogue, look, documents))
        self._catalogues[look.source.id] = (digests, found)
        return found

    async def known_catalogue(self, source: BootSource) -> tuple[Catalogue, RackferryError | None]:
        """What a source offers by its last good documents; read now if it never was.

        Returns:
            the catalogue, and why it is empty if the source could not be read.
        """
        stored = await self._database.read(sources.stored_documents, source.id)
        look = Look(source, stored) if stored else await self.look(source)
        if look.reading is not None:
            await self.keep(look)
        return await self.catalogue(look), look.error

    async def keyring_warning(self, fields: SourceFields) -> str:
        """What is wrong with a keyring that may be used all the same; "" if nothing is.

        Raises:
            SignatureError: code ``signature-keyring-unusable``; no key in it can be read.
        """
        try:
            name = location_of(fields).base
            keyring = await self._in_thread(partial(keyring_of, fields, name))
        except ConfigError as error:  # it may still be installed
            return error.line()
        if keyring is None:
            return ""
        keys = await self._in_thread(partial(inspect_keyring, keyring))
        spent = [key.fingerprint for key in keys if key.expired or key.revoked]
        if len(spent) < len(keys):
            return ""
        return f"every key in it has expired or was revoked: {', '.join(spent)}"

    async def keep(self, look: Look) -> None:
        """Keep what a source said as its last good documents."""
        if look.reading is None or look.reading.unchanged:
            return
        now, source_id = self._now(), look.source.id
        changed = [each.to_stored() for each in look.reading.documents if not each.unchanged]
        await self._database.write(sources.store_documents, source_id, changed, now)
        paths = [each.path for each in look.reading.documents]
        await self._database.write(sources.forget_documents, source_id, paths)
        await self._database.write(sources.note_success, source_id, now)


def _about(source: BootSource, error: RackferryError) -> RackferryError:
    """The same failure, named for the source; where it had an object, that opens the message."""
    where = f"{error.object}: " if error.object not in {"", object_name(source.id)} else ""
    return type(error)(
        f"{where}{error.message}",
        object=object_name(source.id),
        code=error.code,
        remedy=error.remedy,
    )


def _catalogue(look: Look, documents: Documents) -> Catalogue:
    if look.reading is not None and look.reading.product_files:
        return catalogue(look.reading.product_files)
    return catalogue(read_stored(location_of(look.source), documents))
