"""Reads a netplan configuration, as people and MAAS write it (pure)."""

from common.errors import ConfigError, WrongUsage

MOST_BYTES = 32 << 10


def read_netplan(text: bytes) -> object:
    """The values of a YAML document.

    Raises:
        WrongUsage: code ``netplan-malformed``; it is too large, or no YAML.
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
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise _malformed(f"is no YAML{where}") from error


def _malformed(why: str) -> WrongUsage:
    return WrongUsage(
        why,
        object="config",
        code="netplan-malformed",
        remedy="give a netplan configuration: config@=/etc/netplan/50-maas.yaml",
    )
