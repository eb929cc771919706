"""Which held images an import lets go, and which it keeps although they are offered no more (pure).

* An image goes only when no selection means it any more, and its kept versions with it.
  One that is selected and vanished upstream stays with all of them; a source that could not
  be read, or is disabled, offers nothing and loses nothing.
* A selection that matches nothing of its source never empties that source: the plan is
  then *guarded* and says why.
* When ``latest-lts`` moves on, the old release stays until the new one is complete, and held
  by all racks. On an architecture for which the new one cannot be had it stays: guarded, too.
* A release that ``supported`` means no longer goes, and the plan says why; if no release is
  supported any more, all stay.
* A pinned image goes only when it is unpinned, even if no selection means it any more.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date

import attrs

from common.images import ImageKey
from regiond.import_plan import HeldImage, HeldState, PlannedImage, Retirement
from regiond.sources.catalogue import Offer
from regiond.sources.matching import SelectedOffer, SourceOffers, could_mean
from regiond.sources.releases import LATEST_LTS, SUPPORTED


def retirements(
    sources: Sequence[SourceOffers],
    selected: tuple[SelectedOffer, ...],
    to_come: Collection[ImageKey],
    stage: tuple[PlannedImage, ...],
    images: tuple[HeldImage, ...],
) -> tuple[tuple[Retirement, ...], tuple[str, ...]]:
    """What goes, and for what reasons the guard keeps something.

    Args:
        sources: as for the plan.
        selected: what is wanted of them.
        to_come: those of it that are held or staged, and not refused.
        stage: what is staged.
        images: what is held.
    """
    by_id = {source.source_id: source for source in sources}
    chosen = {wanted.offer.key: wanted.offer for wanted in selected}
    pinned = {image.key for image in images if image.pinned}
    retire: list[Retirement] = []
    guarded: dict[str, None] = {}
    for image in images:
        if image.source_id is None or image.pinned:
            continue
        if image.state is HeldState.IMPORTING and image.key in pinned:
            retire.append(Retirement(image.id, image.key, image.version))
            continue
        if image.is_as_offered(chosen.get(image.key)):
            continue
        source = by_id.get(image.source_id)
        if source and _has_vanished(image, source) and _is_worth_keeping(image, source):
            continue
        if image.state is not HeldState.IMPORTING:
            if image.key in chosen:
                continue  # whether it is one too many is the store's to say (``versions``)
            reason = _guard(image, source, to_come) if source else ""
            if reason:
                guarded[reason] = None
                continue
        after = _successors(image, source, stage, images)
        ended = None if image.key in chosen else _support_ended(image, source)
        retire.append(Retirement(image.id, image.key, image.version, after, ended))
    return tuple(retire), tuple(guarded)


def unwanted(
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


def vanished(sources: Sequence[SourceOffers], images: Iterable[HeldImage]) -> tuple[HeldImage, ...]:
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
    if any(offer.key == image.key for offer in source.offers):
        return False
    if any(could_mean(selection, image, source.releases) for selection in source.selections):
        return True
    # A newer LTS than any that is offered was not superseded: its products are missing, or faulty.
    is_newer = source.releases.lacks_lts(image.key.os, image.key.release, image.lts)
    return is_newer and _was_meant_by(LATEST_LTS, image, source)


def _is_worth_keeping(image: HeldImage, source: SourceOffers) -> bool:
    """Not an image that is half fetched, and of which nothing can come any more."""
    return image.state is not HeldState.IMPORTING or not source.offers


def _guard(image: HeldImage, source: SourceOffers, to_come: Collection[ImageKey]) -> str:
    """Why an image stays that no selection of its source means any more; "" if it may go."""
    name, key = f"boot-source {source.source_id}", image.key
    if source.selections and all(offer.bootloader_type for offer in source.selected):
        return f"{name}: nothing offered matches the selections"
    if image.bootloader_type is not None:
        return ""
    latest = source.releases.latest_lts.get(key.os)
    if _was_meant_by(LATEST_LTS, image, source) and not any(
        (each.os, each.release, each.arch) == (key.os, latest, key.arch) for each in to_come
    ):
        found = f"{key.os}/{latest}" if latest else "no release"
        return f"{name}: {LATEST_LTS} is {found}, which cannot be had for {key.arch}"
    if _was_meant_by(SUPPORTED, image, source) and not any(
        os == key.os and source.releases.is_supported(os, release)
        for os, release in source.releases.ends
    ):
        return f"{name}: the support of every release of {key.os} has ended"
    return ""


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
