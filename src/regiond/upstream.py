"""What the boot sources say now: reads each, and remembers what the documents offered.

Parsing a catalogue of the real size takes a tenth of a second, so it runs in a thread, and
its result is kept for as long as the documents are the same.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from common.errors import ConfigError, Conflict, RackferryError, bug
from common.events import Event
from common.pools import Threads
from regiond.named_files import read_named
from regiond.routes import Routes, ca_warning, note_of
from regiond.source_fields import location_of
from regiond.sources.catalogue import Catalogue, catalogue
from regiond.sources.documents import read_source
from regiond.sources.freshness import accepted_event, lag_event, rollback_event
from regiond.sources.readings import SourceReading, StoredDocument, read_stored
from regiond.sources.retrieval import Documents, Retriever
from regiond.sources.signatures import inspect_keyring
from regiond.sources.verdict import Key
from regiond.sources.verified import SourceAccess
from regiond.store import mirrors, source_documents, sources
from regiond.store.database import Database
from regiond.store.sources import BootSource, SourceFields

E = TypeVar("E", bound=RackferryError)
_SAYS_WHICH_WAY = ("source-proxy", "source-ca-")
StoredDocuments = Mapping[str, StoredDocument]


@attrs.frozen
class Look:
    """One source, looked at once: what it said, or why it could not be read.

    ``in_bundle``: it was looked for in a bundle. ``at``: when, in seconds since the epoch.
    """

    source: BootSource
    stored: StoredDocuments
    reading: SourceReading | None = None
    error: RackferryError | None = None
    in_bundle: bool = False
    at: float = 0.0

    @property
    def name(self) -> str:
        """What events are about: a bundle tells nothing of whether the source can be reached."""
        name = object_name(self.source.id)
        return f"bundle of {name}" if self.in_bundle else name

    @property
    def documents(self) -> StoredDocuments:
        """The source's documents as they are now; if it could not be read, the last good ones."""
        if self.reading is None:
            return self.stored
        return {each.path: each.to_stored() for each in self.reading.documents}

    @property
    def is_unchanged(self) -> bool:
        """Whether it was read, every document is the stored one, and nothing is to be noted."""
        settled = self.source.accept_rollback is None
        return self.reading is not None and self.reading.unchanged and settled

    @property
    def is_lagging(self) -> bool:
        """Whether the source shows older documents than it did."""
        return self.reading is not None and bool(self.reading.lagging)

    @property
    def obstacles(self) -> tuple[Event, ...]:
        """Why what the source has now cannot be had, or not all of it; in the words of events."""
        if self.reading is None:
            return () if self.error is None else (Event.of(self.error),)
        found = [attrs.evolve(Event.of(each), object=self.name) for each in self.reading.problems]
        if self.is_lagging:
            since = self.source.lagging_since
            found.append(
                rollback_event(self.reading.lagging, self.at if since is None else since, self.name)
            )
        return tuple(found)


def object_name(source_id: int) -> str:
    """How messages and events call a source."""
    return f"boot-source {source_id}"


def keyring_of(source: BootSource | SourceFields, name: str) -> bytes | None:
    """A source's keyring; None if it is declared unsigned. ``name`` is for messages.

    Raises:
        ConfigError: codes ``signature-keyring-missing`` and, where there is something
            else than a file that can be read, ``signature-keyring-unreadable``.
    """
    if source.unsigned:
        return None
    if source.keyring_data is not None:
        return source.keyring_data
    path = Path(source.keyring_filename or "")
    try:
        return read_named(path)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        raise ConfigError(
            f"the keyring {path} cannot be read: {error.strerror}",
            object=name,
            code="signature-keyring-missing" if is_missing else "signature-keyring-unreadable",
            remedy="install the package that has it (on Ubuntu: ubuntu-keyring), or give the "
            "source another keyring",
        ) from error


class Upstream:
    """Reads boot sources.

    Args:
        database: where the last good documents are.
        routes: the way to every source.
        in_thread: runs GnuPG and parsing.
        clock: for time-outs.
        now: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        database: Database,
        routes: Routes,
        in_thread: Threads,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        self._routes = routes
        self._database = database
        self._in_thread = in_thread
        self._clock = clock
        self._now = now
        self._catalogues: dict[int, tuple[frozenset[object], Catalogue]] = {}
        self._read_at: dict[int, float] = {}

    async def look(self, source: BootSource, *, afresh: bool = False) -> Look:
        """Read a source now; a failure is part of the answer, named for the source.

        Args:
            source: which.
            afresh: as if it had never been read.
        """
        stored: StoredDocuments = {}
        if not afresh:
            stored = await self._database.read(source_documents.stored_documents, source.id)
        try:
            reading = await self._read(source, stored)
        except RackferryError as error:
            return Look(source, stored, error=_about(source, error))
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug may cost this source, not the others
            name = object_name(source.id)
            self.log.failure("bug while reading {source}", source=name)
            return Look(source, stored, error=bug(error, name, "could not be read"))
        if not reading.lagging:
            self._read_at[source.id] = self._now()
        return Look(source, stored, self._with_lag(source, reading), at=self._now())

    async def look_into(self, documents: Documents, source: BootSource) -> Look:
        """Read a source as ``look`` does, from a bundle.

        Args:
            documents: the bundle's, of that source.
            source: whose keyring and whose last good documents count.
        """
        stored = await self._database.read(source_documents.stored_documents, source.id)
        try:
            access = await self._access(documents, source)
            reading = await read_source(location_of(source), stored, access)
        except RackferryError as error:
            return Look(source, stored, error=_about(source, error), in_bundle=True)
        return Look(source, stored, reading, in_bundle=True)

    async def as_it_was(self, source: BootSource) -> Look:
        """What a source said last, without asking it."""
        return Look(source, await self._database.read(source_documents.stored_documents, source.id))

    def _with_lag(self, source: BootSource, reading: SourceReading) -> SourceReading:
        """The reading, with the event of a source that has lagged behind for hours."""
        now, name = self._now(), object_name(source.id)
        since = now if source.lagging_since is None else source.lagging_since
        late = lag_event(reading.lagging, since, now, name)
        return attrs.evolve(reading, events=(*reading.events, late)) if late else reading

    async def note_lag(self, look: Look) -> None:
        """Remember since when a source shows older documents, or that it does no more."""
        if look.reading is None or look.is_lagging == (look.source.lagging_since is not None):
            return
        since = self._now() if look.is_lagging else None
        await self._database.write(sources.note_lag, look.source.id, since)

    def forget(self, source_id: int) -> None:
        """A source was changed or deleted: what is known of it does not count any more."""
        self._read_at.pop(source_id, None)
        self._catalogues.pop(source_id, None)

    def as_read(self, source: BootSource) -> BootSource:
        """The source with the last time it was read well: where nothing changes, only we know."""
        known = self._read_at.get(source.id)
        return source if known is None else attrs.evolve(source, last_success_at=known)

    async def _access(self, documents: Documents, source: BootSource) -> SourceAccess:
        return SourceAccess(
            documents,
            await self._in_thread(partial(keyring_of, source, object_name(source.id))),
            self._in_thread,
            self._now(),
            accepts_rollback=source.accept_rollback is not None,
        )

    async def _read(self, source: BootSource, stored: StoredDocuments) -> SourceReading:
        route = await self._routes.to(source)
        access = await self._access(Retriever(route.agent, self._clock, route.headers), source)
        reading = await read_source(route.location, stored, access)
        problems = tuple(_on_the_way(source, each) for each in reading.problems)
        return attrs.evolve(reading, problems=problems)

    async def catalogue(self, look: Look) -> Catalogue:
        """What the source offers: by what it said now, else by its last good documents."""
        documents = look.documents
        digests = (document.sha256 for document in documents.values())
        state = frozenset({look.source.any_products, *digests})
        known = self._catalogues.get(look.source.id)
        if known is not None and known[0] == state:
            return known[1]
        found: Catalogue = await self._in_thread(partial(_catalogue, look, documents))
        self._catalogues[look.source.id] = (state, found)
        return found

    async def known_catalogue(
        self, source: BootSource, *, refresh: bool = False
    ) -> tuple[Catalogue, RackferryError | None]:
        """What a source offers by its last good documents; read now if it never was.

        A disabled one is not read.

        Args:
            source: which.
            refresh: read it now in any case, and keep what it says.

        Returns:
            the catalogue, and why the source could not be read, if it was tried and failed.
        """
        stored = await self._database.read(source_documents.stored_documents, source.id)
        if not source.enabled:
            look = Look(source, stored, error=None if stored else _disabled(source))
        else:
            look = Look(source, stored) if stored and not refresh else await self.look(source)
        if look.reading is not None:
            await self.keep(look)
        return await self.catalogue(look), look.error

    async def kept_catalogue(self, source: BootSource) -> Catalogue | None:
        """What a source offers by its last good documents; None if it was never read.

        Nothing is fetched: for whoever must not wait.
        """
        stored = await self._database.read(source_documents.stored_documents, source.id)
        return await self.catalogue(Look(source, stored)) if stored else None

    async def keys_of(self, source: BootSource | SourceFields) -> tuple[Key, ...]:
        """The keys that a source's documents may be signed by; none if it is unsigned.

        Raises:
            SignatureError: no key of its keyring can be used, and why.
            ConfigError: codes ``signature-keyring-missing`` and ``-unreadable``.
        """
        name = location_of(source).base
        keyring = await self._in_thread(partial(keyring_of, source, name))
        if keyring is None:
            return ()
        return await self._in_thread(partial(inspect_keyring, keyring))

    async def keyring_warning(self, fields: SourceFields) -> str:
        """What is wrong with a keyring that may be used all the same; "" if nothing is.

        Raises:
            SignatureError: no key in it can be used, and why.
            ConfigError: code ``signature-keyring-unreadable``.
        """
        try:
            keys = await self.keys_of(fields)
        except ConfigError as error:
            if error.code != "signature-keyring-missing":
                raise
            return error.line()  # it may still be installed
        if not keys:
            return ""
        spent = [key.fingerprint for key in keys if key.expired or key.revoked]
        if len(spent) < len(keys):
            return ""
        return f"every key in it has expired or was revoked: {', '.join(spent)}"

    async def ca_warning(self, fields: SourceFields) -> str:
        """What is wrong with a CA file that may be given all the same; "" if nothing is.

        Raises:
            ConfigError: code ``source-ca-unusable``.
        """
        return await ca_warning(fields, self._in_thread)

    async def keep(self, look: Look) -> None:
        """Keep what a source said as its last good documents.

        Raises:
            Conflict: code ``source-changed``; it is not any more what was looked at.
        """
        if look.reading is None:
            return
        await self._use_permission(look.source, look.reading)
        if look.reading.unchanged:
            return
        changed = [each for each in look.reading.documents if not each.unchanged]
        paths = [each.path for each in look.reading.documents]
        await self._database.write(mirrors.keep_documents, look.source, changed, paths, self._now())

    async def _use_permission(self, source: BootSource, reading: SourceReading) -> None:
        """A permission to go back ends with the first good read, whether it was needed or not.

        Before the documents are kept: if we die between, it has to be given again.
        """
        if source.accept_rollback is not None:
            accepted = _accepted(source, reading)
            await self._database.write(sources.use_permission, source.id, accepted, self._now())


def _disabled(source: BootSource) -> Conflict:
    return Conflict(
        "it is disabled and was never read",
        object=object_name(source.id),
        code="source-disabled",
        remedy=f"boot-source update {source.id} enabled=true",
    )


def _accepted(source: BootSource, reading: SourceReading) -> Event | None:
    if not reading.accepted:
        return None
    return accepted_event(reading.accepted, source.accept_rollback or "", object_name(source.id))


def _on_the_way(source: BootSource, error: E) -> E:
    """The same failure, with the way that was taken: what is between may be at fault."""
    if error.code.startswith(_SAYS_WHICH_WAY):
        return error
    message = f"{error.message}{note_of(source)}"
    return type(error)(message, object=error.object, code=error.code, remedy=error.remedy)


def _about(source: BootSource, error: RackferryError) -> RackferryError:
    """The same failure, named for the source; where it had an object, that opens the message."""
    where = f"{error.object}: " if error.object not in {"", object_name(source.id)} else ""
    error = _on_the_way(source, error)
    return type(error)(
        f"{where}{error.message}",
        object=object_name(source.id),
        code=error.code,
        remedy=error.remedy,
    )


def _catalogue(look: Look, documents: StoredDocuments) -> Catalogue:
    if look.reading is not None and look.reading.product_files:
        product_files = look.reading.product_files
    else:
        product_files = read_stored(location_of(look.source), documents)
    return catalogue(product_files, any_products=look.source.any_products)
