"""What can be asked of a region: its sources, what is wanted of them, its images.

The use-cases behind the admin socket (and, later, the web page). They return plain values,
keyed as the shell documents them. What concerns racks is in ``fleet``.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from common.canonical import plain
from common.errors import Conflict, RackferryError, WrongUsage
from common.events import Severity
from common.images import Selection
from regiond.importer import Importer
from regiond.rows import image_row, key_columns, selection_row, shown_url, source_row
from regiond.sources.catalogue import Catalogue
from regiond.sources.locations import SourceLocation
from regiond.sources.matching import explain_unmatched, select
from regiond.store import blobs, events, generations, images, sources
from regiond.store.database import Database
from regiond.store.sources import BootSource, SourceFields
from regiond.upstream import Upstream, location_of

DEFAULT_SOURCE = SourceFields(
    url="https://images.maas.io/ephemeral-v3/daily/",
    keyring_filename="/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg",
)
DEFAULT_SELECTION = Selection("ubuntu", "latest-lts", ("amd64",))


class Region:
    """The use-cases.

    Args:
        database: the store.
        upstream: reads the sources.
        importer: plans imports.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        upstream: Upstream,
        importer: Importer,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._upstream = upstream
        self._importer = importer
        self._now = now

    async def make_default_source(self) -> None:
        """Give an empty database its first source, once."""
        await self._database.write(
            sources.make_default_source, DEFAULT_SOURCE, DEFAULT_SELECTION, self._now()
        )

    # Boot sources

    async def list_sources(self) -> list[dict[str, Any]]:
        """Every boot source."""
        found = await self._database.read(sources.list_sources)
        return [source_row(self._upstream.as_read(each)) for each in found]

    async def source(self, source_id: int) -> dict[str, Any]:
        """One boot source."""
        found = await self._database.read(sources.source, source_id)
        return source_row(self._upstream.as_read(found))

    async def create_source(
        self,
        url: str,
        keyring_filename: str | None = None,
        keyring_data: bytes | None = None,
        unsigned: bool = False,
        priority: int = 0,
    ) -> dict[str, Any]:
        """Add a source. Nothing is fetched; its keyring is looked at.

        Raises:
            WrongUsage: the URL is none, or not exactly one keyring is given.
            SignatureError: the keyring holds no key; nothing was added.
            Conflict: there is a source with that URL.
        """
        fields = SourceFields(url, keyring_filename, keyring_data, unsigned, priority)
        location = _checked_location(fields)
        for other in await self._database.read(sources.list_sources):
            if location_of(other) == location:
                raise Conflict(
                    f"boot source {other.id} is the same place",
                    object=location.base,
                    code="source-exists",
                    remedy=f"use boot source {other.id}, or delete it first",
                )
        warning = await self._upstream.keyring_warning(fields)
        try:
            made = await self._database.write(sources.create_source, fields, self._now())
        except Conflict as error:
            error.object = location.base  # the URL as it is may hold a password
            raise
        return source_row(made) | ({"warning": warning} if warning else {})

    async def delete_source(self, source_id: int) -> dict[str, Any]:
        """Forget a source and its selections; its images go with the next import."""
        await self._database.write(sources.delete_source, source_id, self._now())
        name = f"boot-source {source_id}"
        await self._database.write(events.settle, (), {name}, self._now())
        return {"id": source_id, "deleted": True}

    async def check_source(self, source_id: int) -> dict[str, Any]:
        """Fetch and verify a source now, and store nothing.

        Raises:
            RackferryError: it cannot be used, and why.
        """
        source = await self._database.read(sources.source, source_id)
        look = await self._upstream.look(source, afresh=True)
        if look.error is not None or look.reading is None:
            raise look.error or Conflict("was not read", object=f"boot-source {source_id}")
        found = await self._upstream.catalogue(look)
        fingerprints = {each.fingerprint for each in look.reading.documents if each.fingerprint}
        return {
            "id": source_id,
            "url": shown_url(source.url),
            "signed_by": sorted(fingerprints),
            "documents": [
                {"path": each.path, "sha256": each.sha256, "updated": each.updated}
                for each in look.reading.documents
            ],
            "images": len(found.newest),
            "skipped": [str(each) for each in found.ignored],
            "problems": [each.line() for each in look.reading.problems],
        }

    # Selections

    async def list_selections(self, source_id: int) -> list[dict[str, Any]]:
        """What is wanted of a source."""
        await self._database.read(sources.source, source_id)
        found = await self._database.read(sources.list_selections, source_id)
        return [selection_row(each) for each in found]

    async def create_selection(self, source_id: int, wanted: Selection) -> dict[str, Any]:
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

    async def delete_selection(self, source_id: int, selection_id: int) -> dict[str, Any]:
        """Want it no longer; its images go with the next import."""
        await self._database.write(sources.delete_selection, source_id, selection_id, self._now())
        return {"id": selection_id, "deleted": True}

    # What is offered, and what would be done

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

    async def plan(self) -> list[dict[str, Any]]:
        """What an import would do now, one row per image.

        Raises:
            RackferryError: no source can be read, nor was one ever.
        """
        looks = await self._importer.look()
        errors = [look.error for look in looks if look.error is not None and not look.stored]
        if errors and len(errors) == len(looks):
            raise errors[0]
        plan = await self._importer.plan(looks)
        to_come = {blob.sha256: blob.fetch_bytes for blob in plan.fetch}
        rows = [
            {
                "action": "publish" if planned.is_held else "fetch",
                **key_columns(planned.offer.key),
                "version": planned.offer.version,
                "size_bytes": planned.offer.size_bytes,
                "fetch_bytes": sum(to_come.get(sha256, 0) for sha256 in planned.missing),
            }
            for planned in plan.stage
        ]
        rows += [
            {
                "action": "retire",
                **key_columns(gone.key),
                "version": gone.version,
                "size_bytes": 0,
                "fetch_bytes": 0,
            }
            for gone in plan.retire
        ]
        return rows

    # Images

    async def list_images(self, image_type: str) -> list[dict[str, Any]]:
        """The images that are published or being imported."""
        found = await self._database.read(images.list_images)
        return [image_row(each) for each in found if image_type in {"all", each.type}]

    async def image(self, image_id: int) -> dict[str, Any]:
        """One image and its files."""
        found = await self._database.read(images.image_details, image_id)
        return image_row(found) | {
            "title": found.title,
            "kflavor": found.kflavor,
            "subarches": list(found.subarches),
            "source": found.source_id,
            "document_sha256": found.document_sha256,
            "published_at": found.published_at,
            "files": [plain(file) for file in found.files],
        }

    async def delete_image(self, image_id: int) -> dict[str, Any]:
        """Take an image out of what racks hold; the next import fetches it again if wanted."""
        found = await self._database.read(images.image_details, image_id)
        generation = await self._database.write(
            generations.retire_images, [image_id], None, self._now()
        )
        self._importer.unsettle()
        return {"id": found.id, "deleted": True, "generation": generation}

    # What happened

    async def list_events(self, level: Severity, *, cleared: bool) -> list[dict[str, Any]]:
        """What an admin would want to know, newest first."""
        found = await self._database.read(events.list_events, level, cleared=cleared)
        return [
            plain(each.event)
            | {"count": each.count, "first_at": each.first_at, "cleared_at": each.cleared_at}
            for each in found
        ]

    async def overview(self) -> dict[str, Any]:
        """Sources, images, space and open problems."""
        generation, view = await self._database.read(generations.current_generation)
        kept = await self._database.read(images.list_images)
        held = await self._database.read(blobs.all_blobs)
        return {
            "generation": generation,
            "view": view,
            "sources": await self.list_sources(),
            "images": {
                "published": sum(each.state == "published" for each in kept),
                "importing": sum(each.state == "importing" for each in kept),
            },
            "space": {
                "blobs": len(held),
                "held_bytes": sum(each.held_bytes for each in held),
                "partial_bytes": sum(each.held_bytes for each in held if not each.is_complete),
            },
            "problems": await self.list_events(Severity.WARNING, cleared=False),
        }


def _checked_location(fields: SourceFields) -> SourceLocation:
    location = location_of(fields)
    given = [fields.keyring_filename, fields.keyring_data].count(None)
    if fields.unsigned and given != 2:
        raise WrongUsage(
            "an unsigned source has no keyring",
            object=location.base,
            code="source-keyring",
            remedy="leave out either unsigned=true or the keyring",
        )
    if not fields.unsigned and given != 1:
        raise WrongUsage(
            "a source needs exactly one keyring",
            object=location.base,
            code="source-keyring",
            remedy="give keyring_filename=PATH or keyring_data@=FILE; "
            "or unsigned=true for a source without signatures",
        )
    if fields.keyring_filename is not None and not Path(fields.keyring_filename).is_absolute():
        raise WrongUsage(
            f"keyring_filename {fields.keyring_filename} is not an absolute path on the region",
            object=location.base,
            code="source-keyring",
            remedy="give the whole path, or the keyring itself with keyring_data@=FILE",
        )
    return location
