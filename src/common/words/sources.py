"""Boot sources, what is wanted of them, and what they offer (pure)."""

import attrs

from common.verbs import REGION, Answer, Kind, Parameter, Verb

SOURCE_COLUMNS = ("id", "url", "keyring", "priority", "enabled", "unsigned", "last_success")
_SELECTION_COLUMNS = ("id", "os", "release", "arches", "subarches", "labels", "state")
_OFFER_COLUMNS = (
    *("source", "os", "release", "arch", "subarch", "label"),
    *("version", "size_bytes", "selected", "pinned"),
)
_SOURCE_PARAMETERS = (
    Parameter("keyring_filename", "path of the keyring on the region", values="path"),
    Parameter("keyring_data", "the keyring itself (keyring_data@=FILE)", Kind.BYTES),
    Parameter("priority", "higher wins per image", Kind.INTEGER),
    Parameter("enabled", "false: it is not read, and its images stay", Kind.BOOLEAN),
    Parameter("unsigned", "true: accept a .json index without signature", Kind.BOOLEAN),
    Parameter("username", "for basic authentication"),
    Parameter(
        "password",
        "for basic authentication (password@=FILE keeps it off the screen)",
        is_secret=True,
    ),
    Parameter("bearer_token", "for bearer authentication (bearer_token@=FILE)", is_secret=True),
    Parameter("proxy", "http://[user:password@]host:port; the environment's are not used"),
    Parameter(
        "ca_file",
        "certificates to trust instead of the system's, a path on the region",
        values="path",
    ),
    Parameter("rate_limit", 'limits and their hours: "200 Mbit/s 08:00-18:00, 1 Gbit/s"'),
    Parameter("any_products", "true: products of any name, as private streams have", Kind.BOOLEAN),
)
_URL = "base URL, or the URL of its streams/v1/index.sjson"
_SELECTION_PARAMETERS = (
    Parameter("os", "operating system, for example ubuntu", required=True, values="os"),
    Parameter(
        "release",
        "for example jammy; or latest-lts, or supported",
        required=True,
        values="selected-release",
    ),
    Parameter("arches", "architectures, for example amd64,arm64", Kind.LIST, values="arch"),
    Parameter("subarches", "kernels, for example ga-22.04,hwe-22.04", Kind.LIST, values="subarch"),
    Parameter("labels", "labels, for example stable", Kind.LIST, values="label"),
)

VERBS: tuple[Verb, ...] = (
    Verb(
        "boot-sources",
        "read",
        "list the boot sources",
        REGION,
        answer=Answer.ROWS,
        columns=SOURCE_COLUMNS,
    ),
    Verb(
        "boot-sources",
        "create",
        "add a boot source; never fetches",
        REGION,
        parameters=(Parameter("url", _URL, required=True), *_SOURCE_PARAMETERS),
        columns=SOURCE_COLUMNS,
        example="url=https://images.maas.io/ephemeral-v3/stable/ "
        "keyring_filename=/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg",
        changes=True,
    ),
    Verb(
        "boot-source",
        "read",
        "show a boot source",
        REGION,
        ids=("id",),
        columns=SOURCE_COLUMNS,
        example="1",
    ),
    Verb(
        "boot-source",
        "update",
        "change what is given, an empty value clears; never fetches",
        REGION,
        ids=("id",),
        parameters=(
            Parameter("url", _URL),
            *_SOURCE_PARAMETERS,
            Parameter("accept_rollback", "let its documents be older, once", Kind.BOOLEAN),
        ),
        columns=SOURCE_COLUMNS,
        example="1 priority=10 rate_limit='200 Mbit/s 08:00-18:00'",
        changes=True,
    ),
    Verb(
        "boot-source",
        "delete",
        "forget a source and its selections",
        REGION,
        ids=("id",),
        example="2",
        changes=True,
    ),
    Verb(
        "boot-source",
        "check",
        "fetch and verify now, store nothing",
        REGION,
        ids=("id",),
        example="1",
        takes_time=True,
    ),
    Verb(
        "boot-source-selections",
        "read",
        "list what is wanted of a source",
        REGION,
        ids=("source",),
        example="1",
        answer=Answer.ROWS,
        columns=_SELECTION_COLUMNS,
    ),
    Verb(
        "boot-source-selections",
        "create",
        "want something of a source",
        REGION,
        ids=("source",),
        example="1 os=ubuntu release=jammy arches=amd64,arm64",
        parameters=_SELECTION_PARAMETERS,
        columns=_SELECTION_COLUMNS,
        changes=True,
    ),
    Verb(
        "boot-source-selection",
        "read",
        "show what is wanted",
        REGION,
        ids=("source", "id"),
        example="1 1",
        columns=_SELECTION_COLUMNS,
    ),
    Verb(
        "boot-source-selection",
        "update",
        "want something else; what is not given stays",
        REGION,
        ids=("source", "id"),
        example="1 1 arches=amd64",
        parameters=tuple(attrs.evolve(each, required=False) for each in _SELECTION_PARAMETERS),
        columns=_SELECTION_COLUMNS,
        changes=True,
    ),
    Verb(
        "boot-source-selection",
        "delete",
        "want it no longer",
        REGION,
        ids=("source", "id"),
        example="1 1",
        changes=True,
    ),
    Verb(
        "available-images",
        "read",
        "list what the sources offer",
        REGION,
        optional_ids=("source",),
        parameters=tuple(
            Parameter(name, f"only this {name}, or glob", values=name)
            for name in ("os", "release", "arch", "subarch", "label")
        ),
        flags=("refresh",),
        answer=Answer.ROWS,
        columns=_OFFER_COLUMNS,
        example="os=ubuntu arch=amd64",
    ),
)
