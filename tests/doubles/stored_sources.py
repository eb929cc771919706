"""A store with sources, what is wanted of them, and their documents."""

from common.images import Selection
from regiond.sources.readings import StoredDocument
from regiond.store import selections, source_documents, sources
from regiond.store.sources import SourceFields
from tests.doubles.stores import NOW, Store

FIELDS = SourceFields("https://images.example/", keyring_data=b"\0key", priority=5)
OTHER = SourceFields("https://other.example/", keyring_filename="/k", unsigned=False)
JAMMY = Selection("ubuntu", "jammy", ("amd64", "arm64"), ("*",), ("stable",))
DOCUMENT = StoredDocument("streams/v1/index.sjson", "ab" * 32, b"text", '"e"', "Mon", 77, "F0")


class SourceStore(Store):
    """What suites of sources use."""

    def create(self, fields: SourceFields = FIELDS) -> sources.BootSource:
        return self.write(sources.create_source, fields, NOW)

    def select(self, source_id: int, wanted: Selection = JAMMY) -> selections.StoredSelection:
        return self.write(selections.create_selection, source_id, wanted, unchecked=True, now=NOW)

    def keep(
        self,
        source_id: int,
        *documents: StoredDocument,
        paths: tuple[str, ...] = (),
        now: float = NOW,
    ) -> None:
        read = self.read(sources.source, source_id)
        kept = paths or [each.path for each in documents]
        self.write(source_documents.keep_documents, read, documents, kept, now)
