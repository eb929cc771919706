"""The values of configuration keys: each function reads one kind.

What it is given is what TOML makes of the text; a value that cannot be right is a ``ValueError``
that says why. Nothing here makes directories or opens sockets.
"""

import re
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from common.addresses import ENROL_PORT, RPC_PORT, parse_address, tcp_port
from common.bandwidth import read_limit, read_minute, read_rate
from common.events import Severity
from common.names import is_segment

_KIND_NAMES = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    list: "a list",
    dict: "a table",
}
_SITE_URL = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?")
# What no boot loader's own language takes apart, with ; and the like between other characters.
_KERNEL_PARAMETER = re.compile(r"[A-Za-z0-9_.][^\s'\"\\`$\x00-\x1f\x7f-\U0010ffff]*")


def _expect(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected {_KIND_NAMES[kind]}, not {value!r}")
    return value


def text(value: Any) -> str:
    return cast("str", _expect(str, value))


def flag(value: Any) -> bool:
    return cast("bool", _expect(bool, value))


def name(value: Any) -> str:
    if not is_segment(text(value)):
        raise ValueError(f'"{value}" is not a name: letters, digits and . _ ~ + - only')
    return cast("str", value)


def path(value: Any) -> Path:
    path = Path(text(value))
    if not path.is_absolute():
        raise ValueError(f'"{value}" is not an absolute path')
    return path


def optional_address(value: Any) -> str:
    if text(value):
        parse_address(value, ENROL_PORT)
    return cast("str", value)


def addresses(value: Any) -> tuple[str, ...]:
    addresses = tuple(text(item) for item in _expect(list, value))
    for address in addresses:
        parse_address(address, RPC_PORT)
    return addresses


def hosts(value: Any) -> tuple[str, ...]:
    hosts = tuple(text(item) for item in _expect(list, value))
    for host in hosts:
        if not host or re.search(r"[\s/@\[\]]", host):
            raise ValueError(f'"{host}" is neither a host name nor an IP address')
    return hosts


def database(value: Any) -> str:
    if not re.match(r"sqlite:////.|postgresql(\+psycopg)?://", text(value)):
        raise ValueError("expected sqlite:////ABSOLUTE/PATH or postgresql://USER@HOST/NAME")
    return cast("str", value)


def transport(value: Any) -> str:
    if text(value) not in {"https", "amp"}:
        raise ValueError(f'expected "https" or "amp", not {value!r}')
    return cast("str", value)


def reserve_mib(value: Any) -> int | None:
    if _expect(int, value) < 0:
        raise ValueError(f"expected a number of MiB, not {value}")
    return cast("int", value)


def boot_url(value: Any) -> str:
    if text(value) and not _SITE_URL.fullmatch(value):
        raise ValueError(f'expected "http://HOST:PORT", not {value!r}')
    return cast("str", value)


def web_url(value: Any) -> str:
    if text(value) and not _SITE_URL.fullmatch(value):
        raise ValueError(f'expected "https://HOST" or "http://HOST:PORT", not {value!r}')
    return cast("str", value)


def kernel_parameters(value: Any) -> str:
    for word in text(value).split():
        if not _KERNEL_PARAMETER.fullmatch(word):
            raise ValueError(f"{word!r} cannot stand in every boot loader's menu")
    return cast("str", value)


def level(value: Any) -> str:
    if text(value) not in set(Severity):
        raise ValueError(f'expected "info", "warning" or "error", not {value!r}')
    return cast("str", value)


def command(value: Any) -> tuple[str, ...]:
    words = tuple(text(item) for item in _expect(list, value))
    if words and not Path(words[0]).is_absolute():
        raise ValueError(f'"{words[0]}" is not an absolute path')
    return words


def optional_path(value: Any) -> Path | None:
    return path(value) if text(value) else None


def webhook(value: Any) -> str:
    # The address may hold a password: what is wrong is said without it.
    parts = urlsplit(text(value))
    is_near = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if value and (not parts.hostname or parts.scheme not in {"https", *(["http"] * is_near)}):
        raise ValueError("expected https://HOST/..., or http:// on this machine")
    return cast("str", value)


def endpoint(value: Any) -> str:
    # Imported here: the shell reads configurations rarely, and Twisted takes its time.
    from twisted.internet.endpoints import serverFromString  # noqa: PLC0415  (see above)

    described = text(value)
    port = tcp_port(described)
    try:
        # The parsers only remember the reactor; it is asked when a port is opened.
        serverFromString(cast("Any", None), described)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f'"{described}" is not an endpoint such as "tcp:5240": {error}') from error
    if port and port > 65535:
        raise ValueError(f'"{described}": no such port')
    return described


def rate_bytes_s(value: Any) -> int:
    return read_rate(text(value))


def limit_bytes_s(value: Any) -> int | None:
    return read_limit(text(value))


def minute_of_day(value: Any) -> int:
    return read_minute(text(value))
