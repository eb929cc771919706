"""The configuration files of both daemons: TOML to typed values.

Every key has a default and an entry in docs/configuration.md. A file is read strictly: an
unknown key, a wrong type or a value that cannot be right is one ``ConfigError`` whose line
names file, key and reason. Nothing here makes directories or opens sockets.
"""

import difflib
import re
import socket
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import urlsplit

import attrs
from cattrs import transform_error
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from common.bandwidth import DAY_MINUTES, Window, read_limit, read_minute, read_rate
from common.canonical import strict_converter
from common.errors import ConfigError
from common.events import Severity
from common.names import is_segment

RPC_PORT = 5250
ENROL_PORT = 5251

_KIND_NAMES = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    list: "a list",
    dict: "a table",
}
_TCP_PORT = re.compile(r"tcp6?:(?:port=)?(\d+)(?::|$)")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/@\s]+))(?::(\d{1,5}))?")
_SITE_URL = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?")
# What no boot loader's own language takes apart, with ; and the like between other characters.
_KERNEL_PARAMETER = re.compile(r"[A-Za-z0-9_.][^\s'\"\\`$\x00-\x1f\x7f-\U0010ffff]*")

Config = TypeVar("Config", bound="RegiondConfig | RackdConfig")


def parse_address(text: str, default_port: int) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[IPv6]:port`` as (host, port).

    Raises:
        ValueError: it is none of these.
    """
    match = _ADDRESS.fullmatch(text)
    port = int(match[3] or default_port) if match else 0
    if match is None or not 0 < port <= 65535:
        raise ValueError(f'"{text}" is not HOST:PORT')
    return match[1] or match[2], port


def unix_path(description: str) -> Path | None:
    """The path of a ``unix:`` endpoint string; None for any other endpoint."""
    if not description.startswith("unix:"):
        return None
    address = re.split(r"(?<!\\):", description)[1].removeprefix("address=")
    return Path(address.replace(r"\:", ":"))


def tcp_port(description: str) -> int | None:
    """The port of a ``tcp:`` endpoint string; None for any other, and where 0 lets any be taken."""
    match = _TCP_PORT.match(description)
    return (int(match[1]) or None) if match else None


def _expect(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected {_KIND_NAMES[kind]}, not {value!r}")
    return value


def _text(value: Any) -> str:
    return cast("str", _expect(str, value))


def _flag(value: Any) -> bool:
    return cast("bool", _expect(bool, value))


def _name(value: Any) -> str:
    if not is_segment(_text(value)):
        raise ValueError(f'"{value}" is not a name: letters, digits and . _ ~ + - only')
    return cast("str", value)


def _path(value: Any) -> Path:
    path = Path(_text(value))
    if not path.is_absolute():
        raise ValueError(f'"{value}" is not an absolute path')
    return path


def _optional_address(value: Any) -> str:
    if _text(value):
        parse_address(value, ENROL_PORT)
    return cast("str", value)


def _addresses(value: Any) -> tuple[str, ...]:
    addresses = tuple(_text(item) for item in _expect(list, value))
    for address in addresses:
        parse_address(address, RPC_PORT)
    return addresses


def _hosts(value: Any) -> tuple[str, ...]:
    hosts = tuple(_text(item) for item in _expect(list, value))
    for host in hosts:
        if not host or re.search(r"[\s/@\[\]]", host):
            raise ValueError(f'"{host}" is neither a host name nor an IP address')
    return hosts


def _database(value: Any) -> str:
    if not re.match(r"sqlite:////.|postgresql(\+psycopg)?://", _text(value)):
        raise ValueError("expected sqlite:////ABSOLUTE/PATH or postgresql://USER@HOST/NAME")
    return cast("str", value)


def _transport(value: Any) -> str:
    if _text(value) not in {"https", "amp"}:
        raise ValueError(f'expected "https" or "amp", not {value!r}')
    return cast("str", value)


def _reserve_mib(value: Any) -> int | None:
    if _expect(int, value) < 0:
        raise ValueError(f"expected a number of MiB, not {value}")
    return cast("int", value)


def _boot_url(value: Any) -> str:
    if _text(value) and not _SITE_URL.fullmatch(value):
        raise ValueError(f'expected "http://HOST:PORT", not {value!r}')
    return cast("str", value)


def _web_url(value: Any) -> str:
    if _text(value) and not _SITE_URL.fullmatch(value):
        raise ValueError(f'expected "https://HOST" or "http://HOST:PORT", not {value!r}')
    return cast("str", value)


def _kernel_parameters(value: Any) -> str:
    for word in _text(value).split():
        if not _KERNEL_PARAMETER.fullmatch(word):
            raise ValueError(f"{word!r} cannot stand in every boot loader's menu")
    return cast("str", value)


def _level(value: Any) -> str:
    if _text(value) not in set(Severity):
        raise ValueError(f'expected "info", "warning" or "error", not {value!r}')
    return cast("str", value)


def _command(value: Any) -> tuple[str, ...]:
    words = tuple(_text(item) for item in _expect(list, value))
    if words and not Path(words[0]).is_absolute():
        raise ValueError(f'"{words[0]}" is not an absolute path')
    return words


def _optional_path(value: Any) -> Path | None:
    return _path(value) if _text(value) else None


def _webhook(value: Any) -> str:
    # The address may hold a password: what is wrong is said without it.
    parts = urlsplit(_text(value))
    is_near = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if value and (not parts.hostname or parts.scheme not in {"https", *(["http"] * is_near)}):
        raise ValueError("expected https://HOST/..., or http:// on this machine")
    return cast("str", value)


def _endpoint(value: Any) -> str:
    # Imported here: the shell reads configurations rarely, and Twisted takes its time.
    from twisted.internet.endpoints import serverFromString  # noqa: PLC0415  (see above)

    text = _text(value)
    port = _TCP_PORT.match(text)
    try:
        # The parsers only remember the reactor; it is asked when a port is opened.
        serverFromString(cast("Any", None), text)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f'"{text}" is not an endpoint such as "tcp:5240": {error}') from error
    if port and int(port[1]) > 65535:
        raise ValueError(f'"{text}": no such port')
    return text


def _rate_bytes_s(value: Any) -> int:
    return read_rate(_text(value))


def _limit_bytes_s(value: Any) -> int | None:
    return read_limit(_text(value))


def _minute_of_day(value: Any) -> int:
    return read_minute(_text(value))


def _key(default: Any, read: Callable[[Any], Any], name: str = "") -> Any:
    """A key: its default (or a function that makes it), how it is read, its name in TOML."""
    metadata = {"read": read, "name": name}
    if callable(default):
        return attrs.field(factory=default, metadata=metadata)
    return attrs.field(default=default, metadata=metadata)


def _path_key(default: str) -> Any:
    return _key(Path(default), _path)


@attrs.frozen
class RegionListen:
    """Where a region listens: Twisted endpoint strings."""

    web: str = _key("tcp:5240", _endpoint)
    rpc: str = _key(f"tcp:{RPC_PORT}", _endpoint)
    enrol: str = _key(f"tcp:{ENROL_PORT}", _endpoint)
    images: str = _key("tcp:5252", _endpoint)
    admin: str = _key("unix:/run/regiond/admin.sock:mode=660", _endpoint)


@attrs.frozen
class RackListen:
    """Where a rack listens: Twisted endpoint strings."""

    images: str = _key("tcp:5248", _endpoint)
    admin: str = _key("unix:/run/rackd/admin.sock:mode=660", _endpoint)


@attrs.frozen
class Bandwidth(Window):
    """One ``[[bandwidth]]`` rule, with the keys of a ``Window`` in TOML."""

    limit_bytes_s: int | None = _key(attrs.NOTHING, _limit_bytes_s, "limit")
    from_minute: int = _key(0, _minute_of_day, "from")
    to_minute: int = _key(DAY_MINUTES, _minute_of_day, "to")


@attrs.frozen
class Hooks:
    """Who is told of events of this ``level`` and worse: a program, a web address, or both."""

    level: str = _key("error", _level)
    program: tuple[str, ...] = _key((), _command, "exec")
    webhook: str = _key("", _webhook)
    webhook_token_file: Path | None = _key(None, _optional_path)  # noqa: RUF009  (an attrs.field)


def _host_names() -> tuple[str, ...]:
    return (socket.gethostname(),)


@attrs.frozen
class RegiondConfig:
    """regiond.toml; docs/configuration.md says what each key does."""

    DAEMON: ClassVar[str] = "regiond"

    name: str = _key(socket.gethostname, _name)
    database: str = _key("sqlite:////var/lib/regiond/regiond.db", _database)
    state_dir: Path = _path_key("/var/lib/regiond")  # noqa: RUF009  (an attrs.field)
    advertise: tuple[str, ...] = _key(_host_names, _hosts)
    default_boot_source: bool = _key(default=True, read=_flag)
    admin_group: str = _key("", _text)
    web_url: str = _key("", _web_url)
    web_read_only: bool = _key(default=False, read=_flag)
    listen: RegionListen = attrs.field(factory=RegionListen)
    hooks: Hooks = attrs.field(factory=Hooks)


@attrs.frozen
class RackdConfig:
    """rackd.toml; docs/configuration.md says what each key does."""

    DAEMON: ClassVar[str] = "rackd"

    name: str = _key(socket.gethostname, _name)
    regions: tuple[str, ...] = _key((), _addresses)
    enrol: str = _key("", _optional_address)
    token_file: Path = _path_key("/etc/rackferry/token")  # noqa: RUF009  (an attrs.field)
    state_dir: Path = _path_key("/var/lib/rackd")  # noqa: RUF009  (an attrs.field)
    images_dir: Path = _path_key("/var/lib/rackd/boot-resources")  # noqa: RUF009  (an attrs.field)
    reserve_mib: int | None = _key(None, _reserve_mib)
    scrub_limit_bytes_s: int = _key(50 << 20, _rate_bytes_s, "scrub_limit")
    image_transport: str = _key("https", _transport)
    boot_url: str = _key("", _boot_url)
    kernel_parameters: str = _key("", _kernel_parameters)
    bandwidth: tuple[Bandwidth, ...] = ()
    listen: RackListen = attrs.field(factory=RackListen)


def default_path(kind: type[Config]) -> Path:
    """Where a daemon looks for its file when nobody says otherwise."""
    return Path(f"/etc/rackferry/{kind.DAEMON}.toml")


def toml_keys(kind: type[Any]) -> dict[str, "attrs.Attribute[Any]"]:
    """The keys that ``kind`` knows, by their name in TOML."""
    return {field.metadata.get("name") or field.name: field for field in attrs.fields(kind)}


def _structure_hook(kind: type[Any]) -> Callable[..., Any]:
    overrides = {}
    for name, field in toml_keys(kind).items():
        read = field.metadata.get("read")
        hook = (lambda value, _, read=read: read(value)) if read else None
        overrides[field.name] = override(rename=name, struct_hook=hook)
    return make_dict_structure_fn(
        kind, _CONVERTER, _cattrs_forbid_extra_keys=True, **cast("Any", overrides)
    )


_CONVERTER = strict_converter(forbid_extra_keys=True)
_CONVERTER.register_structure_hook_factory(attrs.has, _structure_hook)


def _reason(error: BaseException, _: type | None) -> str:
    if isinstance(error, ForbiddenExtraKeysError):
        unknown = min(error.extra_fields)
        known = sorted(toml_keys(error.cl))
        near = difflib.get_close_matches(unknown, known, n=1) or [f"one of {', '.join(known)}"]
        return f'unknown key "{unknown}" (nearest: {near[0]})'
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    if isinstance(error, ValueError):
        return str(error)
    return "is not of the right type"


def parse(kind: type[Config], text: str, name: str) -> Config:
    """The configuration in ``text``; ``name`` is what messages call the file.

    Raises:
        ConfigError: one line with the file, the key and the reason.
    """
    try:
        return _CONVERTER.structure(tomllib.loads(text), kind)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", object=name) from error
    except Exception as error:
        reason, _, key = transform_error(error, format_exception=_reason)[0].rpartition(" @ $")
        for name_in_toml, field in (toml_keys(Bandwidth) | toml_keys(Hooks)).items():
            key = key.replace(f".{field.name}", f".{name_in_toml}")
        where = f"{key.removeprefix('.')}: " if key else ""
        raise ConfigError(f"{where}{reason}".replace("\n", " "), object=name) from error


def load(kind: type[Config], path: Path | None) -> Config:
    """Read a daemon's file. Only the one at the default path may be missing.

    Raises:
        ConfigError: unreadable, not TOML, unknown key, wrong type or impossible value.
    """
    chosen = path or default_path(kind)
    try:
        text = chosen.read_text("utf-8")
    except FileNotFoundError:
        if chosen == default_path(kind):
            return kind()
        raise ConfigError(
            "no such file", object=str(chosen), remedy="give --config a file that exists"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot be read: {reason}", object=str(chosen)) from error
    return parse(kind, text, str(chosen))
