"""What can be asked about custom images: whether one can be made, and to make it.

Its bytes are held before it is asked for (``uploads``). It is published at once, as any
image is, and racks get it like any other.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from common.canonical import plain
from common.custom_names import check_base_image, custom_key, demand_free, doubt_of_base_image
from common.errors import Conflict, WrongUsage
from common.file_types import FileType, check_content
from common.images import ImageKey
from common.pools import Threads
from common.verbs import BlobName
from regiond.esxi_network import plan_network
from regiond.netplan import read_netplan
from regiond.rows import image_row, key_columns
from regiond.sources.releases import day_of
from regiond.store import blobs, images, source_documents, sources, uploads
from regiond.store.database import Database
from regiond.store.images import NeededFile, NewImage
from regiond.upstream import Look, Upstream


@attrs.frozen
class Wanted:
    """A custom image as it was typed; "" for what was not given."""

    name: str
    architecture: str
    filetype: str
    title: str = ""
    base_image: str = ""


class CustomImages:
    """The use-cases.

    Args:
        database: the store.
        upstream: knows what sources call their images.
        in_thread: looks into files away from the reactor.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        upstream: Upstream,
        in_thread: Threads,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._upstream = upstream
        self._in_thread = in_thread
        self._now = now

    async def check(self, wanted: Wanted) -> dict[str, Any]:
        """Say what would be made, or why not.

        Raises:
            WrongUsage: ``custom-name``, ``custom-reserved``, ``custom-architecture``,
                ``custom-base-image``.
            Conflict: ``image-pinned``.
        """
        key, doubt = await self._checked(wanted)
        return key_columns(key) | {"type": "uploaded", "message": "can be made"} | doubt

    async def create(self, wanted: Wanted, content: BlobName) -> dict[str, Any]:
        """Make an image of bytes that are held, and publish it.

        Raises:
            WrongUsage: as ``check``; ``filetype-unknown``, ``filetype-content``.
            Conflict: as ``check``; ``upload-incomplete``, the bytes are not all there.
        """
        key, doubt = await self._checked(wanted)
        filetype = await self._checked_content(wanted.filetype, content)
        file = NeededFile(filetype.name, filetype.ftype, content.sha256, content.size_bytes)
        new = NewImage(
            key,
            "",
            [file],
            type="uploaded",
            title=wanted.title,
            base_image=wanted.base_image or None,
        )
        now = self._now()
        created = await self._database.write(uploads.create_image, new, day_of(now), now)
        made = created.image
        message = (
            "published; racks fetch it"
            if created.is_new
            else "these bytes are published already: no new version"
        )
        row = {
            "base_image": made.base_image,
            "generation": created.generation,
            "message": message,
        }
        return image_row(made) | row | doubt

    async def check_network(self, image_id: int, config: bytes) -> list[dict[str, Any]]:
        """What a deployment of an ESXi image does with a netplan configuration.

        Raises:
            NotFound: no such image.
            WrongUsage: ``esxi-other`` (it is no ESXi), ``netplan-malformed``,
                ``esxi-network`` (what ESXi does not do, by name).
        """
        found = await self._database.read(images.image_details, image_id)
        if found.key.os != "esxi" and not found.key.release.startswith("esxi"):
            raise WrongUsage(
                f"{found.name} is no ESXi, which alone has such limits",
                object=f"boot-resource {image_id}",
                code="esxi-other",
                remedy="boot-resources read type=uploaded lists the images",
            )
        steps = plan_network(await self._in_thread(partial(read_netplan, config)))
        return [{**plain(step), "message": step.message} for step in steps]

    async def _checked(self, wanted: Wanted) -> tuple[ImageKey, dict[str, str]]:
        """Which image it is; and under ``warning`` what deserves a word, if anything does."""
        key = custom_key(wanted.name, wanted.architecture)
        check_base_image(wanted.base_image)
        offered = await self._names_of_sources()
        demand_free(key, offered)
        await self._database.read(uploads.demand_unpinned, key)
        held = await self._database.read(images.list_images, ("published",))
        published = {(each.key.os, each.key.release) for each in held}
        doubt = doubt_of_base_image(wanted.base_image, published, offered)
        return key, {"warning": doubt} if doubt else {}

    async def _checked_content(self, filetype: str, content: BlobName) -> FileType:
        blob = await self._database.read(blobs.find_blob, content.sha256)
        if blob is None or not blob.is_complete or blob.size_bytes != content.size_bytes:
            raise Conflict(
                "its bytes are not all here",
                object=f"blob {content.sha256}",
                code="upload-incomplete",
                remedy="run the command again: what is here is not sent again",
            )
        head = await self._database.read_chunk(blob.id, 0) if blob.size_bytes else b""
        return await self._in_thread(partial(check_content, filetype, head, "content"))

    async def _names_of_sources(self) -> set[tuple[str, str]]:
        """By what sources said last: none is asked now, and a region without any has none."""
        found = await self._database.read(uploads.names_of_sources)
        for source in await self._database.read(sources.list_sources):
            stored = await self._database.read(source_documents.stored_documents, source.id)
            if stored:
                catalogue = await self._upstream.catalogue(Look(source, stored))
                found |= {(offer.key.os, offer.key.release) for offer in catalogue.newest}
        return found
