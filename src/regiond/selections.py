"""What is wanted of the boot sources, and what they offer.

Use-cases behind the admin socket (and, later, the web page). They return plain values,
keyed as the shell documents them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from common.errors import RackferryError, WrongUsage
from common.images import Selection
from regiond.rows import selection_row
from regiond.sources.catalogue import Catalogue
from regiond.sources.matching import explain_unmatched, select
from regiond.store import sources
from regiond.store.database import Database
from regiond.store.sources import BootSource
from regiond.upstream import Upstream


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
        found = await self._database.read(sources.list_selections, source_id)
        return [selection_row(each) for each in found]

    async def create(self, source_id: int, wanted: Selection) -> dict[str, Any]:
        """Want something of a source; checked against its catalogue if that can be had.

        Raises:
            WrongUsage: code ``selection-unmatched``; nothing that is offered fits.
        """
        source = await self._database.read(sources.source, source_id)
        found, error = await self._upstream.known_catalogue(source)
        if error is None:
            why = explain_unmatched(wanted, found.newest)
            if why is not None:
                raise WrongUsage(
                    why,
                    object=f"boot-source {source_id}",
                    code="selection-unmatched",
                    remedy=f"available-images read {source_id} lists what there is",
                )
        made = await self._database.write(
            sources.create_selection,
            source_id,
            wanted,
            unchecked=error is not None,
            now=self._now(),
        )
        return selection_row(made)

    async def delete(self, source_id: int, selection_id: int) -> dict[str, Any]:
        """Want it no longer; its images go with the next import."""
        await self._database.write(sources.delete_selection, source_id, selection_id, self._now())
        return {"id": selection_id, "deleted": True}

    # What is offered

    async def available_images(
        self, source_id: int | None, filters: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """One row per image that the sources offer (or one source).

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
            found, error = await self._upstream.known_catalogue(source)
            if error is not None:
                errors.append(error)
            rows += await self._offer_rows(source, found)
        if errors and len(errors) == len(chosen):
            raise errors[0]
        return [row for row in rows if all(row[name] == value for name, value in filters.items())]

    async def _offer_rows(self, source: BootSource, found: Catalogue) -> list[dict[str, Any]]:
        kept = await self._database.read(sources.list_selections, source.id)
        wanted = select([each.selection for each in kept], found.newest)
        chosen = {offer.key for offer in wanted}
        return [
            {
                "source": source.id,
                **attrs.asdict(offer.key),
                "version": offer.version,
                "title": offer.title,
                "kflavor": offer.kflavor,
                "support_eol": offer.support_eol,
                "size_bytes": offer.size_bytes,
                "selected": offer.key in chosen,
            }
            for offer in found.newest
        ]
