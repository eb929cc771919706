"""One document over HTTP: conditional, bounded in size and time.

Documents are small (at most 16 MiB), so one is collected in memory; image bytes go
through ``common.fetching`` instead.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from common.errors import RackferryError, SourceError, TransferError
from common.origins import UNREACHABLE, HttpBody, first_header, unreachable
from regiond.sources.strict_json import MAX_DOCUMENT_BYTES

_REMEDIES: Mapping[int, str] = {
    401: "give the source's user and password",
    403: "give the source's user and password, or ask its publisher for access",
    404: "look at the URL: it must be the directory that holds streams/v1/",
    407: "give the proxy's user and password",
}
_LATER = "nothing; it is tried again at the next import, and the last good state is kept"


@attrs.frozen
class Limits:
    """How long a document may take, and how large it may be."""

    head_timeout_s: float = 30.0
    stall_timeout_s: float = 30.0
    document_timeout_s: float = 300.0
    size_bytes: int = MAX_DOCUMENT_BYTES


@attrs.frozen
class Validators:
    """What a server gave to ask later whether a document changed; empty if nothing."""

    etag: str = ""
    last_modified: str = ""


@attrs.frozen
class Retrieved:
    """An answer: the document, or None if it did not change."""

    content: bytes | None
    validators: Validators


class Documents(Protocol):
    """A place that has a source's documents: its server, or a bundle."""

    async def get(self, url: str, known: Validators) -> Retrieved:
        """As ``Retriever.get``."""


class Retriever:
    """Asks for documents.

    Args:
        agent: follows redirects by ``common.redirects``.
        clock: for the time-outs.
        headers: gives the headers of each request, credentials for example.
        limits: of time and size.
    """

    def __init__(
        self,
        agent: IAgent,
        clock: IReactorTime,
        headers: Callable[[], Headers] = Headers,
        limits: Limits | None = None,
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._headers = headers
        self._limits = limits or Limits()

    async def get(self, url: str, known: Validators) -> Retrieved:
        """The document at ``url``, unless it is still the one with these validators.

        Raises:
            SourceError: ``source-unreachable``, ``source-cut``, ``source-stalled``,
                ``source-too-large``, ``source-encoding``, ``source-redirect`` or
                ``source-http-STATUS``, ``source-certificate``, ``source-proxy`` or
                ``source-proxy-auth``; all name the URL.
        """
        body: HttpBody | None = None
        asked = Deferred.fromCoroutine(self._ask(url, known))
        asked.addTimeout(self._limits.head_timeout_s, self._clock)
        try:
            response, body = await asked
            self._judge(response, url, known)
            if response.code == 304:
                # An answer without a body still has to be read to its end, which gives
                # the connection back to the pool.
                await self._collect(body, url)
                return Retrieved(None, known)
            content = await self._collect(body, url)
        except DeferredTimeout:
            seconds = self._limits.head_timeout_s
            raise _fault(url, "stalled", f"did not answer within {seconds:.0f} s") from None
        except BaseException:
            if body is not None:
                body.abort()
            raise
        return Retrieved(content, _validators(response))

    async def _ask(self, url: str, known: Validators) -> tuple[IResponse, HttpBody]:
        headers = self._headers().copy()
        if known.etag:
            headers.setRawHeaders("if-none-match", [known.etag])
        if known.last_modified:
            headers.setRawHeaders("if-modified-since", [known.last_modified])
        try:
            request = self._agent.request(b"GET", url.encode("ascii"), headers, None)
            response = await _cancellable(request)
        except UNREACHABLE as error:
            raise _network_fault(unreachable(error, url), url) from error
        except TransferError as error:  # a proxy that does not do as it should
            raise _network_fault(error, url) from error
        except SourceError as error:  # a redirect that is not followed
            raise SourceError(
                error.message, object=url, code=error.code, remedy=error.remedy
            ) from error
        return response, HttpBody(response, url)

    def _judge(self, response: IResponse, url: str, known: Validators) -> None:
        status = response.code
        if status not in {200, 304} or (status == 304 and known == Validators()):
            remedy = _REMEDIES.get(status, _LATER)
            phrase = response.phrase.decode("latin-1")
            raise _fault(url, f"http-{status}", f"was answered with {status} {phrase}", remedy)
        encoding = first_header(response, b"content-encoding")
        if encoding.lower() not in {"", "identity"}:
            raise _fault(url, "encoding", f"came encoded as {encoding!r}, which nobody asked for")

    async def _collect(self, body: HttpBody, url: str) -> bytes:
        collected = _Collector(body, url, self._clock, self._limits)
        return await collected.content()


class _Collector:
    """Receives a body (``common.inflow.Receiver``) within the limits."""

    def __init__(self, body: HttpBody, url: str, clock: IReactorTime, limits: Limits) -> None:
        self._body = body
        self._url = url
        self._limits = limits
        self._clock = clock
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._stall: IDelayedCall | None = None
        self._whole: IDelayedCall | None = None
        self._done: Deferred[bytes] = Deferred(lambda _: self._close())

    async def content(self) -> bytes:
        """All bytes of the body."""
        promised = self._body.head.content_length
        if promised is not None and promised > self._limits.size_bytes:
            raise self._too_large()
        stall_s, whole_s = self._limits.stall_timeout_s, self._limits.document_timeout_s
        self._stall = self._clock.callLater(
            stall_s, self._stalled, f"sent nothing for {stall_s:.0f} s"
        )
        self._whole = self._clock.callLater(
            whole_s, self._stalled, f"took more than {whole_s:.0f} s"
        )
        self._body.deliver(self)
        return await self._done

    def received(self, piece: bytes) -> None:
        """The next bytes."""
        self._size_bytes += len(piece)
        if self._size_bytes > self._limits.size_bytes:
            self._fail(self._too_large())
            return
        self._pieces.append(piece)
        if self._stall is not None and self._stall.active():
            self._stall.reset(self._limits.stall_timeout_s)

    def ended(self, error: RackferryError | None) -> None:
        """No more bytes."""
        if error is not None:
            self._fail(_network_fault(error, self._url))
        elif not self._done.called:
            self._close()
            self._done.callback(b"".join(self._pieces))

    def _stalled(self, what: str) -> None:
        self._fail(_fault(self._url, "stalled", what))

    def _too_large(self) -> SourceError:
        limit_mib = self._limits.size_bytes / (1 << 20)
        return _fault(self._url, "too-large", f"is larger than {limit_mib:g} MiB")

    def _fail(self, error: SourceError) -> None:
        if not self._done.called:
            self._close()
            self._body.abort()
            self._done.errback(error)

    def _close(self) -> None:
        for call in (self._stall, self._whole):
            if call is not None and call.active():
                call.cancel()


def _cancellable(request: Deferred[IResponse]) -> Deferred[IResponse]:
    """The same, but cancelled it fails with ``CancelledError``.

    A cancelled request of an agent fails with what it was doing, as if the network had
    failed; and so a stopped import would look like a source with a problem.
    """
    stopped = False

    def stop(_: object) -> None:
        nonlocal stopped
        stopped = True
        request.cancel()

    answered: Deferred[IResponse] = Deferred(stop)

    def pass_on(outcome: IResponse | Failure) -> None:
        if not stopped:
            answered.callback(outcome)  # a Failure makes it an errback

    request.addBoth(pass_on)
    return answered


def _validators(response: IResponse) -> Validators:
    return Validators(first_header(response, b"etag"), first_header(response, b"last-modified"))


def _network_fault(error: RackferryError, url: str) -> SourceError:
    code = (
        "source-unreachable"
        if error.code == "transfer-connect"
        else "source-certificate"
        if error.code == "transfer-certificate"
        else "source-proxy"
        if error.code == "transfer-proxy"
        else "source-cut"
    )
    reason = error.message.removeprefix(f"{url} ")
    return SourceError(reason, object=url, code=code, remedy=error.remedy)


def _fault(url: str, code: str, what: str, remedy: str = _LATER) -> SourceError:
    return SourceError(what, object=url, code=f"source-{code}", remedy=remedy)
