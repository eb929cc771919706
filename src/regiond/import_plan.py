"""What a store holds, and what an import will do with it: values (pure).

``regiond.planning`` makes a plan; it can be shown (``boot-resources plan``) before anything
happens.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from enum import StrEnum

import attrs

from common.images import ImageKey
from regiond.damaged_blobs import LostFile
from regiond.sources.catalogue import Offer
from regiond.sources.simplestreams import Skipped


def names_of(offer: Offer) -> frozenset[tuple[str, str]]:
    """What tells an offer's files from those of another: (name, SHA-256)."""
    return frozenset((file.name, file.sha256) for file in offer.files)


class HeldState(StrEnum):
    """How far a held image is: being fetched, visible to racks, or an older version kept."""

    IMPORTING = "importing"
    PUBLISHED = "published"
    KEPT = "kept"


@attrs.frozen
class HeldImage:
    """An image in the store. ``files`` are (name, SHA-256); uploads have no source.

    ``pinned``: an admin wants this version to stay published. ``waits``: only canaries hold it.
    ``upstream_paths`` are where its source has its files; ``lts`` tells the number of its
    release if that is an LTS (``releases.lts_of``).
    """

    id: int
    key: ImageKey
    version: str
    state: HeldState
    source_id: int | None
    files: frozenset[tuple[str, str]]
    subarches: tuple[str, ...] = ()
    bootloader_type: str | None = None
    pinned: bool = False
    waits: bool = False
    upstream_paths: frozenset[str] = frozenset()
    lts: str = ""

    def is_as_offered(self, offer: Offer | None) -> bool:
        """Whether it is exactly what is offered."""
        return offer is not None and offer.version == self.version and names_of(offer) == self.files


@attrs.frozen
class HeldBlob:
    """A blob in the store: complete, or the first ``held_bytes`` of it."""

    sha256: str
    size_bytes: int
    held_bytes: int
    complete: bool


@attrs.frozen
class Holdings:
    """Everything the store holds, as far as a plan needs to know it. ``lost``: what went bad."""

    images: tuple[HeldImage, ...] = ()
    blobs: Mapping[str, HeldBlob] = attrs.field(factory=dict)
    lost: tuple[LostFile, ...] = ()


@attrs.frozen
class PlannedImage:
    """An image to stage and to publish when ``missing`` (SHA-256 names) are held."""

    source_id: int
    offer: Offer
    missing: tuple[str, ...]

    @property
    def is_held(self) -> bool:
        """Whether it can be published at once."""
        return not self.missing


@attrs.frozen
class Waiting:
    """A pinned image, and what a source offers in its place."""

    pinned: HeldImage
    source_id: int
    offer: Offer


Place = tuple[int, str]
"""Where a file is: its source's id, and its path there."""


@attrs.frozen
class BlobFetch:
    """A blob to fetch: from any of these (source, path), preferred first.

    ``sha512`` is empty unless a source promises one. ``repairs`` are the files of held images that
    it is, and that went bad.
    """

    sha256: str
    size_bytes: int
    held_bytes: int
    upstream: tuple[Place, ...]
    sha512: str = ""
    repairs: tuple[LostFile, ...] = ()

    @property
    def fetch_bytes(self) -> int:
        """What is still to come."""
        return self.size_bytes - self.held_bytes


@attrs.frozen
class Retirement:
    """A held image that goes: at once, or when all images of ``after`` are published.

    ``support_ended`` is the last day of its release's support, if it goes because of that.
    """

    image_id: int
    key: ImageKey
    version: str
    after: frozenset[ImageKey] = frozenset()
    support_ended: date | None = None


@attrs.frozen
class ImportPlan:
    """What an import will do.

    ``stage`` are the images to fetch or publish, in order; ``refused`` are those that
    contradict what is held, of the sources ``refused_of``; ``vanished`` those that stay and
    that their source no longer has. ``waiting`` are updates that a pin keeps back, ``unwanted``
    those that only a pin keeps. ``guarded`` says that retirements were withheld,
    ``reason`` why.
    """

    stage: tuple[PlannedImage, ...] = ()
    fetch: tuple[BlobFetch, ...] = ()
    retire: tuple[Retirement, ...] = ()
    refused: tuple[Skipped, ...] = ()
    refused_of: frozenset[int] = frozenset()
    vanished: tuple[HeldImage, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    unwanted: tuple[HeldImage, ...] = ()
    guarded: bool = False
    reason: str = ""

    def within(
        self,
        sources: Collection[int],
        brings: Callable[[PlannedImage], bool],
        has: Callable[[Place], bool],
    ) -> "ImportPlan":
        """The same plan, less the images that are not brought, from these sources alone.

        Of what went bad, that which is there.
        """
        stage = tuple(image for image in self.stage if brings(image))
        missing = {sha256 for image in stage for sha256 in image.missing}
        fetch = []
        for blob in self.fetch:
            upstream = tuple(place for place in blob.upstream if place[0] in sources)
            if blob.sha256 not in missing:
                upstream = tuple(filter(has, upstream)) if blob.repairs else ()
            if upstream:
                fetch.append(attrs.evolve(blob, upstream=upstream))
        return attrs.evolve(self, stage=stage, fetch=tuple(fetch))

    @property
    def fetch_bytes(self) -> int:
        """How many bytes are to be fetched."""
        return sum(blob.fetch_bytes for blob in self.fetch)

    @property
    def fetch_bytes_each(self) -> tuple[int, ...]:
        """The same for each image of ``stage``: what several need, the first one pays."""
        to_come = {blob.sha256: blob.fetch_bytes for blob in self.fetch}
        return tuple(
            sum(to_come.pop(sha256, 0) for sha256 in image.missing) for image in self.stage
        )

    @property
    def repair_bytes(self) -> dict[tuple[ImageKey, str], int]:
        """What is fetched of held images (key and version) that went bad; what several need, one pays."""
        found: dict[tuple[ImageKey, str], int] = {}
        staged = {sha256 for image in self.stage for sha256 in image.missing}
        for blob in self.fetch:
            for place, lost in enumerate(blob.repairs):
                pays = not place and blob.sha256 not in staged
                image = lost.key, lost.version
                found[image] = found.get(image, 0) + (blob.fetch_bytes if pays else 0)
        return found

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.stage or self.retire or self.fetch)

    def retirements(self, published: Iterable[ImageKey] = ()) -> tuple[int, ...]:
        """The ids of images that may go once these images of the plan are published."""
        done = frozenset(published)
        return tuple(gone.image_id for gone in self.retire if gone.after <= done)

    def incomplete(self, published: Iterable[ImageKey]) -> frozenset[int]:
        """The sources of which a selected image is not held as they offer it, once these are
        published.
        """
        done = frozenset(published)
        missing = {each.source_id for each in self.stage if each.offer.key not in done}
        return self.refused_of | missing | {each.source_id for each in self.waiting}
