"""An HTTP proxy in this process, with scripted faults: absolute-form requests and tunnels."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

PAGE = b"<html><body>please log in</body></html>"


class WebProxy(Factory):
    """Listens on loopback.

    Attributes:
        heads: the first lines and headers of all requests, as text.
        hosts: names that only this proxy knows, to ports of loopback.
        authorization: the header that it demands, if any.
        fault: what it does instead of its work, after the request: ``close``, ``silent``,
            ``endless`` (a head without end), ``garbage``, ``page`` (200 and a page of its own,
            with the head), ``late page`` (the page when the client has spoken), or a status
            line to answer with.
        only: the fault is for targets that hold this.
    """

    noisy = False

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.hosts: dict[str, int] = {}
        self.authorization = ""
        self.fault = ""
        self.only = ""
        self.connections: set[Protocol] = set()
        self.opened = 0
        self._port: IListeningPort | None = None

    def buildProtocol(self, addr: Any) -> Protocol:
        self.opened += 1
        return _Client(self)

    def listen(self, reactor: Any) -> str:
        """Begin; its address, as ``proxy=`` takes it."""
        self.reactor = reactor
        self._port = reactor.listenTCP(0, self, interface="127.0.0.1")
        return f"http://127.0.0.1:{self._port.getHost().port}"

    async def stop(self) -> None:
        """Stop, and drop what is open."""
        for connection in list(self.connections):
            connection.transport.abortConnection()
        if self._port is not None:
            stopped = self._port.stopListening()
            self._port = None
            if isinstance(stopped, Deferred):
                await stopped

    @property
    def targets(self) -> list[str]:
        """What was asked for, in order: ``GET http://...`` or ``CONNECT host:port``."""
        return [head.splitlines()[0].rpartition(" HTTP/")[0] for head in self.heads]


class _Client(Protocol):
    def __init__(self, proxy: WebProxy) -> None:
        self._proxy = proxy
        self._data = b""
        self._far: _Far | None = None
        self._target = ("", 0)
        self._is_tunnel = False
        self._is_over = False

    def connectionMade(self) -> None:
        self._proxy.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_over = True
        self._proxy.connections.discard(self)
        if self._far is not None:
            self._far.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._is_tunnel:
            if self._proxy.fault == "late page":
                self.transport.write(PAGE)
            elif self._far is not None:
                self._far.transport.write(data)
            return
        self._data += data
        while b"\r\n\r\n" in self._data and not self._is_tunnel:
            head, self._data = self._data.split(b"\r\n\r\n", 1)
            self._asked(head)

    def _asked(self, head: bytes) -> None:
        proxy = self._proxy
        proxy.heads.append(head.decode("latin-1"))
        method, target, _ = head.split(b"\r\n")[0].decode("ascii").split(" ")
        if proxy.authorization and f"proxy-authorization: {proxy.authorization}" not in (
            proxy.heads[-1].replace("Proxy-Authorization", "proxy-authorization")
        ):
            self._answer("407 Proxy Authentication Required", PAGE)
        elif proxy.fault not in {"", "late page"} and proxy.only in target:
            self._do_fault(proxy.fault)
        elif method == "CONNECT":
            self._is_tunnel = True
            host, _, port = target.rpartition(":")
            self._reach((host, int(port)), b"", b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            place, _, path = target.removeprefix("http://").partition("/")
            host, _, port = place.partition(":")
            inner = head.replace(target.encode(), b"/" + path.encode(), 1)
            inner = b"\r\n".join(
                line for line in inner.split(b"\r\n") if not line.lower().startswith(b"proxy-")
            )
            self._reach((host, int(port or 80)), inner + b"\r\n\r\n", b"")

    def _do_fault(self, fault: str) -> None:
        if fault == "close":
            self.transport.loseConnection()
        elif fault == "endless":
            self.transport.write(b"HTTP/1.1 200 OK\r\n")
            self.transport.registerProducer(_Endless(self.transport), False)
        elif fault == "garbage":
            self.transport.write(b"\x00\x01 this is no HTTP\r\n\r\n")
        elif fault == "page":
            self._answer("200 OK", PAGE)
        elif fault != "silent":
            self._answer(fault, PAGE)

    def _answer(self, status: str, page: bytes) -> None:
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\n\r\n"
        )
        self.transport.write(head.encode() + page)

    def _reach(self, target: tuple[str, int], request: bytes, answer: bytes) -> None:
        if self._far is not None and target == self._target:
            self._far.transport.write(request)
            return
        self._target = target
        host, port = target
        port = self._proxy.hosts.get(host, port)
        reached = TCP4ClientEndpoint(self._proxy.reactor, "127.0.0.1", port).connect(
            Factory.forProtocol(lambda: _Far(self))
        )

        def go_on(far: _Far) -> None:
            if self._is_over:
                far.transport.abortConnection()
                return
            self._far = far
            self.transport.write(answer)
            far.transport.write(request)

        reached.addCallbacks(go_on, lambda _: self._answer("502 Bad Gateway", PAGE))


class _Far(Protocol):
    def __init__(self, near: _Client) -> None:
        self._near = near

    def connectionMade(self) -> None:
        self._near._proxy.connections.add(self)

    def dataReceived(self, data: bytes) -> None:
        self._near.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._near._proxy.connections.discard(self)
        self._near.transport.loseConnection()


class _Endless:
    """A head that never ends."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def resumeProducing(self) -> None:
        self._transport.write(b"X-More: and more\r\n" * 512)

    def stopProducing(self) -> None:
        pass
