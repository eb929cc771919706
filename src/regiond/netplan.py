"""Reads a netplan configuration, as people and MAAS write it (pure)."""

from collections.abc import Iterator
from typing import Any

from common.errors import ConfigError, WrongUsage

MOST_BYTES = 32 << 10
_LONGEST = 60


def read_netplan(text: bytes) -> object:
    """The values of a YAML document.

    Raises:
        WrongUsage: code ``netplan-malformed``; it is too large, or no YAML, or says something
            twice, of which YAML would take the last.
        ConfigError: code ``yaml-missing``; this installation lacks PyYAML.
    """
    if len(text) > MOST_BYTES:
        raise _malformed(f"has {len(text)} bytes, more than {MOST_BYTES}")
    try:
        import yaml  # noqa: PLC0415 - one word of the shell needs it, and a region runs without
    except ImportError as error:
        raise ConfigError(
            "PyYAML is not installed",
            object="config",
            code="yaml-missing",
            remedy="install it into the environment of regiond (package PyYAML)",
        ) from error
    try:
        for key, line in _repeated(yaml.compose(text, Loader=yaml.SafeLoader), set()):
            raise _malformed(f"has {key[:_LONGEST]} twice in one place (line {line})")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise _malformed(f"is no YAML{where}") from error


def _repeated(node: Any, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Keys that stand twice in one mapping of a document, and in which line the second time."""
    if id(node) in seen or not isinstance(getattr(node, "value", None), list):
        return
    seen.add(id(node))  # an alias is the very node that it stands for
    keys = set[str]()
    for each in node.value:
        key, value = each if isinstance(each, tuple) else (None, each)
        if key is not None and isinstance(key.value, str):
            if key.value in keys:
                yield key.value, key.start_mark.line + 1
            keys.add(key.value)
        yield from _repeated(value, seen)


def _malformed(why: str) -> WrongUsage:
    return WrongUsage(
        why,
        object="config",
        code="netplan-malformed",
        remedy="give a netplan configuration: config@=/etc/netplan/50-maas.yaml",
    )
