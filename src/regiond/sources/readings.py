"""What is known of a source's documents: as stored, as fetched, as a whole."""

from collections.abc import Mapping

import attrs

from common.errors import SourceError
from common.events import Event
from regiond.sources.locations import SourceLocation
from regiond.sources.retrieval import Validators
from regiond.sources.simplestreams import (
    INDEX_FORMAT,
    Index,
    IndexEntry,
    ProductFile,
    parse_index,
    parse_products,
)


@attrs.frozen
class StoredDocument:
    """A document as it was read last: ``payload`` is its verified text.

    ``updated`` is seconds since the epoch, if the document says. ``is_raw_held`` says whether
    its bytes are kept as they were sent; if not, it has to be read again. A source whose
    keyring or URL was changed has no stored documents.
    """

    path: str
    sha256: str
    payload: bytes = attrs.field(repr=False)
    etag: str = ""
    last_modified: str = ""
    updated: int | None = None
    fingerprint: str = ""
    is_raw_held: bool = attrs.field(default=True, eq=False)


@attrs.frozen
class FetchedDocument:
    """A document as it is now.

    ``raw`` is what was fetched, None if it is the stored one (``unchanged``); ``sha256``
    names it. ``fingerprint`` is the key that signed, empty for an unsigned source.
    """

    path: str
    raw: bytes | None = attrs.field(repr=False)
    payload: bytes = attrs.field(repr=False)
    sha256: str
    etag: str
    last_modified: str
    updated: int | None
    fingerprint: str

    @property
    def unchanged(self) -> bool:
        """Whether it is the stored document."""
        return self.raw is None

    @property
    def validators(self) -> Validators:
        """For the next conditional request."""
        return Validators(self.etag, self.last_modified)

    @classmethod
    def from_stored(cls, document: StoredDocument) -> "FetchedDocument":
        """The stored document, as it is still the current one."""
        return cls(
            document.path,
            None,
            document.payload,
            document.sha256,
            document.etag,
            document.last_modified,
            document.updated,
            document.fingerprint,
        )

    def to_stored(self) -> StoredDocument:
        """What to keep for the next read."""
        return StoredDocument(
            self.path,
            self.sha256,
            self.payload,
            self.etag,
            self.last_modified,
            self.updated,
            self.fingerprint,
        )


@attrs.frozen
class SourceReading:
    """A source's documents, all verified, and what they say.

    ``unchanged``: every document is the stored one; then ``product_files`` is empty, and
    ``read_stored`` gives them if they are needed. ``problems`` are faults of single product
    files, for which the last good state (if there is one) is used. ``lagging``: documents
    that came older than the stored ones, which are used instead; ``accepted``: those that
    went back and were taken in, because that was allowed; both in words.
    """

    documents: tuple[FetchedDocument, ...]
    index: Index
    product_files: tuple[ProductFile, ...]
    unchanged: bool
    problems: tuple[SourceError, ...] = ()
    events: tuple[Event, ...] = ()
    lagging: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()


def read_stored(
    location: SourceLocation, stored: Mapping[str, StoredDocument]
) -> tuple[ProductFile, ...]:
    """What the stored documents say: parsing only, for a source that did not change.

    Raises:
        SourceError: only if the documents are not those of an earlier reading.
    """
    # As when they were read: of several entries with one path the first counts.
    entries: dict[str, IndexEntry] = {}
    pending = [location.index_path] if location.index_path in stored else []
    while pending:
        path = pending.pop(0)
        for entry in parse_index(stored[path].payload, path).entries:
            if entry.path not in stored:
                continue
            if entry.format == INDEX_FORMAT:
                pending.append(entry.path)
            else:
                entries.setdefault(entry.path, entry)
    return tuple(
        parse_products(stored[path].payload, entry.content_id, path)
        for path, entry in entries.items()
    )
