"""Documents of a source, fetched a few at a time and verified."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.python.failure import Failure

from common.digests import sha256_hex
from common.errors import SignatureError, SourceError
from common.pools import Threads
from regiond.sources.locations import SourceLocation
from regiond.sources.readings import FetchedDocument
from regiond.sources.retrieval import Documents, Retrieved, Validators
from regiond.sources.signatures import Verified, verify_each

PARALLEL_DOCUMENTS = 4

T = TypeVar("T")


@attrs.frozen
class SourceAccess:
    """How documents are fetched and verified.

    Attributes:
        retriever: makes the requests.
        keyring: public keys; None only for a source that was declared unsigned.
        in_thread: runs GnuPG and the parsing of large documents.
        now: seconds since the epoch.
        accepts_rollback: whether documents may be older than the stored ones, this once.
    """

    retriever: Documents
    keyring: bytes | None = attrs.field(repr=False)
    in_thread: Threads
    now: float
    accepts_rollback: bool = False


async def fetch_verified(
    paths: Iterable[str],
    location: SourceLocation,
    known: Mapping[str, FetchedDocument],
    access: SourceAccess,
) -> dict[str, FetchedDocument | SourceError]:
    """Each document with its verified text, or its fault.

    Args:
        paths: of the documents.
        location: of the source.
        known: documents that need not be sent again; they come back as they are. What is
            fetched has no ``updated`` yet: that stands in the text, which is not parsed here.
        access: how to get at it.

    Raises:
        SignatureError: ``signature-keyring-unusable``.
        ConfigError: there is no ``gpg``.
    """
    answers = await _ask_for(paths, location, known, access.retriever)
    documents: dict[str, FetchedDocument | SourceError] = {}
    changed: dict[str, tuple[bytes, Validators]] = {}
    for path, answer in answers.items():
        same = known.get(path)
        if isinstance(answer, SourceError):
            documents[path] = answer
        elif answer.content is not None and not _is_same(answer.content, same):
            changed[path] = answer.content, answer.validators
        elif same is not None:
            documents[path] = same
    contents = {location.url_of(path): content for path, (content, _) in changed.items()}
    verdicts = await _verdicts(contents, access)
    for path, (content, validators) in changed.items():
        verdict = verdicts[location.url_of(path)]
        if isinstance(verdict, SourceError):
            documents[path] = verdict
        else:
            documents[path] = _document(path, content, validators, verdict)
    return documents


async def ask_for(
    path: str,
    location: SourceLocation,
    known: Mapping[str, FetchedDocument],
    retriever: Documents,
) -> Retrieved:
    """One document, unless it is still the known one; raises ``SourceError``."""
    document = known.get(path)
    validators = document.validators if document else Validators()
    return await retriever.get(location.url_of(path), validators)


async def _ask_for(
    paths: Iterable[str],
    location: SourceLocation,
    known: Mapping[str, FetchedDocument],
    retriever: Documents,
) -> dict[str, Retrieved | SourceError]:
    async def answer(path: str) -> tuple[str, Retrieved | SourceError]:
        try:
            return path, await ask_for(path, location, known, retriever)
        except SourceError as error:
            return path, error

    def begin(path: str) -> Deferred[tuple[str, Retrieved | SourceError]]:
        return Deferred.fromCoroutine(answer(path))

    few = DeferredSemaphore(PARALLEL_DOCUMENTS)
    asked = DeferredList([few.run(begin, path) for path in paths], consumeErrors=True)
    answers: dict[str, Retrieved | SourceError] = {}
    for _, result in await asked:
        if isinstance(result, Failure):
            result.raiseException()  # a bug or a cancellation; all others have ended by now
        answers[result[0]] = result[1]
    return answers


async def _verdicts(
    contents: Mapping[str, bytes], access: SourceAccess
) -> Mapping[str, Verified | SignatureError]:
    if access.keyring is None:
        return {url: Verified(content, "") for url, content in contents.items()}
    if not contents:
        return {}
    return await access.in_thread(partial(verify_each, contents, access.keyring, now=access.now))


def _is_same(content: bytes, known: FetchedDocument | None) -> bool:
    """Whether a server that ignores validators sent what is known already."""
    return known is not None and sha256_hex(content) == known.sha256


def _document(
    path: str, content: bytes, validators: Validators, verified: Verified
) -> FetchedDocument:
    return FetchedDocument(
        path=path,
        raw=content,
        payload=verified.payload,
        sha256=sha256_hex(content),
        etag=validators.etag,
        last_modified=validators.last_modified,
        updated=None,
        fingerprint=verified.fingerprint,
    )
