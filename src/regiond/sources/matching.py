"""Which offered images a selection means (pure).

MAAS's rules, with globs in place of its single ``*``, and words for releases (``releases``):

* A selection passes an image when os, release, arch, one of the image's kernel names and
  label all pass. The flavour is never asked for.
* A product answers to every name in its ``subarches``, but a product that has a name as
  its own takes that name from the others (per flavour).
* ``generic`` is Ubuntu's GA kernel (``ga-22.04``, in older releases ``hwe-<letter>``) and
  never a HWE kernel.
* Bootloaders come along by themselves, all of them, with any selection.
* No selection, or a selection with an empty list, means nothing.
* Of several sources the one with the higher priority gives the image.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple, Protocol

import attrs

from common.images import ImageKey, Selection
from regiond.sources.catalogue import Offer
from regiond.sources.releases import Releases


class Named(Protocol):
    """What matching needs to know of an image, offered or held."""

    @property
    def key(self) -> ImageKey: ...
    @property
    def subarches(self) -> tuple[str, ...]: ...
    @property
    def bootloader_type(self) -> str | None: ...


@attrs.frozen
class SourceOffers:
    """A source with what is wanted of it, and what it offers on the day of ``today``."""

    source_id: int
    priority: int
    selections: tuple[Selection, ...]
    offers: tuple[Offer, ...]
    today: date

    @cached_property
    def releases(self) -> Releases:
        """The releases that it offers."""
        return Releases.of(self.offers, self.today)

    @cached_property
    def selected(self) -> tuple[Offer, ...]:
        """The offers that its selections want."""
        return _select(self.selections, self.offers, self.releases)


@attrs.frozen
class SelectedOffer:
    """An offered image that is wanted, and the source that is to give it."""

    source_id: int
    offer: Offer


class _Kernels(NamedTuple):
    """What kernels have in common of which each name means one."""

    os: str
    arch: str
    kflavor: str
    release: str
    label: str


def select(
    selections: Sequence[Selection], offers: Sequence[Offer], today: date
) -> tuple[Offer, ...]:
    """The offers that the selections want, in the order of ``offers``."""
    return _select(selections, offers, Releases.of(offers, today))


def select_from_sources(sources: Iterable[SourceOffers]) -> tuple[SelectedOffer, ...]:
    """The wanted offers of all sources: one per image, from the highest priority.

    Of two sources with the same priority the older one (with the lower id) wins.
    """
    chosen: dict[ImageKey, SelectedOffer] = {}
    for source in sorted(sources, key=lambda source: (-source.priority, source.source_id)):
        for offer in source.selected:
            chosen.setdefault(offer.key, SelectedOffer(source.source_id, offer))
    return tuple(chosen[key] for key in sorted(chosen, key=str))


def _select(
    selections: Sequence[Selection], offers: Sequence[Offer], releases: Releases
) -> tuple[Offer, ...]:
    groups: dict[_Kernels, list[Offer]] = {}
    for offer in offers:
        if offer.bootloader_type is None:
            groups.setdefault(_kernels(offer), []).append(offer)
    chosen: set[ImageKey] = set()
    for kernels, members in groups.items():
        patterns = {
            pattern
            for selection in selections
            if _passes(selection, kernels, releases)
            for pattern in selection.subarches
        }
        if patterns:
            named = answering(members)
            chosen |= {named[name].key for name in named if _any(name, patterns)}
    return tuple(
        offer
        for offer in offers
        if offer.key in chosen or (offer.bootloader_type is not None and selections)
    )


def answering(kernels: Iterable[Offer]) -> dict[str, Offer]:
    """Every name that these kernels answer to, and which of them does.

    They are of one os, release, arch, flavour and label.
    """
    named: dict[str, Offer] = {}
    for offer in kernels:
        for name in offer.subarches:
            # Every HWE kernel lists it; not even where the GA kernel is missing is it one.
            if name != "generic" or not _is_hwe_kernel(offer):
                named.setdefault(name, offer)
    # The folded name too: it is what listings show. Its own name counts more.
    for offer in kernels:
        named[offer.key.subarch] = offer
    for offer in kernels:
        named[offer.own_subarch] = offer
    for offer in kernels:
        if _is_generic_kernel(offer):
            named["generic"] = offer
    return named


def _kernels(offer: Offer) -> _Kernels:
    key = offer.key
    return _Kernels(key.os, key.arch, offer.kflavor or "generic", key.release, key.label)


def _is_generic_kernel(offer: Offer) -> bool:
    """MAAS's rule: the GA kernel of an Ubuntu release is its ``generic``."""
    return (
        offer.key.os == "ubuntu"
        and bool(offer.os_version)
        and offer.own_subarch in {f"ga-{offer.os_version}", f"hwe-{offer.key.release[0]}"}
        and "generic" in offer.subarches
    )


def _is_hwe_kernel(offer: Offer) -> bool:
    """Of an Ubuntu release whose GA kernel is known by its name."""
    return (
        offer.key.os == "ubuntu"
        and bool(offer.os_version)
        and "hwe-" in offer.own_subarch
        and not _is_generic_kernel(offer)
    )


def _passes(selection: Selection, kernels: _Kernels, releases: Releases) -> bool:
    return (
        _any(kernels.arch, selection.arches)
        and _any(kernels.label, selection.labels)
        and releases.means(selection, kernels.os, kernels.release)
    )


def _any(name: str, patterns: Iterable[str]) -> bool:
    return any(pattern == "*" or fnmatchcase(name, pattern) for pattern in patterns)


def could_mean(selection: Selection, image: Named, releases: Releases) -> bool:
    """Whether a selection means an image that is held, although it is not offered now.

    For an image that vanished upstream: then no other product can say which names are
    its own, so every name in its ``subarches`` counts.

    Args:
        selection: of the image's source.
        image: what is held.
        releases: those that the source offers now.
    """
    if image.bootloader_type is not None:
        return True
    key = image.key
    return (
        releases.means(selection, key.os, key.release)
        and _any(key.arch, selection.arches)
        and _any(key.label, selection.labels)
        and any(_any(name, selection.subarches) for name in (key.subarch, *image.subarches))
    )
