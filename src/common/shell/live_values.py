"""What daemons know that can be typed: where each kind of value is found (pure).

A parameter names the kind of its values in the table of words (``values="source"``); that of an
id follows from its name and its noun.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from common.vocabulary import Question, Verb

Row = Mapping[str, Any]
Rows = Callable[[Question], Sequence[Row]]
"""What a daemon answers; nothing if it does not answer soon."""

PATH = "path"

_OFFERS = Question("available-images", "read")
_SETTINGS = Question("config", "list")
# kind -> the question, the key that is typed, the keys that explain it
_LISTS: Mapping[str, tuple[Question, str, tuple[str, ...]]] = {
    "event": (Question("events", "read", flags=("all",)), "code", ("cause",)),
    "image": (
        Question("boot-resources", "read"),
        "id",
        ("name", "architecture", "label", "version", "state"),
    ),
    "rack": (Question("rack-controllers", "read"), "name", ("status",)),
    "setting": (_SETTINGS, "name", ("help",)),
    "source": (Question("boot-sources", "read"), "id", ("url",)),
}
_SELECTION_KEYS = ("os", "release", "arches")
_OFFERED = {"os": (), "release": ("release_title",), "arch": (), "subarch": (), "label": ()}
_MOVING_RELEASES = {"latest-lts": "the newest LTS", "supported": "each that is supported"}
_PATH_KEYS = ("os", "release", "arch", "subarch", "label")
# The keys of a line that narrow what is offered -> the key of an offer.
_NARROWING = {"source": "source", "os": "os", "release": "release", "arch": "arch"}
_KIND_OF_NOUN = {
    "boot-resource": "image",
    "boot-source": "source",
    "boot-source-selection": "selection",
    "config": "setting",
    "rack-controller": "rack",
}
_KIND_OF_ID = {"bundle": PATH, "file": PATH, "out": PATH, "dir": PATH}
_OWN_IDS = frozenset({"id", "name"})


@attrs.frozen
class Candidate:
    """Something that may be typed, and what it is."""

    text: str
    help: str = ""


def kind_of_id(verb: Verb, name: str) -> str:
    """What the values of an id are: its noun's own, or what it is called after."""
    if name in _OWN_IDS:
        return _KIND_OF_NOUN.get(verb.noun, "")
    return _KIND_OF_ID.get(name, name)


def live_values(kind: str, typed: str, given: Mapping[str, str], rows: Rows) -> list[Candidate]:
    """What there is of a kind, as the daemon says.

    Args:
        kind: a word of this module; there is nothing of any other.
        typed: what stands there already.
        given: the other ids and keys of the line.
        rows: asks the daemon.
    """
    if kind in _LISTS:
        question, key, keys = _LISTS[kind]
        return _unique(Candidate(str(row[key]), _words(row, keys)) for row in rows(question))
    if kind == "selection" and given.get("source"):
        question = Question("boot-source-selections", "read", (given["source"],))
        return [Candidate(str(row["id"]), _words(row, _SELECTION_KEYS)) for row in rows(question)]
    if kind == "selected-release":
        moving = [Candidate(*each) for each in _MOVING_RELEASES.items()]
        return [*live_values("release", typed, given, rows), *moving]
    if kind in _OFFERED:
        return _unique(
            Candidate(str(row[kind]), _words(row, _OFFERED[kind]))
            for row in rows(_OFFERS)
            if _is_meant(row, given, kind)
        )
    if kind == "image-path":
        parts = _PATH_KEYS[: typed.count("/") + 1]
        paths = ("/".join(str(row[part]) for part in parts) for row in rows(_OFFERS))
        return _unique(map(Candidate, paths))
    return []


def setting_values(name: str, rows: Rows) -> list[Candidate]:
    """What a setting may become: true and false, or what it is and what it was at first."""
    for row in rows(_SETTINGS):
        if row["name"] == name:
            now, first = row["value"], row["default"]
            if isinstance(first, bool):
                return [Candidate("true"), Candidate("false")]
            found = [Candidate(str(now), "as it is"), Candidate(str(first), "its default")]
            return _unique(each for each in found if each.text)
    return []


def _is_meant(row: Row, given: Mapping[str, str], kind: str) -> bool:
    """Whether the rest of the line allows an offer; names alone narrow, globs do not."""
    for key, text in given.items():
        field = _NARROWING.get(key)
        is_name = text.replace("-", "").replace(".", "").isalnum()
        if field and field != kind and is_name and str(row[field]) != text:
            return False
    return True


def _words(row: Row, keys: Iterable[str]) -> str:
    found = (row.get(key) for key in keys)
    return " ".join(",".join(map(str, each)) if isinstance(each, list) else str(each)
                    for each in found if each)  # fmt: skip


def _unique(candidates: Iterable[Candidate]) -> list[Candidate]:
    return list({each.text: each for each in candidates}.values())
