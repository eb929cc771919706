"""The configuration files of both daemons: TOML to typed values.

Every key has a default and an entry in docs/configuration.md. A file is read strictly: an
unknown key, a wrong type or a value that cannot be right is one ``ConfigError`` whose line
names file, key and reason. Nothing here makes directories or opens sockets.
"""

import difflib
import socket
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import attrs
from cattrs import transform_error
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from common import config_values as values
from common.addresses import ENROL_PORT, RPC_PORT
from common.bandwidth import DAY_MINUTES, Window
from common.canonical import strict_converter
from common.errors import ConfigError

Config = TypeVar("Config", bound="RegiondConfig | RackdConfig")


def _key(default: Any, read: Callable[[Any], Any], name: str = "") -> Any:
    """A key: its default (or a function that makes it), how it is read, its name in TOML."""
    metadata = {"read": read, "name": name}
    if callable(default):
        return attrs.field(factory=default, metadata=metadata)
    return attrs.field(default=default, metadata=metadata)


def _path_key(default: str) -> Any:
    return _key(Path(default), values.path)


@attrs.frozen
class RegionListen:
    """Where a region listens: Twisted endpoint strings."""

    web: str = _key("tcp:5240", values.endpoint)
    rpc: str = _key(f"tcp:{RPC_PORT}", values.endpoint)
    enrol: str = _key(f"tcp:{ENROL_PORT}", values.endpoint)
    images: str = _key("tcp:5252", values.endpoint)
    admin: str = _key("unix:/run/regiond/admin.sock:mode=660", values.endpoint)


@attrs.frozen
class RackListen:
    """Where a rack listens: Twisted endpoint strings."""

    images: str = _key("tcp:5248", values.endpoint)
    admin: str = _key("unix:/run/rackd/admin.sock:mode=660", values.endpoint)


@attrs.frozen
class Bandwidth(Window):
    """One ``[[bandwidth]]`` rule, with the keys of a ``Window`` in TOML."""

    limit_bytes_s: int | None = _key(attrs.NOTHING, values.limit_bytes_s, "limit")
    from_minute: int = _key(0, values.minute_of_day, "from")
    to_minute: int = _key(DAY_MINUTES, values.minute_of_day, "to")


@attrs.frozen
class Hooks:
    """Who is told of events of this ``level`` and worse: a program, a web address, or both."""

    level: str = _key("error", values.level)
    program: tuple[str, ...] = _key((), values.command, "exec")
    webhook: str = _key("", values.webhook)
    webhook_token_file: Path | None = _key(None, values.optional_path)  # noqa: RUF009  (an attrs.field)


def _host_names() -> tuple[str, ...]:
    return (socket.gethostname(),)


@attrs.frozen
class RegiondConfig:
    """regiond.toml; docs/configuration.md says what each key does."""

    DAEMON: ClassVar[str] = "regiond"

    name: str = _key(socket.gethostname, values.name)
    database: str = _key("sqlite:////var/lib/regiond/regiond.db", values.database)
    state_dir: Path = _path_key("/var/lib/regiond")  # noqa: RUF009  (an attrs.field)
    advertise: tuple[str, ...] = _key(_host_names, values.hosts)
    default_boot_source: bool = _key(default=True, read=values.flag)
    admin_group: str = _key("", values.text)
    web_url: str = _key("", values.web_url)
    web_read_only: bool = _key(default=False, read=values.flag)
    scrub_limit_bytes_s: int = _key(50 << 20, values.rate_bytes_s, "scrub_limit")
    listen: RegionListen = attrs.field(factory=RegionListen)
    hooks: Hooks = attrs.field(factory=Hooks)


@attrs.frozen
class RackdConfig:
    """rackd.toml; docs/configuration.md says what each key does."""

    DAEMON: ClassVar[str] = "rackd"

    name: str = _key(socket.gethostname, values.name)
    regions: tuple[str, ...] = _key((), values.addresses)
    enrol: str = _key("", values.optional_address)
    token_file: Path = _path_key("/etc/rackferry/token")  # noqa: RUF009  (an attrs.field)
    state_dir: Path = _path_key("/var/lib/rackd")  # noqa: RUF009  (an attrs.field)
    images_dir: Path = _path_key("/var/lib/rackd/boot-resources")  # noqa: RUF009  (an attrs.field)
    reserve_mib: int | None = _key(None, values.reserve_mib)
    scrub_limit_bytes_s: int = _key(50 << 20, values.rate_bytes_s, "scrub_limit")
    image_transport: str = _key("https", values.transport)
    boot_url: str = _key("", values.boot_url)
    kernel_parameters: str = _key("", values.kernel_parameters)
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
