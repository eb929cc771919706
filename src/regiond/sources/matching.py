"""Which offered images a selection means (pure).

MAAS's rules, with globs in place of its single ``*``:

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

import difflib
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple, Protocol

import attrs

from common.images import ImageKey, Selection
from regiond.sources.catalogue import Offer

LATEST_LTS = "latest-lts"


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
    """A source with what is wanted of it and the newest of each product it offers."""

    source_id: int
    priority: int
    selections: tuple[Selection, ...]
    offers: tuple[Offer, ...]


@attrs.frozen
class SelectedOffer:
    """An offered image that is wanted, and the source that is to give it."""

    source_id: int
    offer: Offer


class _Spec(NamedTuple):
    """One name that a kernel answers to; thousands of these are hashed."""

    os: str
    arch: str
    subarch: str
    kflavor: str
    release: str
    label: str


def select(selections: Sequence[Selection], offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """The offers that the selections want, in the order of ``offers``."""
    wanted = tuple(resolved(selection, offers) for selection in selections)
    chosen = {
        (offer.content_id, offer.product, offer.version)
        for spec, offer in _specs(offers).items()
        if any(_passes(selection, spec) for selection in wanted)
    }
    return tuple(
        offer
        for offer in offers
        if (offer.content_id, offer.product, offer.version) in chosen
        or (offer.bootloader_type is not None and selections)
    )


def select_from_sources(sources: Iterable[SourceOffers]) -> tuple[SelectedOffer, ...]:
    """The wanted offers of all sources: one per image, from the highest priority.

    Of two sources with the same priority the older one (with the lower id) wins.
    """
    chosen: dict[ImageKey, SelectedOffer] = {}
    for source in sorted(sources, key=lambda source: (-source.priority, source.source_id)):
        for offer in select(source.selections, source.offers):
            chosen.setdefault(offer.key, SelectedOffer(source.source_id, offer))
    return tuple(chosen[key] for key in sorted(chosen, key=str))


def _specs(offers: Sequence[Offer]) -> dict[_Spec, Offer]:
    """Every name that a kernel answers to, and the product that answers."""
    specs: dict[_Spec, Offer] = {}
    own: set[_Spec] = set()
    for offer in offers:
        if offer.bootloader_type is not None:
            continue
        for name in offer.subarches:
            specs.setdefault(_spec(offer, name), offer)
    for offer in offers:
        if offer.bootloader_type is not None:
            continue
        # The folded name too: it is what listings show.
        for name in {offer.own_subarch, offer.key.subarch}:
            spec = _spec(offer, name)
            if spec not in own or name == offer.own_subarch:
                specs[spec] = offer
                own.add(spec)
    for offer in offers:
        if _is_generic_kernel(offer):
            specs[_spec(offer, "generic")] = offer
    return specs


def _spec(offer: Offer, subarch: str) -> _Spec:
    key = offer.key
    return _Spec(key.os, key.arch, subarch, offer.kflavor or "generic", key.release, key.label)


def _is_generic_kernel(offer: Offer) -> bool:
    """MAAS's rule: the GA kernel of an Ubuntu release is its ``generic``."""
    ga_names = {f"ga-{offer.os_version}", f"hwe-{offer.key.release[0]}"}
    return (
        offer.key.os == "ubuntu"
        and bool(offer.os_version)
        and offer.own_subarch in ga_names
        and "generic" in offer.subarches
    )


def _passes(selection: Selection, spec: _Spec) -> bool:
    return (
        _any(spec.os, (selection.os,))
        and _any(spec.release, (selection.release,))
        and _any(spec.arch, selection.arches)
        and _any(spec.subarch, selection.subarches)
        and _any(spec.label, selection.labels)
    )


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return "*" in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def resolved(selection: Selection, offers: Sequence[Offer]) -> Selection:
    """The selection with ``latest-lts`` as the release it means now.

    The newest LTS is the one with the highest version, then the latest end of support,
    among the releases of that os whose title ends in LTS. Unresolvable, it stays as it is
    and matches nothing.
    """
    if selection.release != LATEST_LTS:
        return selection
    supported = [
        offer
        for offer in offers
        if fnmatchcase(offer.key.os, selection.os) and "LTS" in offer.release_title.split()
    ]
    if not supported:
        return selection
    newest = max(supported, key=_age)
    return attrs.evolve(selection, release=newest.key.release)


def _age(offer: Offer) -> tuple[tuple[int, ...], str, str]:
    title_version = offer.os_version or offer.release_title
    numbers = tuple(int(number) for number in re.findall(r"\d+", title_version))
    return numbers, offer.support_eol, offer.key.release


def could_mean(selection: Selection, image: Named) -> bool:
    """Whether a selection means an image that is held, whatever is offered now.

    For an image that vanished upstream: then no other product can say which names are
    its own, so every name in its ``subarches`` counts. ``latest-lts`` means any release
    here; what it means now is only known from offers.
    """
    if image.bootloader_type is not None:
        return True
    key = image.key
    release_passes = selection.release == LATEST_LTS or fnmatchcase(key.release, selection.release)
    return (
        release_passes
        and fnmatchcase(key.os, selection.os)
        and _any(key.arch, selection.arches)
        and _any(key.label, selection.labels)
        and any(_any(name, selection.subarches) for name in (key.subarch, *image.subarches))
    )


def explain_unmatched(selection: Selection, offers: Sequence[Offer]) -> str | None:
    """Why a selection matches nothing, with the nearest value; None if it matches.

    Narrows down field by field, so that the first word that leads nowhere is named.
    """
    if select((selection,), [offer for offer in offers if offer.bootloader_type is None]):
        return None
    wanted = resolved(selection, offers)
    left = [spec for offer in offers for spec in _names_of(offer)]
    if not left:
        return "the source offers no images"
    fields = (
        ("os", (wanted.os,)),
        ("release", (wanted.release,)),
        ("arch", wanted.arches),
        ("subarch", wanted.subarches),
        ("label", wanted.labels),
    )
    for field, patterns in fields:
        offered = sorted({str(getattr(spec, field)) for spec in left})
        left = [spec for spec in left if _any(getattr(spec, field), patterns)]
        if not left:
            return _no_such(field, patterns, offered)
    return "no single image has all of these names"


def _names_of(offer: Offer) -> list[_Spec]:
    if offer.bootloader_type is not None:
        return []
    names = {offer.own_subarch, offer.key.subarch, *offer.subarches}
    return [_spec(offer, name) for name in sorted(names)]


def _no_such(field: str, patterns: tuple[str, ...], offered: list[str]) -> str:
    asked = ",".join(patterns) or "(nothing)"
    near = [
        match
        for pattern in patterns
        for match in difflib.get_close_matches(pattern, offered, n=1, cutoff=0.5)
    ]
    if near:
        return f"no {field} {asked!r}; did you mean {near[0]!r}?"
    shown = ", ".join(offered[:8]) + (", ..." if len(offered) > 8 else "")
    return f"no {field} {asked!r}; offered: {shown}"
