"""The HTTP end of the page: requests in, replies out. What they say is decided elsewhere.

    root.putChild(b"racks", People(answer, outside, clock))

A form may have 256 KiB; what is longer is not kept, and refused.
"""

from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from common.errors import RackferryError, WrongUsage
from common.sites import BodilessRequest
from regiond.web.guard import HEADERS, Asked, Outside

MOST_FORM_BYTES = 256 * 1024
_MOST_FIELDS = 10_000
HTML = "text/html; charset=utf-8"

_log = Logger()


@attrs.frozen
class Reply:
    """What is sent back. If there is a ``stream``, it does the rest by itself."""

    status: int = 200
    body: bytes = b""
    content_type: str = HTML
    headers: Mapping[str, str] = attrs.field(factory=dict)
    stream: Callable[[Request], None] | None = None


def redirect(to: str, headers: Mapping[str, str] | None = None) -> Reply:
    """After a form: look at that page."""
    return Reply(303, headers={"Location": to, **(headers or {})})


Answer = Callable[[Asked], Awaitable[Reply]]


class FormRequest(BodilessRequest):
    """A request whose body is kept if it is a short form."""

    kept = b""

    def gotLength(self, length: int | None) -> None:  # noqa: ARG002 - it may be a lie
        """Where the body would go; ours stays in memory (called by Twisted)."""
        super().gotLength(0)
        self._pieces = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Part of a body (called by Twisted)."""
        if self._pieces.tell() <= MOST_FORM_BYTES:
            self._pieces.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of it is there (called by Twisted)."""
        self.kept = self._pieces.getvalue()
        super().requestReceived(command, path, version)


class People(Resource):
    """Answers people's browsers.

    Args:
        answer: decides.
        outside: how the page is reached.
    """

    isLeaf = True

    def __init__(self, answer: Answer, outside: Outside) -> None:
        super().__init__()
        self._answer = answer
        self._outside = outside

    def render(self, request: Request) -> int:
        """Called by Twisted for every request."""
        answering = Deferred.fromCoroutine(self._respond(request))
        request.notifyFinish().addErrback(lambda _: answering.cancel())
        answering.addErrback(_gone)
        return NOT_DONE_YET

    async def _respond(self, request: Request) -> None:
        try:
            reply = await self._answer(asked_of(request, self._outside))
        except CancelledError:
            raise
        except RackferryError as error:  # the form itself cannot be read
            reply = Reply(400, f"{error.line()}\n".encode(), "text/plain; charset=utf-8")
        except Exception:  # noqa: BLE001 - a bug costs this request
            _log.failure("the page broke at {path}", path=request.path)
            reply = Reply(500, b"an internal error; it is in the log of regiond\n", "text/plain")
        _send(request, reply)


def _gone(failure: Failure) -> None:
    if not failure.check(CancelledError):
        _log.failure("the page broke", failure)


def _send(request: Request, reply: Reply) -> None:
    request.setResponseCode(reply.status)
    for name, value in {**HEADERS, "Content-Type": reply.content_type, **reply.headers}.items():
        request.setHeader(name, value)
    if reply.stream is not None:
        if request.method == b"HEAD":
            request.finish()
        else:
            reply.stream(request)
        return
    request.setHeader(b"content-length", b"%d" % len(reply.body))
    if request.method != b"HEAD":
        request.write(reply.body)
    request.finish()


def asked_of(request: Any, outside: Outside) -> Asked:
    """What a request says.

    Raises:
        WrongUsage: code ``web-form-malformed``.
    """

    def header(name: str) -> str:
        # As bytes: Twisted's own decoding fails on what is not UTF-8.
        return (request.getHeader(name.encode("ascii")) or b"").decode("latin-1")

    method = request.method.decode("ascii", "replace")
    address = request.getClientAddress()
    # Not urlsplit: it takes what follows "//" for a host, and fails on some.
    path, _, query = request.uri.decode("latin-1").partition("?")
    return Asked(
        "GET" if method == "HEAD" else method,
        path,
        {name: values[-1] for name, values in _fields(query).items()},
        _fields(_form_text(request)),
        outside.secret_in(header("cookie"), header("host")),
        str(getattr(address, "host", "")),
        header("host"),
        header("origin"),
        header("sec-fetch-site"),
        header("if-none-match"),
    )


def _form_text(request: FormRequest) -> str:
    if not request.kept:
        return ""
    kind = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip()
    if len(request.kept) > MOST_FORM_BYTES or kind != b"application/x-www-form-urlencoded":
        raise _malformed()
    try:
        return request.kept.decode("ascii")
    except UnicodeDecodeError:
        raise _malformed() from None


def _fields(text: str) -> dict[str, tuple[str, ...]]:
    try:
        found = parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise _malformed() from None
    return {name: tuple(values) for name, values in found.items()}


def _malformed() -> WrongUsage:
    return WrongUsage(
        "not a form of this page, or one of more than 256 KiB",
        object="form",
        code="web-form-malformed",
    )
