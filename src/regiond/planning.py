"""What an import will do (pure).

Compares what the sources offer and selections want with what the store holds.

The rules:

* The newest offered version of every selected image is to be held, with exactly the
  files that the source signed. Blobs are shared by SHA-256 and fetched once.
* What is held and wanted no longer goes by the rules of ``retiring``.
* A pinned image is left as it is: nothing newer is fetched for it.
* An upload stays as it is: of what a source calls the same it is as if it had more priority.
* An image that is held as it is offered, but came from another source or another path, is
  published anew, and nothing is fetched: mirrors, and what happens when its source goes, go
  by where it is from.
* What went bad of an image that is published or kept is fetched again, and nothing else of it.
* After the plan has been carried out the next plan is empty.
"""

from collections.abc import Mapping, Sequence

import attrs

from regiond.import_plan import (
    BlobFetch,
    HeldBlob,
    HeldState,
    Holdings,
    ImportPlan,
    Place,
    PlannedImage,
    Waiting,
    names_of,
)
from regiond.retiring import retirements, unwanted, vanished
from regiond.sources.catalogue import WantedFile
from regiond.sources.matching import SelectedOffer, SourceOffers, select_from_sources
from regiond.sources.simplestreams import Skipped


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
    to_come = {each.offer.key for each in wanted}
    pinned = {image.key: image for image in holdings.images if image.pinned}
    published = {
        (image.key, image.version, image.files, image.source_id, image.upstream_paths)
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
        if _as_published(chosen) not in published and chosen.offer.key not in pinned
    )
    retire, guarded = retirements(sources, selected, to_come, stage, holdings.images)
    return ImportPlan(
        stage=stage,
        fetch=_with_repairs(_fetches(stage, wanted, holdings.blobs), sources, holdings),
        retire=retire,
        refused=refused,
        refused_of=frozenset(each.source_id for each in selected if each.offer.key not in to_come),
        vanished=vanished(sources, holdings.images),
        waiting=tuple(
            Waiting(pinned[each.offer.key], each.source_id, each.offer)
            for each in wanted
            if each.offer.key in pinned and not pinned[each.offer.key].is_as_offered(each.offer)
        ),
        unwanted=unwanted(sources, selected, pinned.values()),
        guarded=bool(guarded),
        reason=f"{'; '.join(guarded)}; what is held stays" if guarded else "",
    )


def _as_published(chosen: SelectedOffer) -> tuple[object, ...]:
    """What a published image is like if it is held as it is offered."""
    offer = chosen.offer
    paths = frozenset(file.upstream_path for file in offer.files)
    return offer.key, offer.version, names_of(offer), chosen.source_id, paths


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
    places: dict[str, dict[Place, None]] = {}
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


def _with_repairs(
    fetches: tuple[BlobFetch, ...], sources: Sequence[SourceOffers], holdings: Holdings
) -> tuple[BlobFetch, ...]:
    """And what went bad of held images, from where they came, if that can be read."""
    readable = {source.source_id for source in sources if source.offers}
    known = {blob.sha256: blob for blob in fetches}
    for lost in holdings.lost:
        if lost.source_id not in readable or lost.upstream_path is None:
            continue
        held_bytes = _held_bytes(holdings.blobs.get(lost.sha256), lost.size_bytes)
        blob = known.get(lost.sha256) or BlobFetch(lost.sha256, lost.size_bytes, held_bytes, ())
        places = dict.fromkeys((*blob.upstream, (lost.source_id, lost.upstream_path)))
        known[lost.sha256] = attrs.evolve(
            blob, upstream=tuple(places), repairs=(*blob.repairs, lost)
        )
    return tuple(known.values())


def _held_bytes(held: HeldBlob | None, size_bytes: int) -> int:
    """A partial of another size than the signed one is worth nothing."""
    return held.held_bytes if held is not None and held.size_bytes == size_bytes else 0
