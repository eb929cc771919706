"""What admins can change at run time, of regions and of racks alike (pure)."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import attrs

from common.bandwidth import read_windows, shown_windows
from common.errors import NotFound, WrongUsage

Value = bool | int | str

_TRUTHS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "0"), False
)


@attrs.frozen
class Values:
    """What a setting may be: in words, and read from a text (None if it is none of these)."""

    wanted: str
    read: Callable[[str], Value | None]


@attrs.frozen
class Setting:
    """A setting. ``default`` holds while nobody has set it."""

    name: str
    default: Value
    values: Values
    help: str

    def row(self, value: Value) -> dict[str, Any]:
        """As ``config list`` shows it."""
        return {
            "name": self.name,
            "value": value,
            "default": self.default,
            "help": f"{self.help}: {self.values.wanted}",
        }


def whole(least: int, most: int) -> Values:
    """Whole numbers between two, inclusive."""

    def read(text: str) -> int | None:
        is_number = text.isascii() and text.isdecimal() and len(text) <= 18
        return int(text) if is_number and least <= int(text) <= most else None

    return Values(f"a whole number from {least} to {most}", read)


def _limits(text: str) -> str | None:
    try:
        return shown_windows(read_windows(text))
    except ValueError:
        return None


def _limits_above_0(text: str) -> str | None:
    shown = _limits(text)
    if shown is None or any(each.limit_bytes_s == 0 for each in read_windows(shown)):
        return None
    return shown


TRUTH = Values("true or false", lambda text: _TRUTHS.get(text.lower()))
LIMITS = Values('limits such as "200 Mbit/s 08:00-18:00, 1 Gbit/s"', _limits)
LIMITS_ABOVE_0 = Values(f"{LIMITS.wanted}; not 0", _limits_above_0)


@attrs.define(slots=False)
class Table:
    """All settings of a daemon, in the order in which they are shown."""

    settings: tuple[Setting, ...]

    @cached_property
    def by_name(self) -> dict[str, Setting]:
        """The same by their names."""
        return {each.name: each for each in self.settings}

    def find(self, name: str) -> Setting:
        """The setting of that name.

        Raises:
            NotFound: code ``setting-unknown``, with the nearest.
        """
        found = self.by_name.get(name)
        if found is None:
            near = get_close_matches(name, self.by_name, n=1)
            raise NotFound(
                "there is no such setting",
                object=name,
                code="setting-unknown",
                remedy=f'did you mean "{near[0]}"?' if near else "config list shows them",
            )
        return found

    def read_changes(self, texts: Mapping[str, str]) -> dict[str, Value | None]:
        """The values that are to be set, by name; None for one that gets its default back.

        Raises:
            NotFound: as ``find``.
            WrongUsage: code ``wrong-value``; the setting cannot be that; or code
                ``missing-parameter``: none is named.
        """
        if not texts:
            raise WrongUsage(
                "no setting is named",
                object="config set",
                code="missing-parameter",
                remedy="config set NAME=VALUE; config list shows the names",
            )
        return {name: _read(self.find(name), text.strip()) for name, text in texts.items()}

    def all_values(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Every setting's value, given what is kept of them."""
        return {each.name: stored.get(each.name, each.default) for each in self.settings}


def _read(of: Setting, text: str) -> Value | None:
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


def shown(value: Value) -> str:
    """A value as it is typed."""
    return value if isinstance(value, str) else str(value).lower()
