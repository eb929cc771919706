"""A boot source in this process: HTTP on loopback, with scripted faults and counters."""

import gzip
import hashlib
from collections import Counter
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from common.errors import RangeError
from common.ranges import requested_slice
from tests.doubles.gpg_keys import signed
from tests.doubles.stream_documents import INDEX_PATH, STABLE_PATH, index, product_file, text


@attrs.frozen
class Fault:
    """What is wrong with a path.

    Attributes:
        status: answer with this and a page for people.
        location: redirect there.
        silent: never answer.
        stop_at: stop after so many bytes of the body, and keep the connection.
        cut_at: drop the connection after so many bytes of the body.
        endless: send bytes for ever.
        gzip: compress, unasked.
        header: answer as usual, with this header.
        times: how many requests it hits; the others are answered.
    """

    status: int = 0
    location: str = ""
    silent: bool = False
    stop_at: int | None = None
    cut_at: int | None = None
    endless: bool = False
    gzip: bool = False
    header: tuple[bytes, bytes] | None = None
    times: int = 1_000_000


class StreamSource(Resource):
    """Files by path, served with ETag and Range.

    Attributes:
        files: path to content; change it at any time.
        faults: path to fault.
        requests: how often each path was asked for.
        headers: the headers of the last request of each path.
        has_validators: whether answers carry an ETag and conditions are honoured.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, Fault] = {}
        self.requests: Counter[str] = Counter()
        self.headers: dict[str, dict[str, str]] = {}
        self.sent_bytes = 0
        self.has_validators = True
        self.on_request: Any = lambda path: None
        self._port: IListeningPort | None = None
        self._open: set[Request] = set()

    def publish(
        self,
        *products: dict[str, Any],
        keys: tuple[str, ...] = ("ed25519",),
        **more: Any,
    ) -> None:
        """Put a signed index and one signed product file in place."""
        self.files[STABLE_PATH] = signed(text(product_file(*products, **more)), *keys)
        dates = {key: value for key, value in more.items() if key == "updated"}
        self.files[INDEX_PATH] = signed(text(index(**dates)), *keys)

    def listen(self, reactor: IReactorTCP, port: int = 0, tls: Any = None) -> str:
        """Begin to serve; the base URL. ``tls``: as whom, by https."""
        site = Site(self) if tls is None else TLSMemoryBIOFactory(tls, False, Site(self))
        self._port = reactor.listenTCP(port, site, interface="127.0.0.1")
        return f"http{'s' if tls else ''}://127.0.0.1:{self.port}/"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port.getHost().port

    def drop_connections(self) -> None:
        """Drop whatever is still open."""
        for request in list(self._open):
            request.transport.abortConnection()

    async def stop(self) -> None:
        """Stop, and drop whatever is still open."""
        self.drop_connections()
        if self._port is not None:
            stopped = self._port.stopListening()
            if isinstance(stopped, Deferred):
                await stopped

    def render_GET(self, request: Request) -> bytes | int:
        """Answer, as the path's fault wants it."""
        path = request.path.decode("ascii").lstrip("/")
        self.requests[path] += 1
        self.headers[path] = {
            name.decode().lower(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.on_request(path)
        fault = self.faults.get(path)
        if fault is not None and fault.header is not None:
            request.responseHeaders.addRawHeader(*fault.header)
        elif fault is not None and self.requests[path] <= fault.times:
            return self._faulty(request, path, fault)
        content = self.files.get(path)
        if content is None:
            return self._page(request, 404)
        return self._answer(request, content)

    def _answer(self, request: Request, content: bytes) -> bytes:
        if self.has_validators:
            etag = hashlib.sha256(content).hexdigest()[:16].encode()
            if request.setETag(b'"%s"' % etag) is CACHED:
                return b""
        given = request.getHeader("range")
        try:
            status, part = requested_slice(given, len(content))
        except RangeError:
            request.setHeader("content-range", f"bytes */{len(content)}")
            return self._page(request, 416)
        if status == 206:
            request.setResponseCode(206)
            request.setHeader("content-range", part.content_range)
        sent = content[part.first : part.stop]
        self.sent_bytes += len(sent)
        return sent

    def _faulty(self, request: Request, path: str, fault: Fault) -> bytes | int:
        self._open.add(request)
        request.notifyFinish().addBoth(lambda _: self._open.discard(request))
        content = self.files.get(path, b"")
        if fault.location:
            request.redirect(fault.location.encode())
            return b""
        if fault.status:
            return self._page(request, fault.status)
        if fault.gzip:
            request.setHeader("content-encoding", "gzip")
            return gzip.compress(content)
        if fault.endless:
            request.registerProducer(_Endless(request), False)
        elif fault.stop_at is not None:
            request.setHeader("content-length", str(len(content)))
            request.write(content[: fault.stop_at])
        elif fault.cut_at is not None:
            request.setHeader("content-length", str(len(content)))
            request.write(content[: fault.cut_at])
            # While the channel is the transport's producer, a full buffer would keep it open.
            request.transport.unregisterProducer()
            request.transport.loseConnection()
        return NOT_DONE_YET

    def _page(self, request: Request, status: int) -> bytes:
        request.setResponseCode(status)
        request.setHeader("content-type", "text/html")
        return b"<html><body>a page for people</body></html>"


class _Endless:
    """A pull producer that never ends."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def resumeProducing(self) -> None:
        self._request.write(b" " * 65536)

    def stopProducing(self) -> None:
        pass
