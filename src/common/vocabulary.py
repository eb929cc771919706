"""Every word of the admin shell: nouns, verbs, ids, parameters, flags (pure).

One table for both ends of the admin socket. The shell's grammar, its completion and its
help are made from it; the daemons check questions against it and answer them by name:
``boot-sources create`` is answered by ``boot_sources_create``.

The grammar is the MAAS CLI's without ``maas $PROFILE``:

    rackferry [options] NOUN VERB [ID...] [key=value | key@=file | flag ...]
"""

from collections.abc import Mapping
from enum import StrEnum

import attrs


class Kind(StrEnum):
    """The type of a parameter's value. LIST: repeated keys or commas. BYTES: key@=file."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    LIST = "list"
    BYTES = "bytes"


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
    """A ``key=value``."""

    name: str
    help: str
    kind: Kind = Kind.TEXT
    required: bool = False


@attrs.frozen
class Verb:
    """One thing that can be asked.

    ``columns`` are the keys that a table for people shows, in order; JSON shows all.
    ``sections`` does the same for tables within an object.
    ``open_keys``: any further ``KEY=...`` is accepted (``publish-source FTYPE@=FILE``).
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
    open_keys: bool = False

    @property
    def name(self) -> str:
        """The name of the function that answers: ``boot_sources_create``."""
        return "_".join(filter(None, (self.noun, self.verb))).replace("-", "_")


# What a parameter's value is in a question: BYTES are base64 text, LIST is a list of texts.
Value = str | int | bool | list[str]


@attrs.frozen
class Question:
    """One thing asked of a daemon, as it crosses the admin socket (JSON of these fields)."""

    noun: str
    verb: str = ""
    ids: tuple[str, ...] = ()
    parameters: Mapping[str, Value] = attrs.field(factory=dict)
    flags: tuple[str, ...] = ()


REGION = frozenset({Place.REGION})
RACK = frozenset({Place.RACK})
BOTH = REGION | RACK
LOCAL = frozenset({Place.LOCAL})

_SOURCE_COLUMNS = ("id", "url", "keyring", "priority", "enabled", "unsigned", "last_success")
_SELECTION_COLUMNS = ("id", "os", "release", "arches", "subarches", "labels", "state")
_IMAGE_COLUMNS = ("id", "name", "architecture", "label", "version", "type", "state", "size_bytes")
_OFFER_COLUMNS = (
    *("source", "os", "release", "arch", "subarch", "label"),
    *("version", "size_bytes", "selected"),
)
_PLAN_COLUMNS = ("action", "name", "architecture", "version", "size_bytes", "fetch_bytes")
_RACK_COLUMNS = ("name", "state", "status", "generation", "last_seen", "last_sync")

_SOURCE_PARAMETERS = (
    Parameter("url", "base URL, or the URL of its streams/v1/index.sjson", required=True),
    Parameter("keyring_filename", "path of the keyring on the region"),
    Parameter("keyring_data", "the keyring itself (keyring_data@=FILE)", Kind.BYTES),
    Parameter("priority", "higher wins per image", Kind.INTEGER),
    Parameter("unsigned", "true: accept a .json index without signature", Kind.BOOLEAN),
)

_SELECTION_PARAMETERS = (
    Parameter("os", "operating system, for example ubuntu", required=True),
    Parameter("release", "release, for example jammy", required=True),
    Parameter("arches", "architectures, for example amd64,arm64", Kind.LIST),
    Parameter("subarches", "kernels, for example ga-22.04,hwe-22.04", Kind.LIST),
    Parameter("labels", "labels, for example stable", Kind.LIST),
)

VERBS: tuple[Verb, ...] = (
    Verb(
        "boot-sources",
        "read",
        "list the boot sources",
        REGION,
        answer=Answer.ROWS,
        columns=_SOURCE_COLUMNS,
    ),
    Verb(
        "boot-sources",
        "create",
        "add a boot source; never fetches",
        REGION,
        parameters=_SOURCE_PARAMETERS,
        columns=_SOURCE_COLUMNS,
    ),
    Verb("boot-source", "read", "show a boot source", REGION, ids=("id",), columns=_SOURCE_COLUMNS),
    Verb("boot-source", "delete", "forget a source and its selections", REGION, ids=("id",)),
    Verb("boot-source", "check", "fetch and verify now, store nothing", REGION, ids=("id",)),
    Verb(
        "boot-source-selections",
        "read",
        "list what is wanted of a source",
        REGION,
        ids=("source",),
        answer=Answer.ROWS,
        columns=_SELECTION_COLUMNS,
    ),
    Verb(
        "boot-source-selections",
        "create",
        "want something of a source",
        REGION,
        ids=("source",),
        parameters=_SELECTION_PARAMETERS,
        columns=_SELECTION_COLUMNS,
    ),
    Verb(
        "boot-source-selection",
        "delete",
        "want it no longer",
        REGION,
        ids=("source", "id"),
    ),
    Verb(
        "available-images",
        "read",
        "list what the sources offer",
        REGION,
        optional_ids=("source",),
        parameters=tuple(
            Parameter(name, f"only this {name}")
            for name in ("os", "release", "arch", "subarch", "label")
        ),
        answer=Answer.ROWS,
        columns=_OFFER_COLUMNS,
    ),
    Verb(
        "boot-resources",
        "read",
        "list the images",
        BOTH,
        parameters=(Parameter("type", "synced, uploaded or all"),),
        answer=Answer.ROWS,
        columns=_IMAGE_COLUMNS,
    ),
    Verb(
        "boot-resources",
        "plan",
        "what an import would do, and how many bytes",
        REGION,
        answer=Answer.ROWS,
        columns=_PLAN_COLUMNS,
    ),
    Verb(
        "boot-resources",
        "import",
        "import now (on a rack: sync now)",
        BOTH,
        flags=("wait",),
        columns=("outcome", "published", "fetched_bytes"),
    ),
    Verb("boot-resources", "stop-import", "stop the running import", REGION),
    Verb(
        "boot-resources",
        "is-importing",
        "whether an import runs",
        REGION,
        answer=Answer.BOOLEAN,
    ),
    Verb(
        "boot-resource",
        "read",
        "show an image and its files",
        REGION,
        ids=("id",),
        columns=_IMAGE_COLUMNS,
        sections={"files": ("name", "ftype", "size_bytes", "sha256", "upstream_path")},
    ),
    Verb("boot-resource", "delete", "delete an image", REGION, ids=("id",)),
    Verb(
        "rack-controllers",
        "read",
        "list the racks",
        REGION,
        answer=Answer.ROWS,
        columns=_RACK_COLUMNS,
    ),
    Verb(
        "rack-controllers",
        "create-token",
        "let a rack enrol, once",
        REGION,
        parameters=(Parameter("name", "the rack's name", required=True),),
        columns=("name", "token", "expires_at"),
    ),
    Verb(
        "rack-controllers",
        "import-boot-images",
        "tell all racks to sync now",
        REGION,
        flags=("wait",),
        answer=Answer.ROWS,
        columns=("name", "status"),
    ),
    Verb("rack-controller", "read", "show a rack", REGION, ids=("name",), columns=_RACK_COLUMNS),
    Verb("rack-controller", "delete", "refuse a rack from now on", REGION, ids=("name",)),
    Verb(
        "rack-controller",
        "list-boot-images",
        "what a rack holds",
        REGION,
        ids=("name",),
        answer=Answer.ROWS,
        columns=("name", "architecture", "label", "version", "state"),
    ),
    Verb(
        "events",
        "read",
        "what happened, and what to do",
        BOTH,
        parameters=(Parameter("level", "info, warning or error: this and worse"),),
        flags=("all",),
        answer=Answer.ROWS,
        columns=("id", "at", "severity", "code", "object", "cause", "remedy"),
    ),
    Verb(
        "status",
        "",
        "everything on one screen",
        BOTH,
        columns=("name", "release", "generation", "problems"),
        sections={
            "sources": _SOURCE_COLUMNS,
            "racks": _RACK_COLUMNS,
            "problems": ("severity", "code", "object", "cause", "remedy"),
            "images": _IMAGE_COLUMNS,
        },
    ),
    Verb(
        "join",
        "",
        "enrol this machine as a rack",
        LOCAL,
        ids=("region", "token"),
        parameters=(
            Parameter("name", "the rack's name; default: as the token says"),
            Parameter("config", "where rackd.toml goes"),
            Parameter("state_dir", "where keys go"),
            Parameter("images_dir", "where images go"),
            Parameter("enrol_port", "the region's enrolment port", Kind.INTEGER),
            Parameter("rpc_port", "the region's RPC port", Kind.INTEGER),
        ),
    ),
    Verb(
        "publish-source",
        "",
        "add an image to a signed source tree",
        LOCAL,
        ids=("out",),
        parameters=(
            Parameter("key", "fingerprint of the signing key", required=True),
            Parameter("os", "operating system", required=True),
            Parameter("release", "release", required=True),
            Parameter("arch", "architecture", required=True),
            Parameter("subarch", "kernel, default generic"),
            Parameter("label", "label, default stable"),
            Parameter("version", "version, for example 20261121", required=True),
            Parameter("gnupg_home", "GnuPG home that holds the key"),
        ),
        open_keys=True,
    ),
    Verb(
        "check-config",
        "",
        "check a configuration file",
        LOCAL,
        ids=("file",),
    ),
)

BY_NAME = {(verb.noun, verb.verb): verb for verb in VERBS}
