"""The three pages, from what the region answers to HTML.

They read what the admin shell reads, mostly through its words; what they say of each thing is decided
in ``image_list``, ``ticks``, ``fleet_list`` and ``picture``.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import attrs
from markupsafe import Markup

from common.errors import RackferryError
from common.events import Severity
from common.vocabulary import Question
from regiond.boot_sources import DEFAULT_SOURCE
from regiond.fleet import RegionFleet
from regiond.import_status import ImportStatus
from regiond.region import Region
from regiond.selections import Selections
from regiond.web.fleet_list import rack_rows
from regiond.web.image_list import ImageRow, image_rows, in_groups, of_kind
from regiond.web.picture import picture_of
from regiond.web.rendering import Page, Templates, when
from regiond.web.ticks import TickTable, state_of, tick_tables

Row = Mapping[str, Any]
Ask = Callable[[Question], Awaitable[Any]]

EVENTS_PER_PAGE = 50
_TABLES = {"images": ("ubuntu",), "others": ("other", "uploaded"), "bootloaders": ("bootloader",)}
MOST_DIGITS = 8
"""Of the number of a page of events."""


@attrs.frozen
class SourceForm:
    """What stands in the form of the source; ``id`` None: there is no source yet."""

    id: int | None = None
    kind: str = "custom"
    url: str = ""
    keyring_filename: str = ""

    @classmethod
    def of(cls, sources: Sequence[Row]) -> "SourceForm":
        """Of the only source; empty if there is none."""
        if not sources:
            return cls()
        (source,) = sources
        filename = source["keyring_filename"] or ""
        is_default = (source["url"], filename) == (
            DEFAULT_SOURCE.url,
            DEFAULT_SOURCE.keyring_filename,
        )
        kind = "default" if is_default else "custom"
        return cls(int(source["id"]), kind, source["url"], filename)

    @property
    def is_advanced(self) -> bool:
        """Whether there is something to see among the advanced options."""
        return self.kind == "custom" and bool(self.keyring_filename)


class Pages:
    """The pages.

    Args:
        ask: the admin shell's answers.
        region: images, what they take, and what happened.
        imports: whether one runs, and how the last one ended.
        selections: what the source offers, without asking it.
        fleet: how far images have spread.
        templates: of all pages.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        region: Region,
        imports: ImportStatus,
        selections: Selections,
        fleet: RegionFleet,
        templates: Templates,
    ) -> None:
        self._ask = ask
        self._region = region
        self._imports = imports
        self._selections = selections
        self._fleet = fleet
        self._templates = templates

    async def build(self, title: str, query: Mapping[str, str], *, logged_in: bool) -> Page:
        """A page as it is now, for somebody who is logged in or not."""
        if title == "Racks":
            return await self.racks()
        if title == "Events":
            return await self.events(query)
        return await self.images(logged_in=logged_in)

    # Images

    async def images(
        self,
        *,
        logged_in: bool,
        typed: SourceForm | None = None,
        error: RackferryError | None = None,
    ) -> Page:
        """The Images page.

        Args:
            logged_in: with forms, if there are not several sources.
            typed: what stands in the form of the source, if that is not what is kept.
            error: why that was not saved.
        """
        sources = await self._ask(Question("boot-sources", "read"))
        manages = logged_in and len(sources) <= 1
        offers = await self._offers(sources)
        tables = await self.tables(sources, offers) if manages else None
        state = await self._state()
        rows = image_rows(
            await self._ask(Question("boot-resources", "read")),
            [row for each in offers for row in each or ()],
            await self._fleet.spread(),
            state["problems"],
            is_importing=state["import"]["running"],
        )
        told = _summary(state, sources) | {
            "manages": manages,
            "sources": len(sources),
            "source": SourceForm.of(sources) if manages else None,
            "is_typed": False,
            "cautions": [each for each in sources if each["unsigned"] or not each["enabled"]],
            "tables": tables,
            "seen": state_of(tables or ()),
        }
        part = self._templates.part
        names = ("announcer", "summary", "problems", "several", "cautions", "space")
        forms = ("source", "selection") if logged_in else ()
        return Page(
            "Images",
            "images.html",
            "/live?page=Images",
            {name: part(name, told) for name in (*names, *forms)},
            {
                name: self._image_rows(name, of_kind(rows, *kinds), logged_in, manages)
                for name, kinds in _TABLES.items()
            },
            {
                "logged_in": logged_in,
                "error": error,
                "typed": typed and part("source", told | {"source": typed, "is_typed": True}),
            },
        )

    async def _state(self) -> dict[str, Any]:
        """As the shell's ``status``, without what the page does not show, or reads itself."""
        settings = await self._ask(Question("config", "list"))
        return {
            "import": await self._imports.row(),
            "racks": await self._fleet.list_racks(),
            "problems": await self._region.list_events(Severity.WARNING, cleared=False),
            "space": await self._region.space(),
            "generation": await self._fleet.generation(),
            "settings": {row["name"]: row["value"] for row in settings},
        }

    async def _offers(self, sources: Sequence[Row]) -> list[Sequence[Row] | None]:
        """What each source offers by what is kept of it; None for one that was never read."""
        return [await self._selections.kept_images(int(each["id"])) for each in sources]

    async def tables(
        self, sources: Sequence[Row], offers: Sequence[Sequence[Row] | None] | None = None
    ) -> list[TickTable] | None:
        """The boxes to tick of the only source; None if it has nothing to tick.

        Args:
            sources: all there are.
            offers: what they offer, if that is known already.
        """
        if len(sources) != 1:
            return None
        (found,) = offers or await self._offers(sources)
        selections = await self._selections.list_all(int(sources[0]["id"]))
        return None if found is None else tick_tables(found, selections)

    def _image_rows(
        self,
        name: str,
        rows: Sequence[ImageRow],
        logged_in: bool,
        manages: bool,
    ) -> dict[str, Markup]:
        part = self._templates.part
        made = {row.html_id: part("image", row, logged_in, manages) for row in in_groups(rows)}
        return made or self._none(name, 6 if logged_in else 5, "None yet.")

    def _none(self, table: str, columns: int, said: str) -> dict[str, Markup]:
        html_id = f"no-{table}"
        return {html_id: self._templates.part("empty", html_id, columns, said)}

    # Racks and events

    async def racks(self) -> Page:
        """The Racks page."""
        found = await self._ask(Question("rack-controllers", "read"))
        racks = [each for each in found if each["state"] == "active"]
        rows = rack_rows(racks)
        counts = Counter(each["status"] for each in racks)
        told = {
            "said": f"{counts['synced']} of {len(racks)} racks are in sync",
            "picture": picture_of(racks),
            "counts": counts.most_common(),
        }
        shown = {row.html_id: self._templates.part("rack", row) for row in rows}
        return Page(
            "Racks",
            "racks.html",
            "/live?page=Racks",
            {"fleet": self._templates.part("fleet", told)},
            {"racks": shown or self._none("racks", 6, "No rack has enrolled yet.")},
        )

    async def events(self, query: Mapping[str, str]) -> Page:
        """The Events page: ``level``, ``open``, and ``page``, which counts from 1."""
        level = query.get("level", "")
        level = level if level in set(Severity) else Severity.INFO.value
        only_open = query.get("open") == "1"
        number = query.get("page", "1")
        page = int(number) if number.isdecimal() and len(number) <= MOST_DIGITS else 1
        page = max(1, page)
        first = (page - 1) * EVENTS_PER_PAGE
        shown, total = await self._region.events_from(
            first, EVENTS_PER_PAGE, Severity(level), cleared=not only_open
        )
        filters = {"level": level} | ({"open": "1"} if only_open else {})

        def link(to: int) -> str:
            return f"/events?{urlencode(filters | {'page': str(to)})}"

        rows = {f"event-{row['id']}": self._templates.part("event", row) for row in shown}
        return Page(
            "Events",
            "events.html",
            f"/live?{urlencode({'page': 'Events'} | filters)}" if page <= 1 else "",
            {},
            {"events": rows or self._none("events", 5, "Nothing of that kind.")},
            {
                "level": level,
                "only_open": only_open,
                "newer": link(page - 1) if page > 1 else "",
                "older": link(page + 1) if total > first + EVENTS_PER_PAGE else "",
                "range": f"{first + 1} to {first + len(shown)} of {total}" if shown else "",
            },
        )


def _summary(state: Row, sources: Sequence[Row]) -> dict[str, Any]:
    """What the head of the Images page says."""
    importing, last, settings = state["import"], state["import"]["last"], state["settings"]
    read_at = [each["last_success"] for each in sources if each["last_success"]]
    racks = [each for each in state["racks"] if each["state"] == "active"]
    said, done, announced = _import_said(importing)
    outcome = "none yet" if last is None else f"{last['outcome']}, {when(last['ended_at'])}"
    problems = len(state["problems"])
    return {
        "state": importing["state"],
        "said": said,
        "done": done,
        "announcement": f"{announced} {problems} open problems." if problems else announced,
        "is_importing": importing["state"] != "idle",
        "last_success": max(read_at, default=None),
        "last_said": outcome,
        "next_at": importing["next_at"],
        "racks": len(racks),
        "racks_synced": sum(each["status"] == "synced" for each in racks),
        "automatic": settings["boot_images_auto_import"],
        "interval_minutes": settings["boot_images_import_interval_minutes"],
        "problems": state["problems"],
        "space": state["space"],
        "generation": state["generation"],
    }


def _import_said(importing: Row) -> tuple[str, float | None, str]:
    """In full, how far from 0 to 1, and in short for whoever listens."""
    if importing["state"] == "parked":
        return "The import waits for space.", None, "The import waits for space."
    progress = importing["progress"]
    if progress is None:
        return "No import is running.", None, "No import is running."
    images = f"{progress['published']} of {progress['total_images']} images"
    total_bytes = progress["total_bytes"]
    done = min(1.0, progress["fetched_bytes"] / total_bytes) if total_bytes else None
    return f"Importing: {progress['phase']}, {images}.", done, f"Importing, {images}."
