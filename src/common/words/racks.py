"""Racks, as a region knows them (pure)."""

from common.verbs import REGION, Answer, Kind, Parameter, Verb

RACK_COLUMNS = (
    *("name", "state", "status", "generation"),
    *("selections", "last_seen", "last_sync"),
)

VERBS: tuple[Verb, ...] = (
    Verb(
        "rack-controllers",
        "read",
        "list the racks",
        REGION,
        answer=Answer.ROWS,
        columns=RACK_COLUMNS,
    ),
    Verb(
        "rack-controllers",
        "create-token",
        "let a rack enrol, once",
        REGION,
        parameters=(Parameter("name", "the rack's name", required=True),),
        columns=("name", "token", "expires_at"),
        example="name=rack-1",
        alone="token",
        changes=True,
    ),
    Verb(
        "rack-controllers",
        "import-boot-images",
        "tell all racks to sync now",
        REGION,
        flags=("wait",),
        example="wait",
        answer=Answer.ROWS,
        columns=("name", "status"),
        changes=True,
    ),
    Verb(
        "rack-controller",
        "read",
        "show a rack",
        REGION,
        ids=("name",),
        columns=RACK_COLUMNS,
        example="rack-1",
    ),
    Verb(
        "rack-controller",
        "update",
        "restrict what a rack holds",
        REGION,
        ids=("name",),
        parameters=(
            Parameter(
                "selections",
                "os[/release[/arch[/subarch[/label]]]],..., globs too; empty: everything",
                Kind.LIST,
                required=True,
                values="image-path",
            ),
        ),
        columns=RACK_COLUMNS,
        example="rack-1 selections=ubuntu/jammy/amd64,custom",
        changes=True,
    ),
    Verb(
        "rack-controller",
        "delete",
        "refuse a rack from now on",
        REGION,
        ids=("name",),
        example="rack-1",
        changes=True,
    ),
    Verb(
        "rack-controller",
        "import-boot-images",
        "tell a rack to sync now",
        REGION,
        ids=("name",),
        flags=("wait",),
        example="rack-1 wait",
        columns=("name", "status"),
        changes=True,
    ),
    Verb(
        "rack-controller",
        "list-boot-images",
        "what a rack holds",
        REGION,
        ids=("name",),
        example="rack-1",
        answer=Answer.ROWS,
        columns=("name", "architecture", "label", "version", "state"),
    ),
)
