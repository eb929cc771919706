"""What a region makes of the answers of a shell that gives a bundle."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from common.bundles import FORMAT, MANIFEST, Manifest
from common.commands import BLOB_PIECE_BYTES
from common.digests import CHUNK_BYTES
from common.errors import (
    NotFound,
    ProtocolError,
    RackferryError,
    Refused,
    SourceError,
    StorageError,
    TimedOut,
    TransferError,
)
from regiond.bundle import Bundle
from regiond.sources.retrieval import Validators
from regiond.sources.strict_json import MAX_DOCUMENT_BYTES
from tests.doubles.streams import some_bytes

BASE = "http://upstream.example/streams/"
CONTENT = some_bytes(CHUNK_BYTES + BLOB_PIECE_BYTES + 1)
EMPTY = Manifest(FORMAT)

T = TypeVar("T")


class Shell:
    """Gives what it is told to; a failure in place of bytes is raised."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | RackferryError] = {MANIFEST: EMPTY.to_document()}
        self.claims: dict[str, int] = {}

    async def read(self, path: str, offset: int, length: int) -> tuple[bytes, int]:
        content = self.files.get(path, NotFound("is not in the bundle", object=path))
        if isinstance(content, RackferryError):
            raise content
        return content[offset : offset + length], self.claims.get(path, len(content))


class BundleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shell = Shell()
        self.bundle = Bundle(self.shell.read, EMPTY)

    def document(self, path: str) -> bytes | None:
        documents = self.bundle.documents("7", BASE)
        got = self.successResultOf(_begun(documents.get(f"{BASE}{path}", Validators("etag"))))
        return got.content

    def refusal(self, path: str) -> SourceError:
        documents = self.bundle.documents("7", BASE)
        getting = _begun(documents.get(f"{BASE}{path}", Validators()))
        error = self.failureResultOf(getting, SourceError).value
        assert isinstance(error, SourceError)
        return error

    def test_documents(self) -> None:
        """Whole, of any size, and never "unchanged": a bundle has no validators."""
        for content in (b"", b"signed", CONTENT):
            self.shell.files["mirror/7/streams/v1/index.sjson"] = content
            self.assertEqual(self.document("streams/v1/index.sjson"), content)

    def test_documents_that_cannot_be_had(self) -> None:
        """Whatever the shell says becomes a fault of that document, by its name."""
        path = "mirror/7/x"
        self.assertEqual(self.refusal("x").code, "bundle-document-missing")
        for failure in (StorageError("bad disk"), Refused("no"), TimedOut("silent"),
                        TransferError("left"), ProtocolError("?")):  # fmt: skip
            self.shell.files[path] = failure
            error = self.refusal("x")
            self.assertEqual((error.code, error.object), ("bundle-unreadable", path))
            self.assertTrue(error.remedy)

    def test_documents_of_a_wrong_size(self) -> None:
        """Larger than any document may be, or than it is: not read to its end."""
        path = "mirror/7/x"
        self.shell.files[path] = b"short"
        for claimed in (MAX_DOCUMENT_BYTES + 1, 4, 6):
            self.shell.claims[path] = claimed
            self.assertEqual(self.refusal("x").code, "bundle-unreadable")

    def test_files_that_cannot_be_had(self) -> None:
        """A shell that does not answer may be asked again; what it says stays said."""
        origin = self.bundle.origin("7", "root", 5)
        for failure, family, code in (
            (NotFound("no", code="bundle-file-missing"), NotFound, "bundle-file-missing"),
            (TimedOut("silent"), TransferError, "transfer-cut"),
            (TransferError("left", code="connection-lost"), TransferError, "connection-lost"),
            (StorageError("bad disk"), SourceError, "bundle-unreadable"),
            (Refused("a link"), SourceError, "bundle-unreadable"),
        ):
            self.shell.files["mirror/7/root"] = failure
            error = self.failureResultOf(_begun(origin.open(0)), family).value
            self.assertEqual(error.code, code)
        self.shell.files["mirror/7/root"] = b"1234"
        error = self.failureResultOf(_begun(origin.open(0)), SourceError).value
        self.assertEqual(error.code, "bundle-file-size")

    def test_the_manifest(self) -> None:
        """It is read from the same place, and judged."""
        found = self.successResultOf(_begun(Bundle.open(self.shell.read)))
        self.assertEqual(found.manifest, EMPTY)
        self.shell.files[MANIFEST] = b"{"
        self.failureResultOf(_begun(Bundle.open(self.shell.read)), ProtocolError)
        del self.shell.files[MANIFEST]
        self.failureResultOf(_begun(Bundle.open(self.shell.read)), NotFound)


def _begun(work: Coroutine[Any, Any, T]) -> "Deferred[T]":
    return Deferred.fromCoroutine(work)
