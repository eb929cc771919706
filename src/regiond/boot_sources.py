"""Boot sources: where images come from, as an admin sets them.

Use-cases behind the admin socket (and, later, the web page). They return plain values,
keyed as the shell documents them.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from common.errors import Conflict
from common.images import Selection
from regiond.rows import key_row, source_row
from regiond.source_fields import (
    changed,
    credentials_warning,
    differences,
    fields_of,
)
from regiond.store import default_source, events, generations, sources
from regiond.store.database import Database
from regiond.store.sources import BootSource, SourceFields
from regiond.upstream import Upstream, object_name

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
            default_source.make_default_source, DEFAULT_SOURCE, DEFAULT_SELECTION, self._now()
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

    async def create(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Add a source. Nothing is fetched; its keyring is looked at.

        Args:
            given: the fields of ``SourceFields`` that the admin gives.

        Raises:
            WrongUsage: the URL is none, not exactly one keyring, or another wrong value.
            SignatureError: the keyring holds no key; nothing was added.
            Conflict: there is a source at that place.
        """
        nothing = SourceFields("")
        fields = changed(nothing, given)
        warnings = await self._warnings(nothing, fields)
        made = await self._database.write(sources.create_source, fields, self._now())
        return _with_warnings(source_row(made), warnings)

    async def update(self, source_id: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Change a source; what is not given stays. Nothing is fetched.

        With another URL or keyring its documents have to be read and verified anew. Its
        images stay until an import has read them, and blobs that they name as well are not
        fetched again.

        Raises:
            NotFound: no such source.
            WrongUsage, SignatureError, Conflict: as for ``create``.
        """
        before = fields_of(await self._database.read(sources.source, source_id))
        after = changed(before, given)
        warnings = await self._warnings(before, after)
        different = differences(before, after)
        if different:
            await self._database.write(sources.update_source, source_id, different, self._now())
            self._upstream.forget(source_id)
        if not after.enabled:  # nobody looks at it any more, so nobody would clear them
            await self._settle_events(source_id)
        return _with_warnings(await self.one(source_id), warnings)

    async def _warnings(self, before: SourceFields, after: SourceFields) -> list[str]:
        """What may be so, and is worth a word; raises for what may not."""
        return [
            warning
            for warning in (
                await self._upstream.keyring_warning(after),
                await self._upstream.ca_warning(after),
                credentials_warning(before, after),
            )
            if warning
        ]

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
        await self._database.write(generations.delete_source, source_id, self._now())
        self._upstream.forget(source_id)
        await self._settle_events(source_id)
        return {"id": source_id, "deleted": True}

    async def _settle_events(self, source_id: int) -> None:
        await self._database.write(events.settle, (), {object_name(source_id)}, self._now())

    async def check(self, source_id: int) -> dict[str, Any]:
        """Fetch and verify a source now, and store nothing.

        Products that are skipped are listed, and no failure.

        Raises:
            RackferryError: it cannot be used, and why.
        """
        return await self._check(await self._database.read(sources.source, source_id))

    async def try_out(self, source_id: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """As ``check``, of a source that is not kept: a new one, or one with other fields.

        Raises:
            NotFound, WrongUsage: as for ``create`` and ``update``.
            RackferryError: it cannot be used, and why.
        """
        if source_id is None:
            return await self._check(_unkept(changed(SourceFields(""), given)))
        kept = await self._database.read(sources.source, source_id)
        fields = changed(fields_of(kept), given)
        return await self._check(attrs.evolve(kept, **attrs.asdict(fields, recurse=False)))

    async def _check(self, source: BootSource) -> dict[str, Any]:
        look = await self._upstream.look(source, afresh=True)
        if look.error is not None or look.reading is None:
            raise look.error or Conflict("was not read", object=object_name(source.id))
        found = await self._upstream.catalogue(look)
        fingerprints = {each.fingerprint for each in look.reading.documents if each.fingerprint}
        row = source_row(source)
        return {
            **{name: row[name] for name in ("id", "url", "keyring", "credentials", "proxy")},
            "ca_file": source.ca_file,
            "keys": [key_row(each) for each in await self._upstream.keys_of(source)],
            "signed_by": sorted(fingerprints),
            "documents": [
                {"path": each.path, "sha256": each.sha256, "updated": each.updated}
                for each in look.reading.documents
            ],
            "images": len(found.newest),
            "skipped": [str(each) for each in found.ignored],
            "problems": [each.line() for each in look.reading.problems],
        }


def _with_warnings(row: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    return row | ({"warning": "; ".join(warnings)} if warnings else {})


def _unkept(fields: SourceFields) -> BootSource:
    return BootSource(
        id=0,
        created_at=0.0,
        updated_at=0.0,
        last_success_at=None,
        **attrs.asdict(fields, recurse=False),
    )
