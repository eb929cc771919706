"""Boot sources: where images come from, as an admin sets them.

Use-cases behind the admin socket (and, later, the web page). They return plain values,
keyed as the shell documents them.
"""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import Conflict, WrongUsage
from common.images import Selection
from regiond.rows import shown_url, source_row
from regiond.sources.locations import SourceLocation
from regiond.store import events, sources
from regiond.store.database import Database
from regiond.store.sources import SourceFields
from regiond.upstream import Upstream, location_of

DEFAULT_SOURCE = SourceFields(
    url="https://images.maas.io/ephemeral-v3/daily/",
    keyring_filename="/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg",
)
DEFAULT_SELECTION = Selection("ubuntu", "latest-lts", ("amd64",))


class BootSources:
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

    async def make_default(self) -> None:
        """Give an empty database its first source, once."""
        await self._database.write(
            sources.make_default_source, DEFAULT_SOURCE, DEFAULT_SELECTION, self._now()
        )

    async def list_all(self) -> list[dict[str, Any]]:
        """Every boot source."""
        found = await self._database.read(sources.list_sources)
        return [source_row(self._upstream.as_read(each)) for each in found]

    async def one(self, source_id: int) -> dict[str, Any]:
        """One boot source."""
        found = await self._database.read(sources.source, source_id)
        keyring_data = b64encode(found.keyring_data or b"").decode("ascii")
        return source_row(self._upstream.as_read(found)) | {"keyring_data": keyring_data}

    async def create(
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

    async def permit_rollback(self, source_id: int, *, permitted: bool, by: str) -> None:
        """Let the next import that reads the source well take in older documents, or not.

        Args:
            source_id: which source.
            permitted: whether it may.
            by: who says so, for the record.
        """
        who = by or "an admin whom the socket did not name"
        await self._database.write(sources.permit_rollback, source_id, who if permitted else None)

    async def delete(self, source_id: int) -> dict[str, Any]:
        """Forget a source and its selections; its images go with the next import."""
        await self._database.write(sources.delete_source, source_id, self._now())
        name = f"boot-source {source_id}"
        await self._database.write(events.settle, (), {name}, self._now())
        return {"id": source_id, "deleted": True}

    async def check(self, source_id: int) -> dict[str, Any]:
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
