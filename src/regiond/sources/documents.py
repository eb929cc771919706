"""All documents of a boot source, read as one consistent set.

An index and its product files are signed one by one and replaced one after the other, so
a read can catch a publisher half-way. The rules:

* Every document is asked for conditionally; what did not change costs one request, no
  GnuPG and no parsing of products.
* The index must not promise a newer product file than the one that came. If a product
  file changed, the index is asked for once more at the end. Either way a set that moved is
  read again, up to three times.
* ``updated`` going back is no fault, since mirrors lag: the last good document is used, and
  the reading says so. If it is the index that went back, all that is stored is used. A date
  more than 24 hours ahead is a fault, as it would poison that rule.
* A fault of the index is the source's fault and is raised. A fault of one product file is
  a *problem*: its last good state is used and the others go on.
"""

from collections.abc import Mapping
from functools import partial

import attrs

from common.digests import sha256_hex
from common.errors import SignatureError, SourceError
from regiond.sources.freshness import judge_future, old_age, went_back
from regiond.sources.locations import SourceLocation
from regiond.sources.readings import FetchedDocument, SourceReading, StoredDocument
from regiond.sources.simplestreams import (
    INDEX_FORMAT,
    Index,
    IndexEntry,
    ProductFile,
    parse_index,
    parse_products,
)
from regiond.sources.strict_json import fault
from regiond.sources.verified import SourceAccess, ask_for, fetch_verified

ATTEMPTS = 3
MAX_INDEX_DEPTH = 3
MAX_DOCUMENTS = 1000

_Typed = tuple[FetchedDocument, ProductFile]


class _MovedError(Exception):
    """The source changed while it was read."""


class _OlderError(Exception):
    """A document is older than it was, in words."""


async def read_source(
    location: SourceLocation, stored: Mapping[str, StoredDocument], access: SourceAccess
) -> SourceReading:
    """Fetch, verify and type what a source says now.

    Args:
        location: where it is.
        stored: its documents as they were read last, by path.
        access: how to get at it.

    Raises:
        SourceError: the index cannot be fetched, verified, parsed or believed; every
            product file has a problem; ``source-inconsistent`` (it never held still).
        SignatureError: the same, when it is the signature.
        ConfigError: there is no ``gpg``.
    """
    if access.keyring is not None and location.index_path.endswith(".json"):
        raise SignatureError(
            "the index is a .json, which carries no signature",
            object=location.url_of(location.index_path),
            code="signature-missing",
            remedy="use the .sjson of this source, or declare the source unsigned=true",
        )
    known = {
        path: FetchedDocument.from_stored(document)
        for path, document in stored.items()
        if document.is_raw_held
    }
    for _ in range(ATTEMPTS):
        attempt = _Attempt(location, stored, known, access)
        try:
            return await attempt.run()
        except _MovedError:
            known |= attempt.documents
    raise SourceError(
        f"the index and its product files did not fit together in {ATTEMPTS} reads",
        object=location.base,
        code="source-inconsistent",
        remedy="nothing; it is tried again at the next import, and the last good state is kept",
    )


class _Attempt:
    """One read from the index to the last product file.

    ``known`` are documents that need not be sent again: the stored ones, and those of an
    attempt before. ``documents`` are the good ones so far.
    """

    def __init__(
        self,
        location: SourceLocation,
        stored: Mapping[str, StoredDocument],
        known: Mapping[str, FetchedDocument],
        access: SourceAccess,
    ) -> None:
        self._location = location
        self._stored = stored
        self._known = known
        self._access = access
        self._problems: list[SourceError] = []
        self._lagging: list[str] = []
        self._accepted: list[str] = []
        self._lost: set[str] = set()
        self.documents: dict[str, FetchedDocument] = {}

    async def run(self) -> SourceReading:
        try:
            index, entries = await self._read_indexes()
        except _OlderError as older:
            return self._as_stored(str(older))
        found = await fetch_verified(entries, self._location, self._known, self._access)
        unchanged = self._is_all_stored(found)
        if unchanged:
            product_files: tuple[ProductFile, ...] = ()
        else:
            product_files = await self._read_products(entries, found)
            if self._problems and not product_files:
                raise self._problems[0]
        self._demand_promises(entries)
        await self._demand_stillness(entries)
        if self._lagging and not self._problems and self._holds_what_is_stored():
            unchanged, product_files = True, ()
        return self._reading(index, product_files, unchanged=unchanged)

    def _as_stored(self, older: str) -> SourceReading:
        """The index went back: whatever else came with it, what is stored stays in use."""
        self.documents = {
            path: FetchedDocument.from_stored(each) for path, each in self._stored.items()
        }
        self._lagging = [older]
        path = self._location.index_path
        index = parse_index(self.documents[path].payload, self._location.url_of(path))
        return self._reading(index, (), unchanged=True)

    def _reading(
        self, index: Index, product_files: tuple[ProductFile, ...], *, unchanged: bool
    ) -> SourceReading:
        documents = tuple(self.documents.values())
        dates = (index.updated, *(document.updated for document in documents))
        age = old_age(dates, self._access.now, self._location.base)
        return SourceReading(
            documents=documents,
            index=index,
            product_files=product_files,
            unchanged=unchanged,
            problems=tuple(self._problems),
            events=(age,) if age else (),
            lagging=tuple(self._lagging),
            accepted=tuple(self._accepted),
        )

    async def _read_indexes(self) -> tuple[Index, dict[str, IndexEntry]]:
        """The index, and by path the product files that it (or an index in it) names."""
        depths = {self._location.index_path: 1}
        indexes: dict[str, Index] = {}
        entries: dict[str, IndexEntry] = {}
        while pending := [path for path in depths if path not in indexes]:
            path = pending[0]
            indexes[path] = await self._read_index(path)
            for entry in indexes[path].entries:
                if entry.format != INDEX_FORMAT:
                    entries.setdefault(entry.path, entry)
                    continue
                if entry.path in depths or depths[path] == MAX_INDEX_DEPTH:
                    reason = f"the index {entry.path} is named twice or too deep"
                    raise fault(reason, "index-cycle", self._location.url_of(path))
                depths[entry.path] = depths[path] + 1
            if len(depths) + len(entries) > MAX_DOCUMENTS:
                url = self._location.url_of(path)
                raise fault(f"more than {MAX_DOCUMENTS} documents", "too-large", url)
        return indexes[self._location.index_path], entries

    async def _read_index(self, path: str) -> Index:
        found = await fetch_verified([path], self._location, self._known, self._access)
        document = found[path]
        if isinstance(document, SourceError):
            raise document
        index = parse_index(document.payload, self._location.url_of(path))
        self._accept(attrs.evolve(document, updated=index.updated))
        return index

    def _accept(self, document: FetchedDocument) -> None:
        """Take a document in, if its date can be believed.

        Raises:
            SourceError: code ``source-future``.
            _OlderError: it went back, and may not.
        """
        url, last = self._location.url_of(document.path), self._stored.get(document.path)
        older = went_back(document.updated, last.updated if last else None)
        if older and not self._access.accepts_rollback:
            raise _OlderError(f"{url} {older}")
        judge_future(document.updated, self._access.now, url)
        if older:
            self._accepted.append(f"{url} {older}")
        self.documents[document.path] = document

    def _holds_what_is_stored(self) -> bool:
        unchanged = all(document.unchanged for document in self.documents.values())
        return unchanged and self.documents.keys() == self._stored.keys()

    def _is_all_stored(self, found: Mapping[str, FetchedDocument | SourceError]) -> bool:
        """Whether nothing changed, down to the list of documents; then they are taken in."""
        products = {
            path: document
            for path, document in found.items()
            if isinstance(document, FetchedDocument) and document.unchanged
        }
        if len(products) < len(found):
            return False
        indexes = self.documents
        self.documents = {**indexes, **products}
        if self._holds_what_is_stored():
            return True
        self.documents = indexes
        return False

    async def _read_products(
        self,
        entries: Mapping[str, IndexEntry],
        found: Mapping[str, FetchedDocument | SourceError],
    ) -> tuple[ProductFile, ...]:
        product_files: list[ProductFile] = []
        lost: dict[str, FetchedDocument | SourceError] = {}
        for path, outcome in (await self._typed(entries, found)).items():
            try:
                document, product_file = _unless_fault(outcome)
                self._accept(document)
                product_files.append(product_file)
                continue
            except SourceError as problem:
                self._problems.append(problem)
            except _OlderError as older:
                self._lagging.append(str(older))
            self._lost.add(path)
            if path in self._stored:
                lost[path] = FetchedDocument.from_stored(self._stored[path])
        for path, outcome in (await self._typed(entries, lost)).items():
            if not isinstance(outcome, SourceError):
                self.documents[path], product_file = outcome
                product_files.append(product_file)
        return tuple(product_files)

    async def _typed(
        self,
        entries: Mapping[str, IndexEntry],
        found: Mapping[str, FetchedDocument | SourceError],
    ) -> Mapping[str, _Typed | SourceError]:
        if not found:
            return {}
        return await self._access.in_thread(partial(_type_each, self._location, entries, found))

    def _demand_promises(self, entries: Mapping[str, IndexEntry]) -> None:
        """The index must not promise newer product files than those that came."""
        for path, entry in entries.items():
            document = self.documents.get(path)
            if document is None or path in self._lost:
                continue
            if (entry.updated or 0) > (document.updated or entry.updated or 0):
                raise _MovedError

    async def _demand_stillness(self, entries: Mapping[str, IndexEntry]) -> None:
        """If a product file changed, the index must still be the one that named it."""
        if all(path not in self.documents or self.documents[path].unchanged for path in entries):
            return
        path = self._location.index_path
        answer = await ask_for(path, self._location, self.documents, self._access.retriever)
        named = self.documents[path].sha256
        if answer.content is not None and sha256_hex(answer.content) != named:
            raise _MovedError


def _unless_fault(outcome: _Typed | SourceError) -> _Typed:
    if isinstance(outcome, SourceError):
        raise outcome
    return outcome


def _type_each(
    location: SourceLocation,
    entries: Mapping[str, IndexEntry],
    found: Mapping[str, FetchedDocument | SourceError],
) -> dict[str, _Typed | SourceError]:
    """Parse the text of each document; a fault stays a fault."""
    outcomes: dict[str, _Typed | SourceError] = {}
    for path, document in found.items():
        if isinstance(document, SourceError):
            outcomes[path] = document
            continue
        try:
            content_id = entries[path].content_id
            product_file = parse_products(document.payload, content_id, location.url_of(path))
        except SourceError as error:
            outcomes[path] = error
        else:
            dated = attrs.evolve(document, updated=product_file.updated)
            outcomes[path] = dated, product_file
    return outcomes
