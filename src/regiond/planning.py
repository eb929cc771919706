"""What an import will do (pure).

Compares what the sources offer and selections want with what the store holds. The plan
is a value that can be shown (``boot-resources plan``) before anything happens.

The rules:

* The newest offered version of every selected image is to be held, with exactly the
  files that the source signed. Blobs are shared by SHA-256 and fetched once.
* An image goes only when no selection means it any more, and its kept versions with it.
  One that is selected and vanished upstream stays with all of them; a source that could not
  be read, or is disabled, offers nothing and loses nothing.
* A selection that matches nothing of its source never empties that source: the plan is
  then *guarded* and says why.
* When ``latest-lts`` moves on, the old release stays until the new one is complete, and held
  by all racks.
* A release that ``supported`` means no longer goes, and the plan says why.
* A pinned image is left as it is: nothing newer is fetched for it, and it goes only when it
  is unpinned, even if no selection means it any more.
* An upload stays as it is: of what a source calls the same it is as if it had more priority.
* After the plan has been carried out the next plan is empty.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum

import attrs

from common.images import ImageKey
from regiond.sources.catalogue import Offer, WantedFile
from regiond.sources.matching import (
    SelectedOffer,
    SourceOffers,
    could_mean,
    select_from_sources,
)
from regiond.sources.releases import LATEST_LTS, SUPPORTED
from regiond.sources.simplestreams import Skipped


class HeldState(StrEnum):
    """How far a held image is: being fetched, visible to racks, or an older version kept."""

    IMPORTING = "importing"
    PUBLISHED = "published"
    KEPT = "kept"


@attrs.frozen
class HeldImage:
    """An image in the store. ``files`` are (name, SHA-256); uploads have no source.

    ``pinned``: an admin wants this version to stay published. ``waits``: only canaries hold it.
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


@attrs.frozen
class HeldBlob:
    """A blob in the store: complete, or the first ``held_bytes`` of it."""

    sha256: str
    size_bytes: int
    held_bytes: int
    complete: bool


@attrs.frozen
class Holdings:
    """Everything the store holds, as far as a plan needs to know it."""

    images: tuple[HeldImage, ...] = ()
    blobs: Mapping[str, HeldBlob] = attrs.field(factory=dict)


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


@attrs.frozen
class BlobFetch:
    """A blob to fetch: from any of these (source, path), preferred first.

    ``sha512`` is empty unless a source promises one.
    """

    sha256: str
    size_bytes: int
    held_bytes: int
    upstream: tuple[tuple[int, str], ...]
    sha512: str = ""

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
        self, sources: Collection[int], brings: Callable[[PlannedImage], bool]
    ) -> "ImportPlan":
        """The same plan, less the images that are not brought, from these sources alone."""
        stage = tuple(image for image in self.stage if brings(image))
        missing = {sha256 for image in stage for sha256 in image.missing}
        fetch = []
        for blob in self.fetch:
            upstream = tuple(place for place in blob.upstream if place[0] in sources)
            if blob.sha256 in missing:
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
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.stage or self.retire)

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


def plan_import(sources: Sequence[SourceOffers], holdings: Holdings) -> ImportPlan:
    """The plan for these sources, with the newest offers of each.

    Args:
        sources: every source; one that is disabled or could not be read is without offers.
            The images of a source that is not among them are retired.
        holdings: what the store holds now.
    """
    uploads = {image.key for image in holdings.images if image.source_id is None}
    selected = tuple(each for each in select_from_sources(sources) if each.offer.key not in uploads)
    wanted, refused = _without_contradictions(selected, holdings.blobs)
    kept = {each.offer.key for each in wanted}
    pinned = {image.key: image for image in holdings.images if image.pinned}
    published = {
        (image.key, image.version, image.files)
        for image in holdings.images
        if image.state is HeldState.PUBLISHED
    }
    stage = tuple(
        PlannedImage(
            chosen.source_id,
            chosen.offer,
            tuple(
                sorted(
                    {
                        file.sha256
                        for file in chosen.offer.files
                        if not _is_complete(file, holdings.blobs)
                    }
                )
            ),
        )
        for chosen in wanted
        if (chosen.offer.key, chosen.offer.version, _names(chosen.offer)) not in published
        and chosen.offer.key not in pinned
    )
    retire, guarded = _retirements(sources, selected, stage, holdings.images)
    return ImportPlan(
        stage=stage,
        fetch=_fetches(stage, wanted, holdings.blobs),
        retire=retire,
        refused=refused,
        refused_of=frozenset(each.source_id for each in selected if each.offer.key not in kept),
        vanished=_vanished(sources, holdings.images),
        waiting=tuple(
            Waiting(pinned[each.offer.key], each.source_id, each.offer)
            for each in wanted
            if each.offer.key in pinned and not _is_current(pinned[each.offer.key], each.offer)
        ),
        unwanted=_unwanted(sources, selected, pinned.values()),
        guarded=bool(guarded),
        reason=_guard_reason(guarded),
    )


def _names(offer: Offer) -> frozenset[tuple[str, str]]:
    return frozenset((file.name, file.sha256) for file in offer.files)


def _is_complete(file: WantedFile, blobs: Mapping[str, HeldBlob]) -> bool:
    held = blobs.get(file.sha256)
    return held is not None and held.complete


def _without_contradictions(
    chosen: tuple[SelectedOffer, ...], blobs: Mapping[str, HeldBlob]
) -> tuple[tuple[SelectedOffer, ...], tuple[Skipped, ...]]:
    """Leave out an image that gives a blob another size than what is known of it."""
    sizes = {sha256: blob.size_bytes for sha256, blob in blobs.items() if blob.complete}
    kept: list[SelectedOffer] = []
    refused: list[Skipped] = []
    for selected in chosen:
        offer = selected.offer
        wrong = [
            file
            for file in offer.files
            if sizes.get(file.sha256, file.size_bytes) != file.size_bytes
        ]
        if wrong:
            known = sizes[wrong[0].sha256]
            reason = f"says {wrong[0].size_bytes} bytes for a sha256 that has {known} bytes"
            refused.append(Skipped(offer.product, offer.version, wrong[0].name, reason))
            continue
        sizes |= {file.sha256: file.size_bytes for file in offer.files}
        kept.append(selected)
    return tuple(kept), tuple(refused)


def _fetches(
    stage: tuple[PlannedImage, ...],
    wanted: tuple[SelectedOffer, ...],
    blobs: Mapping[str, HeldBlob],
) -> tuple[BlobFetch, ...]:
    missing = {sha256 for image in stage for sha256 in image.missing}
    places: dict[str, dict[tuple[int, str], None]] = {}
    files: dict[str, WantedFile] = {}
    for image in stage:
        for file in image.offer.files:
            if file.sha256 in missing:
                files.setdefault(file.sha256, file)
                places.setdefault(file.sha256, {})[image.source_id, file.upstream_path] = None
    for selected in wanted:
        for file in selected.offer.files:
            if file.sha256 in missing:
                places[file.sha256][selected.source_id, file.upstream_path] = None
    return tuple(
        BlobFetch(
            sha256,
            file.size_bytes,
            _held_bytes(blobs.get(sha256), file.size_bytes),
            tuple(places[sha256]),
            file.sha512,
        )
        for sha256, file in files.items()
    )


def _held_bytes(held: HeldBlob | None, size_bytes: int) -> int:
    """A partial of another size than the signed one is worth nothing."""
    return held.held_bytes if held is not None and held.size_bytes == size_bytes else 0


def _retirements(
    sources: Sequence[SourceOffers],
    selected: tuple[SelectedOffer, ...],
    stage: tuple[PlannedImage, ...],
    images: tuple[HeldImage, ...],
) -> tuple[tuple[Retirement, ...], tuple[SourceOffers, ...]]:
    """What goes, and the sources for which something was kept by the guard."""
    by_id = {source.source_id: source for source in sources}
    chosen = {wanted.offer.key: wanted.offer for wanted in selected}
    pinned = {image.key for image in images if image.pinned}
    retire: list[Retirement] = []
    guarded: dict[int, SourceOffers] = {}
    for image in images:
        if image.source_id is None or image.pinned:
            continue
        if image.state is HeldState.IMPORTING and image.key in pinned:
            retire.append(Retirement(image.id, image.key, image.version))
            continue
        if _is_current(image, chosen.get(image.key)):
            continue
        source = by_id.get(image.source_id)
        if source and _has_vanished(image, source) and _is_worth_keeping(image, source):
            continue
        if image.state is not HeldState.IMPORTING:
            if image.key in chosen:
                continue  # whether it is one too many is the store's to say (``versions``)
            if source and _matches_nothing(source):
                guarded[source.source_id] = source
                continue
        after = _successors(image, source, stage, images)
        ended = None if image.key in chosen else _support_ended(image, source)
        retire.append(Retirement(image.id, image.key, image.version, after, ended))
    return tuple(retire), tuple(guarded.values())


def _is_current(image: HeldImage, offer: Offer | None) -> bool:
    return offer is not None and offer.version == image.version and _names(offer) == image.files


def _unwanted(
    sources: Sequence[SourceOffers],
    selected: tuple[SelectedOffer, ...],
    pinned: Iterable[HeldImage],
) -> tuple[HeldImage, ...]:
    """The pinned images that no selection means, or whose source is gone."""
    by_id = {source.source_id: source for source in sources}
    chosen = {wanted.offer.key for wanted in selected}
    return tuple(
        image
        for image in pinned
        if image.source_id is not None
        and image.key not in chosen
        and not (image.source_id in by_id and _has_vanished(image, by_id[image.source_id]))
    )


def _vanished(
    sources: Sequence[SourceOffers], images: Iterable[HeldImage]
) -> tuple[HeldImage, ...]:
    """The published images that are wanted and no longer offered by the source they are of."""
    by_id = {source.source_id: source for source in sources}
    return tuple(
        image
        for image in images
        if image.state is HeldState.PUBLISHED
        and image.source_id in by_id
        and _has_vanished(image, by_id[image.source_id])
    )


def _has_vanished(image: HeldImage, source: SourceOffers) -> bool:
    """Whether it is still selected, and only upstream no longer has it."""
    offered = any(offer.key == image.key for offer in source.offers)
    return not offered and any(
        could_mean(selection, image, source.releases) for selection in source.selections
    )


def _is_worth_keeping(image: HeldImage, source: SourceOffers) -> bool:
    """Not an image that is half fetched, and of which nothing can come any more."""
    return image.state is not HeldState.IMPORTING or not source.offers


def _matches_nothing(source: SourceOffers) -> bool:
    """Whether there are selections and none of them (bootloaders aside) finds anything."""
    return bool(source.selections) and all(offer.bootloader_type for offer in source.selected)


def _successors(
    image: HeldImage,
    source: SourceOffers | None,
    stage: tuple[PlannedImage, ...],
    images: tuple[HeldImage, ...],
) -> frozenset[ImageKey]:
    """The staged images that a release leaves for when ``latest-lts`` moves on.

    And those that are published, but not yet for all racks.
    """
    if source is None or image.state is HeldState.IMPORTING:
        return frozenset()
    if not _was_meant_by(LATEST_LTS, image, source):
        return frozenset()
    successors: list[Offer | HeldImage] = [planned.offer for planned in stage]
    successors += [each for each in images if each.waits and each.key != image.key]
    return frozenset(
        each.key
        for each in successors
        if each.bootloader_type is None
        and each.key.os == image.key.os
        and each.key.arch == image.key.arch
    )


def _was_meant_by(word: str, image: HeldImage, source: SourceOffers) -> bool:
    """Whether a selection with that word for a release meant this image, or could have."""
    return any(
        selection.release == word
        and could_mean(attrs.evolve(selection, release="*"), image, source.releases)
        for selection in source.selections
    )


def _support_ended(image: HeldImage, source: SourceOffers | None) -> date | None:
    """The last day of support of a release that ``supported`` means no longer."""
    if source is None or not _was_meant_by(SUPPORTED, image, source):
        return None
    place = image.key.os, image.key.release
    return None if source.releases.is_supported(*place) else source.releases.ends[place]


def _guard_reason(guarded: tuple[SourceOffers, ...]) -> str:
    if not guarded:
        return ""
    names = ", ".join(f"boot-source {source.source_id}" for source in guarded)
    return f"{names}: nothing offered matches the selections; what is held stays"
