"""What is wanted of the boot sources, and what they offer.

Use-cases behind the admin socket (and, later, the web page). They return plain values,
keyed as the shell documents them.
"""

from collections.abc import Callable, Mapping
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

import attrs

from common.errors import RackferryError, WrongUsage
from common.images import Selection
from regiond.rows import offer_row, selection_row
from regiond.sources.catalogue import Catalogue
from regiond.sources.matching import SourceOffers
from regiond.sources.releases import day_of
from regiond.sources.selection_rules import explain_unmatched, well_formed
from regiond.store import images, selections, sources
from regiond.store.database import Database
from regiond.store.sources import BootSource
from regiond.upstream import Upstream, object_name


class Selections:
    """The use-cases.

    Args:
        database: the store.
        upstream: reads the sources.
        now: seconds since the epoch.
    """

    def __init__(self, database: Database, upstream: Upstream, now: Callable[[], float]) -> None:
        self._database = database
        self._upstream = upstream
        self._now = now

    async def list_all(self, source_id: int) -> list[dict[str, Any]]:
        """What is wanted of a source."""
        await self._database.read(sources.source, source_id)
        found = await self._database.read(selections.list_selections, source_id)
        return [selection_row(each) for each in found]

    async def one(self, source_id: int, selection_id: int) -> dict[str, Any]:
        """One selection of a source."""
        return selection_row(
            await self._database.read(selections.one_selection, source_id, selection_id)
        )

    async def create(self, source_id: int, wanted: Selection) -> dict[str, Any]:
        """Want something of a source; checked against its catalogue if that can be had.

        Raises:
            WrongUsage: ``selection-malformed``, or ``selection-unmatched`` (what is offered
                lacks one of its words).
            Conflict: ``selection-exists``; one of that os and release is there.
        """
        wanted, unchecked = await self._checked(source_id, wanted)
        made = await self._database.write(
            selections.create_selection, source_id, wanted, unchecked=unchecked, now=self._now()
        )
        return selection_row(made)

    async def update(
        self, source_id: int, selection_id: int, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Want something else; what is given is changed, and the whole checked as a new one.

        Raises:
            WrongUsage, Conflict: as ``create``.
        """
        kept = await self._database.read(selections.one_selection, source_id, selection_id)
        wanted, unchecked = await self._checked(source_id, attrs.evolve(kept.selection, **changes))
        if (wanted, unchecked) == (kept.selection, kept.unchecked):
            return selection_row(kept)
        made = await self._database.write(
            selections.update_selection,
            source_id,
            selection_id,
            wanted,
            unchecked=unchecked,
            now=self._now(),
        )
        return selection_row(made)

    async def _checked(self, source_id: int, wanted: Selection) -> tuple[Selection, bool]:
        """The selection as it is kept, and whether nobody could look it up."""
        source = await self._database.read(sources.source, source_id)
        wanted = well_formed(wanted, object_name(source_id))
        found, error = await self._upstream.known_catalogue(source)
        if error is not None:
            return wanted, True
        why = explain_unmatched(wanted, found.newest, self._today())
        if why is not None:
            raise WrongUsage(
                why,
                object=object_name(source_id),
                code="selection-unmatched",
                remedy=f"available-images read {source_id} refresh lists what there is now",
            )
        return wanted, False

    def _today(self) -> date:
        return day_of(self._now())

    async def delete(self, source_id: int, selection_id: int) -> dict[str, Any]:
        """Want it no longer; its images go with the next import."""
        await self._database.write(
            selections.delete_selection, source_id, selection_id, self._now()
        )
        return {"id": selection_id, "deleted": True}

    # What is offered

    async def available_images(
        self, source_id: int | None, filters: Mapping[str, str], *, refresh: bool = False
    ) -> list[dict[str, Any]]:
        """One row per image that the sources offer (or one source).

        Args:
            source_id: only this source.
            filters: a name or glob by key.
            refresh: ask the sources now, and keep what they say.

        Raises:
            RackferryError: the source that was asked for cannot be read, or none of all can.
        """
        if source_id is None:
            chosen = await self._database.read(sources.list_sources)
        else:
            chosen = (await self._database.read(sources.source, source_id),)
        rows: list[dict[str, Any]] = []
        errors: list[RackferryError] = []
        for source in chosen:
            found, error = await self._upstream.known_catalogue(source, refresh=refresh)
            if error is not None:
                errors.append(error)
            rows += await self._offer_rows(source, found)
        if errors and len(errors) == len(chosen):
            raise errors[0]
        return [
            row
            for row in rows
            if all(fnmatchcase(row[name], pattern) for name, pattern in filters.items())
        ]

    async def kept_images(self, source_id: int) -> list[dict[str, Any]] | None:
        """As ``available_images`` of a source, by what is kept of it; None if that is nothing.

        Nothing is fetched: for whoever must not wait.
        """
        source = await self._database.read(sources.source, source_id)
        found = await self._upstream.kept_catalogue(source)
        return None if found is None else await self._offer_rows(source, found)

    async def _offer_rows(self, source: BootSource, found: Catalogue) -> list[dict[str, Any]]:
        kept = await self._database.read(selections.list_selections, source.id)
        wanted = tuple(each.selection for each in kept)
        offered = SourceOffers(source.id, source.priority, wanted, found.newest, self._today())
        chosen = {offer.key for offer in offered.selected}
        pinned = await self._database.read(images.pinned_versions)
        return [
            offer_row(offered, each, selected=each.key in chosen, pinned=pinned.get(each.key))
            for each in found.newest
        ]
