"""Images (pure)."""

from common.file_types import FILE_TYPES
from common.verbs import BOTH, REGION, Answer, Kind, Parameter, Verb

IMAGE_COLUMNS = (
    "id",
    "name",
    "architecture",
    "label",
    "version",
    "type",
    "state",
    "pinned",
    "size_bytes",
)
_PLAN_COLUMNS = ("action", "name", "architecture", "version", "size_bytes", "fetch_bytes", "pinned")
PIN_COLUMNS = ("id", "name", "architecture", "label", "version", "pinned", "waiting_version")

VERBS: tuple[Verb, ...] = (
    Verb(
        "boot-resources",
        "read",
        "list the images",
        BOTH,
        parameters=(
            Parameter("type", "where they come from", choices=("synced", "uploaded", "all")),
        ),
        answer=Answer.ROWS,
        columns=IMAGE_COLUMNS,
        example="type=synced",
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
        example="wait",
        changes=True,
    ),
    Verb(
        "boot-resources",
        "export",
        "write images and signed documents to a directory, or a FILE.tar, to carry away",
        REGION,
        ids=("out",),
        parameters=(
            Parameter("since", "an earlier export; what it has is left out", values="path"),
            Parameter(
                "images",
                "os[/release[/arch[/subarch[/label]]]],..., globs too",
                Kind.LIST,
                values="image-path",
            ),
        ),
        columns=("out", "images", "files", "size_bytes", "fetched_bytes", "elsewhere"),
        is_carried=True,
        example="/media/stick images=ubuntu/noble",
    ),
    Verb(
        "boot-resources",
        "import-bundle",
        "import what an export wrote; verified like any source",
        REGION,
        ids=("bundle",),
        parameters=(
            Parameter(
                "source",
                "boot source that it is of; default: the one with its URL",
                Kind.INTEGER,
                values="source",
            ),
        ),
        columns=("outcome", "published", "fetched_bytes"),
        is_carried=True,
        example="/media/stick",
        changes=True,
    ),
    Verb(
        "boot-resources",
        "create",
        "make a custom image of a file; the same line goes on after an interruption",
        REGION,
        parameters=(
            Parameter("name", "one word, or os/release: windows/win2016, rhel/8", required=True),
            Parameter(
                "architecture",
                "amd64, or with its subarchitecture: amd64/generic",
                required=True,
            ),
            Parameter(
                "filetype",
                f"what the file is: {', '.join(FILE_TYPES)}; default: tgz",
                choices=tuple(FILE_TYPES),
            ),
            Parameter("content", "the file", Kind.FILE, required=True),
            Parameter("title", "what people read"),
            Parameter("base_image", "os/release of the system that it is deployed from"),
            Parameter("sha256", "the file's, to be checked before it is sent"),
            Parameter("size", "the file's, in bytes, to be checked, too", Kind.INTEGER),
        ),
        flags=("check",),
        columns=(*IMAGE_COLUMNS, "message"),
        is_carried=True,
        example="name=my-image architecture=amd64 filetype=tgz content@=/srv/my-image.tgz",
        changes=True,
    ),
    Verb("boot-resources", "stop-import", "stop the running import", REGION, changes=True),
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
        example="1",
        columns=IMAGE_COLUMNS,
        sections={"files": ("name", "ftype", "size_bytes", "sha256", "upstream_path")},
    ),
    Verb(
        "boot-resource", "delete", "delete an image", REGION, ids=("id",), example="1", changes=True
    ),
    Verb(
        "boot-resource",
        "pin",
        "let this version stay published; updates of it wait",
        REGION,
        ids=("id",),
        columns=(*PIN_COLUMNS, "message"),
        example="12",
        changes=True,
    ),
    Verb(
        "boot-resource",
        "unpin",
        "let imports update it again",
        REGION,
        ids=("id",),
        columns=(*PIN_COLUMNS, "message"),
        example="12",
        changes=True,
    ),
    Verb(
        "boot-resource",
        "rollback",
        "go back to the version kept before it (or to this kept one), on all racks, and pin it",
        REGION,
        ids=("id",),
        columns=(*PIN_COLUMNS, "message"),
        example="12",
        changes=True,
    ),
)
