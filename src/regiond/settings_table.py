"""What admins can change at run time: one line for each setting (pure).

The values are in the database, so that all regions have the same; ``config list`` shows
them, docs/configuration.md explains them. A new setting is a new line here and there.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import attrs

from common.errors import NotFound, WrongUsage

PARALLEL_TRANSFERS = "boot_images_parallel_transfers"
MOST_TRANSFERS = 16

_TRUTHS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "0"), False
)


@attrs.frozen
class Values:
    """What a setting may be: in words, and read from a text (None if it is none of these)."""

    wanted: str
    read: Callable[[str], bool | int | None]


@attrs.frozen
class Setting:
    """A setting. ``default`` holds while nobody has set it."""

    name: str
    default: bool | int
    values: Values
    help: str


def whole(least: int, most: int) -> Values:
    """Whole numbers between two, inclusive."""

    def read(text: str) -> int | None:
        is_number = text.isascii() and text.isdecimal() and len(text) <= 18
        return int(text) if is_number and least <= int(text) <= most else None

    return Values(f"a whole number from {least} to {most}", read)


TRUTH = Values("true or false", lambda text: _TRUTHS.get(text.lower()))

SETTINGS = (
    Setting("boot_images_auto_import", True, TRUTH, "import by itself"),
    Setting("boot_images_import_interval_minutes", 60, whole(1, 10080), "from one import to the next"),
    Setting(PARALLEL_TRANSFERS, 4, whole(1, MOST_TRANSFERS), "files that are fetched at once"),
    Setting("boot_images_reserve_mib", 1024, whole(0, 1 << 20), "what an import leaves free on the database's disk"),
    Setting("boot_images_versions", 1, whole(1, 100), "versions that are kept of each image"),
    Setting("events_days", 30, whole(1, 3650), "how long past events can be read"),
)  # fmt: skip

BY_NAME = {setting.name: setting for setting in SETTINGS}


def setting(name: str) -> Setting:
    """The setting of that name.

    Raises:
        NotFound: code ``setting-unknown``, with the nearest.
    """
    found = BY_NAME.get(name)
    if found is None:
        near = get_close_matches(name, BY_NAME, n=1)
        raise NotFound(
            "there is no such setting",
            object=name,
            code="setting-unknown",
            remedy=f'did you mean "{near[0]}"?' if near else "config list shows them",
        )
    return found


def read_changes(texts: Mapping[str, str]) -> dict[str, bool | int | None]:
    """The values that are to be set, by name; None for one that gets its default back.

    Raises:
        NotFound: as ``setting``.
        WrongUsage: code ``wrong-value``; the setting cannot be that.
    """
    return {name: _read(setting(name), text.strip()) for name, text in texts.items()}


def _read(of: Setting, text: str) -> bool | int | None:
    if not text:
        return None
    value = of.values.read(text)
    if value is None:
        raise WrongUsage(
            f'is to be {of.values.wanted}, not "{text[:80]}"',
            object=of.name,
            code="wrong-value",
            remedy=f"{of.name}= gives it its default, {shown(of.default)}",
        )
    return value


def shown(value: bool | int) -> str:
    """A value as it is typed."""
    return str(value).lower()


def all_values(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting's value, given what the database has of them."""
    return {each.name: stored.get(each.name, each.default) for each in SETTINGS}
