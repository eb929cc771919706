"""What a word of the admin shell is: the types of the table in ``common.words`` (pure)."""

from collections.abc import Mapping
from enum import StrEnum

import attrs

from common.digests import is_sha256

_LONGEST_SIZE = 18


class Kind(StrEnum):
    """The type of a parameter's value. LIST: repeated keys or commas. BYTES: key@=file.

    DURATION is typed as 90, 90s, 10m or 2h, and asked in seconds.

    FILE: key@=file, too, of any size: what is in the file is sent by itself, and the question
    has its name and size (``BlobName``).
    """

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    LIST = "list"
    BYTES = "bytes"
    DURATION = "duration"
    FILE = "file"


class Answer(StrEnum):
    """What comes back. ROWS: an array of objects. OBJECT: one. BOOLEAN: true or false."""

    ROWS = "rows"
    OBJECT = "object"
    BOOLEAN = "boolean"


class Place(StrEnum):
    """Who answers: the region, a rack, or the shell itself without any daemon."""

    REGION = "region"
    RACK = "rack"
    LOCAL = "local"


@attrs.frozen
class Parameter:
    """A ``key=value``.

    Attributes:
        values: what its values are, if a daemon knows them: a word of
            ``common.shell.live_values``, which completion looks up.
        choices: all the values that there are, if they are few.
        is_secret: a value that no history and no log may keep.
    """

    name: str
    help: str
    kind: Kind = Kind.TEXT
    required: bool = False
    values: str = ""
    choices: tuple[str, ...] = ()
    is_secret: bool = False


@attrs.frozen
class Verb:
    """One thing that can be asked.

    ``columns`` are the keys that a table for people shows, in order; JSON shows all.
    ``sections`` does the same for tables within an object.
    ``below``: those columns that stand on lines of their own below their row, each behind its
    mark, where the screen is too narrow for all.
    ``open_keys``: any further ``KEY=...`` is accepted, as this one under another name
    (``publish-source FTYPE@=FILE``); its ``values`` and ``choices`` are those of the name.
    ``example`` is what follows noun and verb in a line that can be pasted.
    ``is_carried``: the shell itself reads or writes the files; after an interruption the same
    line goes on.
    ``alone``: the key whose value stands alone on stdout for people, so that ``$(...)`` has it.
    ``changes``: it changes something, so that the audit keeps who asked for it.
    ``reads_alone``: but not if nothing follows it.
    ``takes_time``: the answer itself is waited for; so it is with the flag ``wait``.
    """

    noun: str
    verb: str
    help: str
    places: frozenset[Place]
    ids: tuple[str, ...] = ()
    optional_ids: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    flags: tuple[str, ...] = ()
    answer: Answer = Answer.OBJECT
    columns: tuple[str, ...] = ()
    sections: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    below: Mapping[str, str] = attrs.field(factory=dict)
    open_keys: Parameter | None = None
    is_carried: bool = False
    example: str = ""
    alone: str = ""
    changes: bool = False
    reads_alone: bool = False
    takes_time: bool = False

    @property
    def phrase(self) -> str:
        """A verb as it is typed: ``boot-sources read``."""
        return f"{self.noun} {self.verb}".strip()

    @property
    def example_line(self) -> str:
        """The whole line of the example, without the program's name."""
        return f"{self.phrase} {self.example}".strip()

    @property
    def name(self) -> str:
        """The name of the function that answers: ``boot_sources_create``."""
        return "_".join(filter(None, (self.noun, self.verb))).replace("-", "_")


TIMEOUT = Parameter(
    "timeout", "how long to wait for it; then exit code 4, and the work goes on", Kind.DURATION
)


_TIMEOUT_OF_CARRIED = attrs.evolve(
    TIMEOUT, help="how long it may take; then exit code 4, and the same line goes on with it"
)


def with_timeout(verb: Verb) -> Verb:
    """A verb that somebody may wait for, with the parameter that says for how long."""
    if verb.takes_time or "wait" in verb.flags:
        timeout = _TIMEOUT_OF_CARRIED if verb.is_carried else TIMEOUT
        return attrs.evolve(verb, parameters=(*verb.parameters, timeout))
    return verb


@attrs.frozen
class BlobName:
    """Bytes that a region was sent: what a FILE is in a question, as ``SHA256:SIZE``."""

    sha256: str
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.sha256}:{self.size_bytes}"

    @classmethod
    def parse(cls, text: str) -> "BlobName":
        """The inverse of ``str()``; raises ``ValueError``."""
        sha256, _, size = text.partition(":")
        if not is_sha256(sha256) or not size.isdecimal() or len(size) > _LONGEST_SIZE:
            raise ValueError(f"{text[:80]!r} is not SHA256:SIZE")
        return cls(sha256, int(size))


# What a parameter's value is in a question: BYTES are base64 text, LIST is a list of texts.
Value = str | int | bool | list[str]


@attrs.frozen
class Question:
    """One thing asked of a daemon, as it crosses the admin socket (JSON of these fields).

    ``asker`` is who asked, as the kernel knows: the daemon sets it, whatever a shell says.
    """

    noun: str
    verb: str = ""
    ids: tuple[str, ...] = ()
    parameters: Mapping[str, Value] = attrs.field(factory=dict)
    flags: tuple[str, ...] = ()
    asker: str = ""


REGION = frozenset({Place.REGION})
RACK = frozenset({Place.RACK})
BOTH = REGION | RACK
LOCAL = frozenset({Place.LOCAL})

# What the shell itself takes anywhere on a line.
OPTIONS: Mapping[str, str] = {
    "--socket PATH": "admin socket of the daemon to ask; or set RACKFERRY_SOCKET",
    "--json": "answers and errors in JSON",
    "--help": "explain a noun or a verb",
    "--version": "print the version",
}

# A flag means the same wherever it stands.
FLAGS: Mapping[str, str] = {
    "all": "what is over, too",
    "check": "only say what would be refused; send and change nothing",
    "follow": "go on with what comes, until Ctrl-C",
    "promote": "let all racks have what waits, now",
    "refresh": "ask the sources now",
    "uploads": "take uploaded images, too, which nobody signed",
    "wait": "until it is over; Ctrl-C ends the waiting, not the work",
}
