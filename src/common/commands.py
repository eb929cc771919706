"""The vocabulary of the wire: every AMP command, and nothing else.

Three conversations, each with its own listener and its own commands; the locator of a
listener is its allow-list.

* **Enrolment** (server TLS): ``Enrol``, and nothing else.
* **Control** (mutual TLS): rack to region ``Hello`` first, then ``Ping``, ``CurrentView``,
  ``ReadDocument``, ``ReadBlob``, ``ReportProgress``, ``ReportSync``; region to rack
  ``Ping``, ``ViewChanged``, ``SyncNow``.
* **Admin** (Unix socket): shell to daemon ``Ask``, ``ReadAnswer``, and to a region ``ReadBlob``,
  ``OpenUpload``, ``WriteUpload``, ``CloseUpload``; daemon to shell ``AnswerProgress``,
  ``AnswerItem``, ``ReadBundle``.

Every command declares every family of ``common.errors``: an undeclared error would drop
the connection. Values of more than 48 KiB travel in pieces (AMP's limit is 65,535 bytes).
"""

from typing import Any, ClassVar

from twisted.protocols import amp

from common.errors import TABLE

PROTOCOL_VERSION = 1
PIECE_BYTES = 48 * 1024
BLOB_PIECE_BYTES = 61_681
"""The most bytes of one ``ReadBlob``: 17 of these are one chunk, and AMP carries them."""

UPLOAD_WINDOW = 24
"""How many ``WriteUpload`` a shell sends ahead of their answers."""

PING_INTERVAL_S = 30.0
SILENCE_LIMIT_S = 75.0

ERRORS: dict[type[Exception], bytes] = {door.family: door.amp_code for door in TABLE}


class Enrol(amp.Command):
    """Rack to region, on the enrolment port: a certificate for a one-time secret.

    ``csr_der`` is a signing request; only its key counts. Repeating the command with the
    same key gives the same certificate, so that a lost answer can be asked for again.
    """

    arguments = [
        (b"secret", amp.String()),
        (b"csr_der", amp.String()),
        (b"name", amp.Unicode()),
        (b"version", amp.Unicode()),
    ]
    response = [
        (b"certificate_pem", amp.String()),
        (b"ca_pem", amp.String()),
        (b"region_name", amp.Unicode()),
    ]
    errors = ERRORS


class Hello(amp.Command):
    """Rack to region, first on a control connection; any other command before it is refused.

    ``now`` is the rack's clock, in seconds since the epoch. ``endpoints`` is JSON: one ``{"region", "hosts", "rpc_port", "images_port"}`` per
    region, with the ports really bound.
    """

    arguments = [
        (b"version", amp.Unicode()),
        (b"protocol", amp.Integer()),
        (b"now", amp.Float(optional=True)),
    ]
    response = [
        (b"version", amp.Unicode()),
        (b"protocol", amp.Integer()),
        (b"region_name", amp.Unicode()),
        (b"rack_name", amp.Unicode()),
        (b"endpoints", amp.String()),
    ]
    errors = ERRORS


class Ping(amp.Command):
    """Either way: are you there?"""

    arguments: ClassVar[list[Any]] = []
    response: ClassVar[list[Any]] = []
    errors = ERRORS


class CurrentView(amp.Command):
    """Rack to region: the generation and the digest of the view this rack is to hold.

    ``held`` is the digest of the view that the rack holds complete now, or "".
    """

    arguments = [(b"held", amp.Unicode())]
    response = [(b"generation", amp.Integer()), (b"digest", amp.Unicode())]
    errors = ERRORS


class ReadDocument(amp.Command):
    """Rack to region: a piece of a view or image document, by its SHA-256."""

    arguments = [(b"sha256", amp.Unicode()), (b"offset", amp.Integer())]
    response = [(b"piece", amp.String()), (b"size_bytes", amp.Integer())]
    errors = ERRORS


class ReadBlob(amp.Command):
    """A piece of a blob, or of its digest list: to a rack of those in its view, to the shell of any.

    ``length`` is from 1 to ``BLOB_PIECE_BYTES``, and the piece lies within one chunk. A
    region that holds racks to a limit may answer the first part of it, or none: the rest is
    to be asked for again. ``size_bytes`` is the size of what the piece is of.
    """

    arguments = [
        (b"sha256", amp.Unicode()),
        (b"of_digests", amp.Boolean()),
        (b"offset", amp.Integer()),
        (b"length", amp.Integer()),
    ]
    response = [(b"piece", amp.String()), (b"size_bytes", amp.Integer())]
    errors = ERRORS


class ReportProgress(amp.Command):
    """Rack to region, at most once a second while it transfers; kept in memory."""

    arguments = [
        (b"generation", amp.Integer()),
        (b"fetched_bytes", amp.Integer()),
        (b"total_bytes", amp.Integer()),
    ]
    response: ClassVar[list[Any]] = []
    errors = ERRORS


class ReportSync(amp.Command):
    """Rack to region: how a sync ended.

    ``held`` is the digest of the view now complete on disk ("" for none), ``problem`` the
    JSON of an error object, or "" when all is well.
    """

    arguments = [
        (b"generation", amp.Integer()),
        (b"held", amp.Unicode()),
        (b"problem", amp.Unicode()),
    ]
    response: ClassVar[list[Any]] = []
    errors = ERRORS


class ViewChanged(amp.Command):
    """Region to rack: your view is another one now. A hint; the rack asks ``CurrentView``."""

    arguments = [(b"generation", amp.Integer()), (b"digest", amp.Unicode())]
    response: ClassVar[list[Any]] = []
    errors = ERRORS


class SyncNow(amp.Command):
    """Region to rack: an admin wants a sync now."""

    arguments: ClassVar[list[Any]] = []
    response: ClassVar[list[Any]] = []
    errors = ERRORS


class Ask(amp.Command):
    """Shell to daemon: a question of ``common.vocabulary``.

    ``question`` is JSON: ``{"noun", "verb", "ids", "parameters", "flags"}``. The answer is
    JSON too; its first piece comes at once, the rest by ``ReadAnswer`` with the ticket.
    """

    arguments = [(b"question", amp.String())]
    response = [
        (b"piece", amp.String()),
        (b"size_bytes", amp.Integer()),
        (b"ticket", amp.Integer()),
    ]
    errors = ERRORS


class ReadAnswer(amp.Command):
    """Shell to daemon: a further piece of an answer."""

    arguments = [(b"ticket", amp.Integer()), (b"offset", amp.Integer())]
    response = [(b"piece", amp.String())]
    errors = ERRORS


class AnswerItem(amp.Command):
    """Daemon to shell: the next item of an answer that goes on, in pieces.

    The shell says when it has dealt with it, so that one that does not read is sent no more.
    """

    arguments = [(b"piece", amp.String()), (b"is_last", amp.Boolean())]
    response: ClassVar[list[Any]] = []
    errors = ERRORS


class ReadBundle(amp.Command):
    """Region to shell, while it imports a bundle: a piece of one of the bundle's files.

    ``length`` is from 1 to ``BLOB_PIECE_BYTES``; where the file ends the piece is shorter.
    ``size_bytes`` is the size of the file.
    """

    arguments = [
        (b"path", amp.Unicode()),
        (b"offset", amp.Integer()),
        (b"length", amp.Integer()),
    ]
    response = [(b"piece", amp.String()), (b"size_bytes", amp.Integer())]
    errors = ERRORS


class AnswerProgress(amp.Command):
    """Daemon to shell, while a question with ``wait`` is being worked on."""

    arguments = [(b"progress", amp.String())]
    response: ClassVar[list[Any]] = []
    errors = ERRORS
    requiresAnswer = False


class OpenUpload(amp.Command):
    """Shell to region: bytes will come, of that name and size; one upload per connection.

    ``held_bytes`` is how many of them are held and verified: whole chunks, or all. What
    follows begins there. Opening another one gives up the one before.
    """

    arguments = [(b"sha256", amp.Unicode()), (b"size_bytes", amp.Integer())]
    response = [(b"held_bytes", amp.Integer())]
    errors = ERRORS


class WriteUpload(amp.Command):
    """Shell to region: the next bytes, ``PIECE_BYTES`` at most, in order and without gaps.

    Some may be under way at once (``UPLOAD_WINDOW``); an answer says that there is room for
    another, not that this one is kept.
    """

    arguments = [(b"offset", amp.Integer()), (b"piece", amp.String())]
    response: ClassVar[list[Any]] = []
    errors = ERRORS


class CloseUpload(amp.Command):
    """Shell to region: that was all. Answered when it is verified, complete and durable."""

    arguments: ClassVar[list[Any]] = []
    response: ClassVar[list[Any]] = []
    errors = ERRORS
