"""Answers as the MAAS command line prints them, for the scripts that people have (pure).

Each command of MAAS is a small talk: a generator that yields the questions it needs of the
daemon, is sent their answers, and returns what to print. Keys, texts and URIs are those of
MAAS's API 2.0. A word that MAAS does not have answers in our own JSON.
"""

import json
from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from common.vocabulary import Question

_API = "/MAAS/api/2.0"
_INDENT = 4  # MAAS's; scripts that grep and cut rely on one key per line
# MAAS sets a proxy for its whole process; here each boot source has its own.
_PER_SOURCE = frozenset({"http_proxy", "enable_http_proxy"})
_SOURCES = Question("boot-sources", "read")
_TYPES = {"synced": "Synced", "uploaded": "Uploaded"}

Row = Mapping[str, Any]


@attrs.frozen
class Said:
    """What a command prints.

    Attributes:
        text: for stdout, without a line's end; "" for nothing.
        note: a line for stderr; "" for none.
    """

    text: str
    note: str = ""


Talk = Generator[Question, Any, Said]


def talk(question: Question) -> Talk:
    """The talk that answers a question as MAAS does."""
    return _TALKS.get((question.noun, question.verb), _as_it_is)(question)


def printed(said: Said, *, is_terminal: bool) -> str:
    """What goes to stdout: MAAS speaks to people before the JSON, and only to them."""
    if is_terminal:
        return f"Success.\nMachine-readable output follows:\n{said.text}\n"
    return f"{said.text}\n" if said.text else ""


def _json(answer: object) -> Said:
    return Said(json.dumps(answer, indent=_INDENT, ensure_ascii=False))


def _as_it_is(question: Question) -> Talk:
    return _json((yield question))


def _empty(question: Question) -> Talk:
    yield question
    return Said("")


def _text(text: str) -> Callable[[Question], Talk]:
    def talk_of(question: Question) -> Talk:
        yield question
        return Said(text.format(*question.ids))

    return talk_of


# Boot sources


def _sources(question: Question) -> Talk:
    rows = yield question
    found = []
    for row in rows:
        details = yield _of("boot-source", row["id"])
        found.append(_source(details))
    return _json(found)


def _one_source(question: Question) -> Talk:
    changed = yield question
    return _json(_source((yield _of("boot-source", changed["id"]))))


def _of(noun: str, number: int) -> Question:
    return Question(noun, "read", (str(number),))


def _source(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "url": row["url"],
        "keyring_filename": row["keyring_filename"] or "",
        "keyring_data": row["keyring_data"],
        "priority": row["priority"],
        "enabled": row["enabled"],
        "skip_keyring_verification": row["unsigned"],
        "created": _time(row["created"]),
        "updated": _time(row["updated"]),
        "resource_uri": f"{_API}/boot-sources/{row['id']}/",
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


# Selections


def _selections(question: Question) -> Talk:
    return _json([_selection(row) for row in (yield question)])


def _one_selection(question: Question) -> Talk:
    return _json(_selection((yield question)))


def _selection(row: Row) -> dict[str, Any]:
    fields = {key: row[key] for key in ("os", "release", "arches", "subarches", "labels")}
    uri = f"{_API}/boot-sources/{row['source']}/selections/{row['id']}/"
    return {**fields, "boot_source_id": row["source"], "id": row["id"], "resource_uri": uri}


# Images: one resource per name and architecture, with a set for each version


def _resources(question: Question) -> Talk:
    found: dict[tuple[str, str, str], Row] = {}
    for row in sorted((yield question), key=_preference):
        found.setdefault(_resource_key(row), row)
    ordered = sorted(found.values(), key=_resource_key)
    return _json([_resource(row) for row in ordered])


def _created_resource(question: Question) -> Talk:
    made = yield question
    if "check" in question.flags:
        return _json(made)
    return (yield from _one_resource(_of("boot-resource", made["id"])))


def _one_resource(question: Question) -> Talk:
    asked = yield question
    rows = yield Question("boot-resources", "read", (), {"type": asked["type"]})
    sets = {asked["version"]: _set(asked)}
    for row in sorted(rows, key=_preference):
        if _resource_key(row) == _resource_key(asked) and row["version"] not in sets:
            sets[row["version"]] = _set((yield _of("boot-resource", row["id"])))
    more = {"title": asked["title"], "sets": sets}
    if asked["type"] == "uploaded":
        more["base_image"] = asked["base_image"] or ""
    return _json(_resource(asked) | more)


def _resource_key(row: Row) -> tuple[str, str, str]:
    return row["type"], row["name"], row["architecture"]


def _preference(row: Row) -> tuple[bool, int]:
    """Of several versions the published one stands for the resource, then the youngest."""
    return row["state"] not in {"published", "damaged"}, -row["id"]


def _resource(row: Row) -> dict[str, Any]:
    subarches = row["subarches"]
    return {
        "id": row["id"],
        "type": _TYPES[row["type"]],
        # MAAS calls a custom image by its one word.
        "name": row["name"].removeprefix("custom/"),
        "architecture": row["architecture"],
        "resource_uri": f"{_API}/boot-resources/{row['id']}/",
        "last_deployed": None,
        "subarches": subarches if isinstance(subarches, str) else ",".join(subarches),
    }


def _set(row: Row) -> dict[str, Any]:
    size, complete = row["size_bytes"], row["complete_bytes"]
    is_complete = complete == size
    progress = {} if is_complete else {"progress": 100.0 * complete / size}
    files = {
        file["name"]: {
            "filename": file["name"],
            "filetype": file["ftype"],
            "sha256": file["sha256"],
            "size": file["size_bytes"],
            "complete": is_complete,
        }
        for file in row["files"]
    }
    parts = {"version": row["version"], "label": row["label"], "size": size}
    return parts | {"complete": is_complete} | progress | {"files": files}


# Racks


def _racks(question: Question) -> Talk:
    return _json([_rack(row) for row in (yield question)])


def _one_rack(question: Question) -> Talk:
    return _json(_rack((yield question)))


def _rack(row: Row) -> dict[str, Any]:
    name = row["name"]
    running = "dead" if row["status"] == "unknown" else "running"
    return {
        "system_id": name,
        "hostname": name,
        "fqdn": name,
        "node_type": 2,
        "node_type_name": "Rack controller",
        "service_set": [{"name": "rackd", "status": running, "status_info": ""}],
        "resource_uri": f"{_API}/rackcontrollers/{name}/",
    }


def _rack_images(question: Question) -> Talk:
    held = yield question
    rack = yield Question("rack-controller", "read", question.ids)
    subarches: dict[tuple[str, str], set[str]] = {}
    for row in held:
        arch, _, subarch = row["architecture"].partition("/")
        subarches.setdefault((row["name"], arch), set()).add(subarch)
    images = [
        {"name": name, "architecture": arch, "subarches": sorted(found)}
        for (name, arch), found in sorted(subarches.items())
    ]
    connected = rack["status"] != "unknown"
    return _json({"images": images, "connected": connected, "status": rack["status"]})


# Settings: `maas PROFILE maas get-config name=... | set-config name=... value=...`


def _get_config(question: Question) -> Talk:
    name = str(question.parameters["name"])
    if name not in _PER_SOURCE:
        return _json((yield Question("config", "get", (name,)))["value"])
    proxies = [row["proxy"] for row in (yield _SOURCES) if row["proxy"]]
    if name == "enable_http_proxy":
        return _json(bool(proxies))
    return _json(proxies[0] if proxies else "")


def _set_config(question: Question) -> Talk:
    name, value = (str(question.parameters[key]) for key in ("name", "value"))
    if name not in _PER_SOURCE:
        yield Question("config", "set", (), {name: value})
        return Said("OK")
    if name == "enable_http_proxy":
        if value.lower() not in {"false", "0"}:
            return Said("OK", f"{name}: each boot source uses the proxy that it has")
        value = ""
    numbers = [str(row["id"]) for row in (yield _SOURCES)]
    for number in numbers:
        yield Question("boot-source", "update", (number,), {"proxy": value})
    return Said("OK", f"{name}: now proxy= of boot sources {', '.join(numbers) or '(none yet)'}")


_TALKS: Mapping[tuple[str, str], Callable[[Question], Talk]] = {
    ("boot-sources", "read"): _sources,
    ("boot-sources", "create"): _one_source,
    ("boot-source", "read"): _one_source,
    ("boot-source", "update"): _one_source,
    ("boot-source", "delete"): _empty,
    ("boot-source-selections", "read"): _selections,
    ("boot-source-selections", "create"): _one_selection,
    ("boot-source-selection", "read"): _one_selection,
    ("boot-source-selection", "update"): _one_selection,
    ("boot-source-selection", "delete"): _empty,
    ("boot-resources", "read"): _resources,
    ("boot-resources", "create"): _created_resource,
    ("boot-resources", "import"): _text("Import of boot resources started"),
    ("boot-resources", "stop-import"): _text("Import of boot resources is being stopped"),
    ("boot-resource", "read"): _one_resource,
    ("boot-resource", "delete"): _empty,
    ("rack-controllers", "read"): _racks,
    ("rack-controllers", "import-boot-images"): _text(
        "Import of boot images started on all rack controllers"
    ),
    ("rack-controller", "read"): _one_rack,
    ("rack-controller", "import-boot-images"): _text("Import of boot images started on {}"),
    ("rack-controller", "list-boot-images"): _rack_images,
    ("rack-controller", "delete"): _empty,
    ("maas", "get-config"): _get_config,
    ("maas", "set-config"): _set_config,
}
