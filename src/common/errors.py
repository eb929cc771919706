"""Every failure that Rackferry expects, and what each becomes at every door.

An error says what happened, to which object, and what to do about it. The same four
fields reach the shell (``{"error": {...}}``), the event table, the log and the wire.

The rules of this file:

* One class per *family*. A family fixes the AMP code, the HTTP status and the exit code
  (``TABLE``); the finer ``code`` is what scripts and tests look at.
* Anything that is not a ``RackferryError`` is a bug. Responders turn it into
  ``InternalError`` with a reference number, and its text never leaves the process.
* Nothing here does I/O.
"""

import json

import attrs


class RackferryError(Exception):
    """A failure we expect: ``code`` for machines, the rest for people.

    Attributes:
        message: what happened and why, one line.
        object: the thing it happened to ("boot-source 1", a path, a rack's name).
        code: a stable, lower-case, dashed word; the family's own code by default.
        remedy: what to do, one line; empty when there is nothing to do.
    """

    family_code = "error"

    def __init__(self, message: str, *, object: str = "", code: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.object = object
        self.code = code or self.family_code
        self.remedy = remedy

    def to_json(self) -> dict[str, str]:
        """The error object of the shell and of HTTP answers."""
        return {
            "code": self.code,
            "object": self.object,
            "message": self.message,
            "remedy": self.remedy,
        }

    def line(self) -> str:
        """One line for a person or a log."""
        subject = f"{self.object}: " if self.object else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{subject}{self.message}{remedy}"


class WrongUsage(RackferryError):
    """The question itself was wrong: unknown word, missing or malformed value."""

    family_code = "wrong-usage"


class NotFound(RackferryError):
    """The named thing does not exist, or not for this asker."""

    family_code = "not-found"


class Conflict(RackferryError):
    """The thing exists already, or something else is going on with it."""

    family_code = "conflict"


class Refused(RackferryError):
    """The peer may not do this: forged, expired, used or deleted credentials."""

    family_code = "refused"


class ConfigError(RackferryError):
    """A configuration file, directory, port or database cannot be used as it is."""

    family_code = "config"


class ProtocolError(RackferryError):
    """The peer broke the protocol: no hello, another version, an oversized box."""

    family_code = "protocol"


class SourceError(RackferryError):
    """A boot source could not be read, or what it says cannot be used."""

    family_code = "source"


class SignatureError(SourceError):
    """A document is not signed as its source demands. Codes start with ``signature-``."""

    family_code = "signature-invalid"


class TransferError(RackferryError):
    """Bytes did not arrive: cut, stalled, refused, or given up after retries."""

    family_code = "transfer"


class IntegrityError(RackferryError):
    """Bytes arrived and are not the bytes that were promised."""

    family_code = "integrity"


class RangeError(RackferryError):
    """A Range header is malformed or lies outside the bytes."""

    family_code = "range"


class NoSpace(RackferryError):
    """A disk or database is full."""

    family_code = "no-space"


class StorageError(RackferryError):
    """A disk or database refused an operation other than for lack of space."""

    family_code = "storage"


class Stale(RackferryError):
    """Somebody else took over: the lease or its fencing token is no longer ours."""

    family_code = "stale"


class Busy(RackferryError):
    """Too many requests at once; try again."""

    family_code = "busy"


class TooOften(Busy):
    """The same asker, or all together, tried more often than they may; later again."""

    family_code = "too-often"


class NoDaemon(RackferryError):
    """No daemon answers on that socket or address."""

    family_code = "no-daemon"


class TimedOut(RackferryError):
    """No answer in time."""

    family_code = "timed-out"


class InternalError(RackferryError):
    """A bug. ``message`` carries a reference number that is in the daemon's log."""

    family_code = "internal"


def bug(error: BaseException, object: str, what: str) -> InternalError:
    """What people are told of a bug that costs ``object`` only; its traceback is in the log."""
    return InternalError(
        f"{what}: an internal error ({type(error).__name__})",
        object=object,
        remedy="report it, with the log of regiond",
    )


@attrs.frozen
class Door:
    """What one family becomes at each door."""

    family: type[RackferryError]
    amp_code: bytes
    http_status: int
    exit_code: int


TABLE: tuple[Door, ...] = (
    Door(WrongUsage, b"WRONG_USAGE", 400, 2),
    Door(NotFound, b"NOT_FOUND", 404, 1),
    Door(Conflict, b"CONFLICT", 409, 1),
    Door(Refused, b"REFUSED", 403, 1),
    Door(ConfigError, b"CONFIG", 500, 1),
    Door(ProtocolError, b"PROTOCOL", 400, 1),
    Door(SignatureError, b"SIGNATURE", 502, 1),
    Door(SourceError, b"SOURCE", 502, 1),
    Door(TransferError, b"TRANSFER", 502, 1),
    Door(IntegrityError, b"INTEGRITY", 500, 1),
    Door(RangeError, b"RANGE", 416, 1),
    Door(NoSpace, b"NO_SPACE", 507, 1),
    Door(StorageError, b"STORAGE", 500, 1),
    Door(Stale, b"STALE", 409, 1),
    Door(Busy, b"BUSY", 503, 1),
    Door(TooOften, b"TOO_OFTEN", 429, 1),
    Door(NoDaemon, b"NO_DAEMON", 503, 3),
    Door(TimedOut, b"TIMED_OUT", 504, 4),
    Door(InternalError, b"INTERNAL", 500, 1),
)

_DOORS = {door.family: door for door in TABLE}


def door_of(error: RackferryError) -> Door:
    """The row of ``TABLE`` that an error belongs to."""
    return _DOORS[type(error)]


def packed(error: RackferryError) -> RackferryError:
    """The same family with all four fields in its message, as AMP carries only a text."""
    return type(error)(json.dumps(error.to_json()))


def unpacked(error: RackferryError) -> RackferryError:
    """Undo ``packed``; an error that was never packed comes back as it is."""
    try:
        fields = json.loads(error.message)
        return type(error)(
            str(fields["message"]),
            object=str(fields["object"]),
            code=str(fields["code"]),
            remedy=str(fields["remedy"]),
        )
    except (ValueError, KeyError, TypeError):
        return error
