"""The verbs that need no daemon: join, publish-source, check-config."""

import json
import os
import tomllib
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from common.addresses import ENROL_PORT, RPC_PORT, parse_address
from common.config import RackdConfig, RegiondConfig, default_path, load, parse, toml_keys
from common.durable import make_directory, write_durably
from common.errors import Conflict, WrongUsage
from common.joining import join
from common.shell.grammar import Invocation
from common.shell.publish import publish_source
from common.vocabulary import Question

WaitFor = Callable[[Callable[[Any], Coroutine[Any, Any, Any]]], Any]

_CONFIG_MODE = 0o644


def answer(invocation: Invocation, wait_for: WaitFor) -> dict[str, Any]:
    """Answer a local verb; ``wait_for`` runs a coroutine that needs the reactor."""
    question = invocation.question or Question("")
    if question.noun == "join":
        return _join(question, wait_for)
    if question.noun == "publish-source":
        return _publish(question, invocation.files)
    return check_config(Path(question.ids[0]))


def check_config(path: Path) -> dict[str, Any]:
    """Check a configuration file; which daemon's it is, its name or its keys tell.

    Raises:
        ConfigError: what the daemon itself would say.
    """
    kind = daemon_of(path)
    load(kind, path)
    return {"file": str(path), "daemon": kind.DAEMON, "ok": True}


def daemon_of(path: Path) -> type[RegiondConfig] | type[RackdConfig]:
    """Whose file this is. A file that gives no hint is taken for a region's."""
    for kind in (RackdConfig, RegiondConfig):
        if kind.DAEMON in path.name:
            return kind
    try:
        keys = set(tomllib.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        return RegiondConfig  # reading it again as a configuration says what is wrong
    rack, region = (
        len(keys & set(toml_keys(RackdConfig))),
        len(keys & set(toml_keys(RegiondConfig))),
    )
    return RackdConfig if rack > region else RegiondConfig


def _join(question: Question, wait_for: WaitFor) -> dict[str, Any]:
    region, token = question.ids
    given = question.parameters
    path = Path(str(given.get("config", default_path(RackdConfig))))
    try:
        host, enrol_port = parse_address(region, int(str(given.get("enrol_port", ENROL_PORT))))
    except ValueError as error:
        raise WrongUsage(str(error), object=region) from error
    wanted = {key: str(given[key]) for key in ("name", "state_dir", "images_dir") if key in given}
    places = {
        "regions": [address_text(host, int(str(given.get("rpc_port", RPC_PORT))))],
        "enrol": address_text(host, enrol_port),
    }
    config = parse(RackdConfig, toml_text(wanted | places), str(path))
    is_new = not path.exists()
    if not is_new:
        config = _existing(path, config, given)
    name = wanted.get("name", "") if is_new else config.name
    identity = wait_for(
        lambda reactor: join(reactor, host, enrol_port, token, name, config.state_dir)
    )
    _give_to_owner(config.state_dir)
    if is_new:
        make_directory(path.parent)
        text = toml_text({**wanted, "name": identity.name, **places})
        write_durably(path, text.encode(), _CONFIG_MODE)
    return {
        "name": identity.name,
        "region": config.regions[0],
        "config": str(path),
        "state_dir": str(config.state_dir),
        # A rackd that runs already knows its old certificate only.
        "next": "systemctl enable --now rackd"
        if is_new
        else "systemctl enable rackd && systemctl restart rackd",
    }


def address_text(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def toml_text(keys: Mapping[str, Any]) -> str:
    """Strings and lists of strings as TOML, which writes them as JSON does."""
    return "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in keys.items()
    )


def _existing(path: Path, wanted: RackdConfig, given: Mapping[str, Any]) -> RackdConfig:
    """The file that is there. It is not changed, so it must agree with what was typed."""
    config = load(RackdConfig, path)
    for key in ("regions", *({"name", "state_dir", "images_dir"} & set(given))):
        if getattr(config, key) != getattr(wanted, key):
            raise Conflict(
                f"{key} is {getattr(config, key)}, not {getattr(wanted, key)}",
                object=str(path),
                remedy="edit or remove the file, then join again",
            )
    return config


def _give_to_owner(state_dir: Path) -> None:
    """Keys that root has written belong to the user that owns the directory."""
    if os.geteuid() != 0:
        return
    owner = state_dir.stat()
    for path in state_dir.iterdir():
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _publish(question: Question, files: Mapping[str, str]) -> dict[str, Any]:
    if not files:
        raise WrongUsage("publish-source needs a file", remedy="for example boot-kernel@=vmlinuz")
    return publish_source(Path(question.ids[0]), dict(question.parameters), dict(files))
