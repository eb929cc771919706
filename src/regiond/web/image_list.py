"""Every image on its way from the source to the racks, as the page shows it (pure)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import attrs

from regiond.spread import Spread
from regiond.web.html_ids import html_id

Row = Mapping[str, Any]


@attrs.frozen
class ImageRow:
    """One image. ``state`` is a word for style sheets, ``said`` for people.

    Attributes:
        key: os/arch/subarch/release/label.
        image_id: of what can be deleted: the version that racks hold, or else the one that
            comes; None if nothing is here.
        done: of the step that it is in, from 0 to 1; None if that cannot be said.
        kept: how many older versions are kept.
        pinned: whether it stays at its version.
        group: in the first row of a name, how many in sequence have it; 0 in the others.
    """

    key: str
    name: str
    title: str
    architecture: str
    label: str
    version: str
    size_bytes: int
    kind: str
    state: str
    said: str
    image_id: int | None = None
    done: float | None = None
    kept: int = 0
    pinned: bool = False
    group: int = 0

    @property
    def html_id(self) -> str:
        """A name that may stand in any page, and is short: there may be many."""
        return html_id("i", self.key)


def image_rows(
    images: Iterable[Row],
    offers: Iterable[Row],
    spread: Mapping[str, Spread],
    problems: Iterable[Row],
    *,
    is_importing: bool,
) -> list[ImageRow]:
    """One row per image that is here, on its way, or selected; in the order of their names.

    Args:
        images: of ``boot-resources read``.
        offers: of ``available-images read``.
        spread: how many racks have each.
        problems: the open events.
        is_importing: whether an import runs.
    """
    stored: dict[str, dict[str, Row]] = {}
    kept: Counter[str] = Counter()
    for image in images:
        key = _key_of_image(image)
        stored.setdefault(key, {})[image["state"]] = image
        kept[key] += image["state"] == "kept"
    offered = {_key_of_offer(each): each for each in offers}
    wanted = {key for key, offer in offered.items() if offer["selected"]}
    failed = {each["object"]: each for each in problems}
    rows = []
    for key in wanted | stored.keys():
        here = stored.get(key, {})
        if here.keys() == {"kept"} and key not in wanted:
            continue
        used = here.get("published") or here.get("importing") or here.get("damaged")
        shown = here.get("importing") or used
        row = _row(key, shown, offered.get(key))
        state, said, done = _state(here, spread.get(key), failed.get(key), is_importing)
        row = attrs.evolve(row, image_id=None if used is None else int(used["id"]))
        rows.append(attrs.evolve(row, state=state, said=said, done=done, kept=kept[key]))
    return sorted(rows, key=lambda row: (row.kind, row.name, row.architecture, row.label))


def _row(key: str, shown: Row | None, offer: Row | None) -> ImageRow:
    os, arch, subarch, release, label = key.split("/")
    source = shown or offer or {}
    return ImageRow(
        key,
        f"{os}/{release}",
        str(offer["release_title"] if offer is not None else source.get("title", "")),
        f"{arch}/{subarch}",
        label,
        str(source.get("version", "")),
        int(source.get("size_bytes", 0)),
        _kind(os, source),
        "",
        "",
        pinned=bool(shown and shown["pinned"]),
    )


def _kind(os: str, source: Row) -> str:
    if source.get("bootloader_type") is not None:
        return "bootloader"
    if source.get("type", "synced") != "synced" or os == "custom":
        return "uploaded"
    return "ubuntu" if os == "ubuntu" else "other"


def _state(
    here: Mapping[str, Row], spread: Spread | None, problem: Row | None, is_importing: bool
) -> tuple[str, str, float | None]:
    """The first step that it has not passed."""
    coming, damaged = here.get("importing"), here.get("damaged")
    published = here.get("published") or damaged
    if problem is not None:
        kept = "in use; its update failed" if published is not None else "failed"
        return "failed", f"{kept}: {problem['cause']}", None
    if coming is not None:
        again = "new version: " if published is not None else ""
        return _coming(coming, again, is_importing)
    if damaged is not None:
        return "failed", "bytes of it went bad here; racks keep what they have", None
    if published is not None:
        return _spreading(spread)
    return "queued", "queued" if is_importing else "queued for the next import", None


def _spreading(spread: Spread | None) -> tuple[str, str, float | None]:
    if spread is None or spread.wanted == 0:
        return "published", "imported; no rack is to hold it", None
    if spread.held == spread.wanted:
        return "synced", "synced", None
    # In words alone: hundreds of images are on their way at once, and a page of bars is large.
    return "syncing", f"syncing to racks {spread.held}/{spread.wanted}", None


def _coming(coming: Row, again: str, is_importing: bool) -> tuple[str, str, float | None]:
    size_bytes, here_bytes = int(coming["size_bytes"]), int(coming["complete_bytes"])
    done = here_bytes / size_bytes if size_bytes else 1.0
    if done >= 1:
        return "verifying", f"{again}verifying", None
    percent = int(done * 100)
    if not is_importing:
        return "stopped", f"{again}stopped at {percent} %", done
    if here_bytes == 0:
        return "queued", f"{again}queued", None
    return "downloading", f"{again}downloading {percent} %", done


def _key_of_image(image: Row) -> str:
    os, _, release = image["name"].partition("/")
    return f"{os}/{image['architecture']}/{release}/{image['label']}"


def _key_of_offer(offer: Row) -> str:
    return "/".join(offer[name] for name in ("os", "arch", "subarch", "release", "label"))


def in_groups(rows: Sequence[ImageRow]) -> list[ImageRow]:
    """The same, where the first of each name in sequence says how many follow, and the title."""
    found = []
    for _, each in groupby(rows, attrgetter("name")):
        first, *rest = each
        title = next((row.title for row in (first, *rest) if row.title), "")
        found += [attrs.evolve(first, group=1 + len(rest), title=title), *rest]
    return found


def of_kind(rows: Sequence[ImageRow], *kinds: str) -> list[ImageRow]:
    """Those of these kinds."""
    return [row for row in rows if row.kind in kinds]
