"""The boxes to tick: releases down, architectures across (pure).

A row is an os and a release as selections name them, so a release may be a pattern or
``latest-lts``, too. Saving changes only the rows in which a box was changed; what a selection
says of kernels and labels stays.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import attrs

from common.errors import Conflict

Row = Mapping[str, Any]

_MOVING = {
    "latest-lts": "the newest LTS, whichever that is",
    "supported": "every release that is still supported",
}


@attrs.frozen
class TickRow:
    """A release: which architectures it is offered for, and which are wanted.

    ``selection_id`` is that of its selection, None if there is none; ``selected`` says it in
    words where boxes cannot: kernels and labels.
    """

    os: str
    release: str
    title: str
    arches: tuple[str, ...]
    ticked: tuple[str, ...]
    selection_id: int | None = None
    selected: str = ""

    def value(self, arch: str) -> str:
        """What a ticked box sends."""
        return f"{self.os}/{self.release}/{arch}"


@attrs.frozen
class TickTable:
    """All rows of one os."""

    os: str
    arches: tuple[str, ...]
    rows: tuple[TickRow, ...]


@attrs.frozen
class Change:
    """What is to be done to a selection.

    ``arches`` are all that are wanted; with none, it is to be deleted. ``selection_id`` None:
    it is to be made.
    """

    os: str
    release: str
    arches: tuple[str, ...]
    selection_id: int | None


def tick_tables(offers: Iterable[Row], selections: Sequence[Row]) -> list[TickTable]:
    """Ubuntu first, then the other systems by name.

    Args:
        offers: of ``available-images read``, of one source.
        selections: of ``boot-source-selections read``.
    """
    offered: dict[str, dict[str, set[str]]] = {}
    titles: dict[tuple[str, str], str] = {}
    for offer in offers:
        if offer["bootloader_type"] is None:
            releases = offered.setdefault(offer["os"], {})
            releases.setdefault(offer["release"], set()).add(offer["arch"])
            titles[offer["os"], offer["release"]] = offer["release_title"]
    chosen = {(each["os"], each["release"]): each for each in selections}
    systems = offered.keys() | {os for os, _ in chosen}
    return [
        _table(os, offered.get(os, {}), titles, chosen)
        for os in sorted(systems, key=lambda os: (os != "ubuntu", os))
    ]


def _table(
    os: str,
    offered: Mapping[str, Collection[str]],
    titles: Mapping[tuple[str, str], str],
    chosen: Mapping[tuple[str, str], Row],
) -> TickTable:
    every_arch = {arch for arches in offered.values() for arch in arches}
    own = {release: row for (each, release), row in chosen.items() if each == os}
    named = {arch for row in own.values() for arch in row["arches"] if not _is_glob(arch)}
    has_lts = any(_is_lts(titles.get((os, release), "")) for release in offered)
    moving = {word for word in _MOVING if offered and (word != "latest-lts" or has_lts)}
    rows = []
    for release in {*offered, *own, *moving}:
        selection = own.get(release)
        arches = set(offered.get(release, every_arch))
        if selection is not None:
            arches |= {arch for arch in selection["arches"] if not _is_glob(arch)}
        rows.append(
            TickRow(
                os,
                release,
                _MOVING.get(release) or titles.get((os, release), "not offered by name"),
                tuple(sorted(arches)),
                _ticked(arches, selection),
                None if selection is None else int(selection["id"]),
                _in_words(selection),
            )
        )
    rows.sort(key=_newest_lts_first)
    return TickTable(os, tuple(sorted(every_arch | named)), tuple(rows))


def _ticked(arches: Iterable[str], selection: Row | None) -> tuple[str, ...]:
    patterns = selection["arches"] if selection is not None else ()
    return tuple(
        arch for arch in sorted(arches) if any(fnmatchcase(arch, each) for each in patterns)
    )


def _in_words(selection: Row | None) -> str:
    if selection is None:
        return ""
    parts = [
        f"{what} {', '.join(selection[name])}"
        for name, what in (("subarches", "kernels"), ("labels", "labels"))
        if list(selection[name]) != ["*"]
    ]
    if any(map(_is_glob, selection["arches"])):
        parts.insert(0, f"architectures {', '.join(selection['arches'])}")
    if selection["state"] == "unchecked":
        parts.append("not looked up yet")
    return "; ".join(parts)


def _newest_lts_first(row: TickRow) -> tuple[Any, ...]:
    """Words whose meaning moves, then LTS, then the rest; each newest first, as MAAS has them."""
    numbers = [-int(number) for number in re.findall(r"\d+", row.title)]
    return row.release not in _MOVING, not _is_lts(row.title), numbers or [0], row.release


def _is_lts(title: str) -> bool:
    return "LTS" in title.split()


def _is_glob(word: str) -> bool:
    return any(sign in word for sign in "*?[")


def changes_to(tables: Iterable[TickTable], ticked: Collection[str]) -> list[Change]:
    """What makes the selections be what is ticked; rows that look as they did stay as they are."""
    changes = []
    for row in (row for table in tables for row in table.rows):
        arches = tuple(arch for arch in row.arches if row.value(arch) in ticked)
        if arches != row.ticked:
            changes.append(Change(row.os, row.release, arches, row.selection_id))
    return changes


def state_of(tables: Iterable[TickTable]) -> str:
    """A short name of what is shown; another one as soon as anything of it differs."""
    return hashlib.sha256(repr(list(tables)).encode()).hexdigest()[:16]


def demand_state(tables: Iterable[TickTable], seen: str) -> None:
    """Let nobody undo what they have not seen.

    Raises:
        Conflict: code ``web-overtaken``.
    """
    if state_of(tables) != seen:
        raise Conflict(
            "what is selected or offered has changed since this page was opened; nothing was saved",
            object="selections",
            code="web-overtaken",
            remedy="look at it again, and tick what you want",
        )
