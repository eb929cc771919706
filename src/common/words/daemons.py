"""A daemon itself: how it is and what happened (pure)."""

from common.verbs import BOTH, REGION, Answer, Parameter, Verb

_SETTING_COLUMNS = ("name", "value", "default", "help")

VERBS: tuple[Verb, ...] = (
    Verb(
        "config",
        "list",
        "what can be changed at run time",
        BOTH,
        answer=Answer.ROWS,
        columns=_SETTING_COLUMNS,
    ),
    Verb(
        "config",
        "get",
        "one setting",
        BOTH,
        ids=("name",),
        columns=_SETTING_COLUMNS,
        example="boot_images_auto_import",
    ),
    Verb(
        "config",
        "set",
        "change settings, at once: of all regions, or of a rack",
        BOTH,
        open_keys=Parameter(
            "NAME", "a value for that setting; nothing for its default", values="setting"
        ),
        answer=Answer.ROWS,
        columns=_SETTING_COLUMNS,
        example="boot_images_auto_import=false",
        changes=True,
    ),
    Verb(
        "events",
        "read",
        "what is wrong or happened, and what to do; follow: until Ctrl-C",
        BOTH,
        parameters=(
            Parameter("level", "this and worse", choices=("info", "warning", "error")),
            Parameter(
                "code", "only these, for example admin-change: who changed what", values="event"
            ),
        ),
        flags=("all", "follow"),
        answer=Answer.ROWS,
        columns=("id", "at", "severity", "code", "object", "cause", "remedy"),
        below={"cause": "", "remedy": "-> "},
        example="level=warning follow",
    ),
    Verb(
        "scrub",
        "",
        "read everything that is held and fetch again what went bad; wait: until all is read",
        BOTH,
        flags=("wait",),
        example="wait",
        changes=True,
    ),
    Verb(
        "status",
        "",
        "everything on one screen",
        BOTH,
        columns=("name", "release", "generation", "problems"),
    ),
    Verb(
        "web-login",
        "",
        "a one-time link to the page, good for ten minutes",
        REGION,
        columns=("url", "expires_at"),
        alone="url",
        changes=True,
    ),
)
