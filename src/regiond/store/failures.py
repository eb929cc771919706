"""What the database says went wrong, in the project's own errors.

Codes: https://sqlite.org/rescode.html and https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import sqlite3
from enum import Enum
from json import JSONDecodeError

import attrs
from sqlalchemy.exc import DBAPIError

from common.errors import Busy, NoSpace, RackferryError, StorageError

Fault = DBAPIError | sqlite3.Error | JSONDecodeError | UnicodeDecodeError
FAULTS = (DBAPIError, sqlite3.Error, JSONDecodeError, UnicodeDecodeError)
"""What comes of a database that fails, or that gives what nobody wrote into it."""


_NO_TEXT = "Could not decode to UTF-8"  # Python's own words, without a code of SQLite


class Trouble(Enum):
    """Kinds of failure. RETRY: the same transaction may succeed if it is tried again."""

    RETRY = "retry"
    FULL = "full"
    DAMAGED = "damaged"
    LOST = "lost"
    REFUSED = "refused"
    BUG = "bug"


_SQLITE = {
    sqlite3.SQLITE_BUSY: Trouble.RETRY,
    sqlite3.SQLITE_LOCKED: Trouble.RETRY,
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_CORRUPT: Trouble.DAMAGED,
    sqlite3.SQLITE_NOTADB: Trouble.DAMAGED,
    sqlite3.SQLITE_IOERR: Trouble.REFUSED,
    sqlite3.SQLITE_READONLY: Trouble.REFUSED,
    sqlite3.SQLITE_CANTOPEN: Trouble.REFUSED,
    sqlite3.SQLITE_PERM: Trouble.REFUSED,
    sqlite3.SQLITE_AUTH: Trouble.REFUSED,
}
_POSTGRESQL = {
    "40001": Trouble.RETRY,  # serialization failure
    "40P01": Trouble.RETRY,  # deadlock
    "55P03": Trouble.RETRY,  # lock not available
    # A rival inserted the row that this transaction looked for and did not see; the second
    # attempt sees it and says so in words.
    "23505": Trouble.RETRY,
    "53100": Trouble.FULL,
    "XX001": Trouble.DAMAGED,
    "XX002": Trouble.DAMAGED,
    "58030": Trouble.REFUSED,
    "25006": Trouble.REFUSED,  # read-only
    "42501": Trouble.REFUSED,  # insufficient privilege
    "57P01": Trouble.LOST,
    "57P02": Trouble.LOST,
    "57P03": Trouble.LOST,
}


@attrs.frozen
class _Words:
    family: type[RackferryError]
    code: str
    message: str
    remedy: str


_WORDS = {
    Trouble.RETRY: _Words(
        Busy,
        "database-busy",
        "the database stayed busy",
        "try again; find out which other program has it open",
    ),
    Trouble.FULL: _Words(
        NoSpace,
        "no-space",
        "the database cannot grow: its disk is full",
        "free space on the disk of the database",
    ),
    Trouble.DAMAGED: _Words(
        StorageError,
        "database-damaged",
        "the database is damaged",
        "whatever still verifies is served; restore a backup, or delete the file and import again",
    ),
    Trouble.LOST: _Words(
        StorageError,
        "database-unreachable",
        "the connection to the database is lost",
        "look whether the database server runs and can be reached",
    ),
    Trouble.REFUSED: _Words(
        StorageError,
        "storage",
        "the database cannot be read or written",
        "check the disk, the owner and the permissions of the database",
    ),
}


def trouble_of(error: Fault) -> Trouble:
    """Which kind of failure this is."""
    if isinstance(error, JSONDecodeError | UnicodeDecodeError):
        return Trouble.DAMAGED
    cause = _cause(error)
    if isinstance(cause, sqlite3.Error):
        # The extended code has the primary one in its low byte.
        code: int | None = getattr(cause, "sqlite_errorcode", None)
        if code is None and str(cause).startswith(_NO_TEXT):
            return Trouble.DAMAGED
        return Trouble.BUG if code is None else _SQLITE.get(code & 0xFF, Trouble.BUG)
    state = getattr(cause, "sqlstate", None)
    is_invalid = isinstance(error, DBAPIError) and error.connection_invalidated
    if is_invalid or (state or "08000").startswith("08"):
        return Trouble.LOST
    return _POSTGRESQL.get(str(state), Trouble.BUG)


def _cause(error: Fault) -> BaseException | None:
    """What the driver said; SQLAlchemy wraps it, except while a connection is set up."""
    return error.orig if isinstance(error, DBAPIError) else error


def expected_error(error: Fault, place: str) -> RackferryError | None:
    """The failure in words, about the database at ``place``; None for a bug."""
    words = _WORDS.get(trouble_of(error))
    if words is None:
        return None
    reason = " ".join(str(_cause(error)).split())
    return words.family(
        f"{words.message} ({reason})", object=place, code=words.code, remedy=words.remedy
    )
