"""Bytes over HTTP/1.1: an ``Origin`` of ``common.fetching`` on a twisted.web agent.

Plain ``Agent`` and no treq: treq asks for gzip by itself, and its collectors have no
back-pressure. No Accept-Encoding is sent, so bytes come as they are.
"""

from collections.abc import Callable, Iterator
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError, RequestNotSent  # exported nowhere else
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IResponse

from common.errors import RackferryError, TransferError
from common.inflow import Receiver
from common.sockets import receive_much
from common.transfer import Head


class HttpOrigin:
    """One URL on one server.

    Args:
        agent: makes the requests (``common.redirects.source_agent`` for boot sources, an
            agent with the rack's certificate for a region).
        url: of the bytes; without credentials.
        headers: gives the headers of each request, credentials for example.
        note: stands after the URL in messages, for example through which proxy it goes.
    """

    def __init__(
        self, agent: IAgent, url: str, *, headers: Callable[[], Headers] = Headers, note: str = ""
    ) -> None:
        self.name = f"{url}{note}"
        self._url = url
        self._agent = agent
        self._headers = headers

    async def open(self, offset: int) -> "HttpBody":
        """Ask for the bytes from ``offset`` on.

        Raises:
            TransferError: codes ``transfer-connect`` and ``transfer-cut``.
            SourceError: a redirect that is not followed.
        """
        headers = self._headers().copy()
        if offset:
            headers.setRawHeaders(b"range", [b"bytes=%d-" % offset])
        return HttpBody(await get(self._agent, self._url, headers, self.name), self.name)


UNREACHABLE = (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    ParseError,
    RequestGenerationFailed,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseFailed,
)
"""What an agent raises when the network or the server fails; anything else is a bug."""


async def get(agent: IAgent, url: str, headers: Headers, name: str = "") -> IResponse:
    """The response to one GET; its body was not read yet.

    Raises:
        TransferError: no answer; codes ``transfer-connect``, ``transfer-cut``,
            ``transfer-certificate`` and ``transfer-proxy``.
        SourceError: a redirect that is not followed, or a proxy that wants a password.
    """
    try:
        return await cancellable(agent.request(b"GET", url.encode("ascii"), headers, None))
    except UNREACHABLE as error:
        raise unreachable(error, name or url) from error


def unreachable(error: Exception, url: str) -> TransferError:
    """What one of ``UNREACHABLE`` becomes."""
    for cause in _causes(error):
        if isinstance(cause, TransferError):  # a proxy's, which has words of its own
            return cause
        why = _certificate_fault(cause)
        if why:
            return TransferError(
                f"{url} could not be read: {why}",
                code="transfer-certificate",
                remedy="look at whose certificate is there, and at whom this machine believes",
            )
    connecting = isinstance(error, ConnectError | DNSLookupError)
    return TransferError(
        f"{url} could not be {'reached' if connecting else 'read'}: {_reason(error)}",
        code="transfer-connect" if connecting else "transfer-cut",
        remedy="look at the address, the server behind it and the network between",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """All that stands in twisted.web's nested failures."""
    yield error
    for failure in getattr(error, "reasons", ()):
        yield from _causes(failure.value)


def _certificate_fault(error: BaseException) -> str:
    if isinstance(error, VerificationError):
        return "its certificate is for another name"
    if isinstance(error, SSL.Error) and "certificate verify failed" in str(error):
        return "its certificate is signed by none of those that are trusted, or is out of date"
    return ""


def cancellable(request: Deferred[IResponse]) -> Deferred[IResponse]:
    """The same request; when cancelled, it fails with CancelledError and nothing else.

    twisted.web fails a cancelled request with DNSLookupError, ConnectingCancelledError or
    ResponseFailed, depending on how far it came: each of them would be tried again.
    """
    cancelled = False

    def cancel(_: Deferred[IResponse]) -> None:
        nonlocal cancelled
        cancelled = True
        request.cancel()

    def forward(result: IResponse | Failure) -> None:
        if not cancelled:
            answer.callback(result)

    answer: Deferred[IResponse] = Deferred(cancel)
    request.addBoth(forward)
    return answer


def _reason(error: BaseException | None) -> str:
    """The innermost reasons of twisted.web's nested failures, in one line.

    Some have no words (``_DataLoss``); they are left out where another one has.
    """
    nested = [failure.value for failure in getattr(error, "reasons", ())]
    if nested:
        worded = [each for each in nested if str(each)]
        return "; ".join(_reason(each) for each in worded or nested)
    return str(error) or type(error).__name__


def header_values(response: IResponse, name: bytes) -> list[str]:
    """What a response says under a name; bytes that are no UTF-8 are replaced, not trusted."""
    return [each.decode("utf-8", "replace") for each in response.headers.getRawHeaders(name, [])]


def first_header(response: IResponse, name: bytes) -> str:
    """The first of ``header_values``; "" if there is none."""
    return next(iter(header_values(response, name)), "")


class HttpBody(Protocol):
    """The answer to one request; see ``common.fetching.Body``."""

    def __init__(self, response: IResponse, name: str) -> None:
        self.head = Head(
            response.code,
            ", ".join(header_values(response, b"content-range")) or None,
            None if response.length is UNKNOWN_LENGTH else response.length,
        )
        self._response = response
        self._name = name
        self._receiver: Receiver | None = None
        self._attached = False
        self._over = False

    def deliver(self, receiver: Receiver) -> None:
        """Let the bytes flow into ``receiver``."""
        self._receiver = receiver
        self._attached = True
        self._response.deliverBody(self)
        receive_much(_beneath_proxy(self.transport))

    def pause(self) -> None:
        """Stop reading the socket."""
        if self.transport is not None and not self._over:
            self.transport.pauseProducing()  # type: ignore[attr-defined] # a TransportProxyProducer

    def resume(self) -> None:
        """Read the socket again."""
        if self.transport is not None and not self._over:
            self.transport.resumeProducing()  # type: ignore[attr-defined] # a TransportProxyProducer

    def abort(self) -> None:
        """Drop the connection at once; a body that is over gave it back to the pool already."""
        self._receiver = None
        if not self._attached:
            self._attached = True
            self._response.deliverBody(self)
        transport = _beneath_proxy(self.transport)
        if not self._over and transport is not None:
            transport.abortConnection()

    def was_held(self) -> bool:
        """A server does not say whether it holds bytes back."""
        return False

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the body, decoded from chunked transfer coding."""
        if self._receiver is not None:
            self._receiver.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body is over. Whether it was whole is for the receiver to count."""
        self._over = True
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.ended(self._error(reason))

    def _error(self, reason: Failure) -> RackferryError | None:
        if reason.check(ResponseDone, PotentialDataLoss):
            return None
        return TransferError(
            f"{self._name} was cut off: {_reason(reason.value)}",
            code="transfer-cut",
            remedy="look at the server and the network between",
        )


def _beneath_proxy(proxy: object) -> Any:
    """What the response's transport proxy stands for; None once the body is over.

    The proxy of twisted.web offers neither what tunes a socket nor abortConnection. Its
    loseConnection waits under TLS for the peer's goodbye: for ever, if reading is paused.
    """
    return getattr(proxy, "_producer", None)
