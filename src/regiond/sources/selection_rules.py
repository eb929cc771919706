"""Which selections can be taken (pure): their grammar, and whether a catalogue has them.

Every name that is asked for has to exist, as in MAAS, and a glob has to match at least one.
The first word that leads nowhere is named, with the nearest that leads somewhere.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from datetime import date
from fnmatch import fnmatchcase
from typing import NamedTuple

import attrs

from common.errors import WrongUsage
from common.images import Selection
from regiond.sources.catalogue import Offer
from regiond.sources.matching import select
from regiond.sources.releases import LATEST_LTS, SUPPORTED, SYMBOLIC, Releases

MAX_NAME_LENGTH = 255

_CLASS = re.compile(r"\[!?[A-Za-z0-9._~+-]+\]")
_ODD = re.compile(r"[^A-Za-z0-9._~+*?-]")
_ODD_REASONS = {
    "[": "has a '[' without its ']'",
    "]": "has a ']' without its '['",
    "!": "has a '!', which is only for [!abc]",
}
_MOST_SHOWN = 8
_REMEDY = "a name is made of letters, digits and . _ ~ + -, a glob also of * ? [abc] [!abc]"


class _Name(NamedTuple):
    """One name that an offered image answers to."""

    os: str
    release: str
    arch: str
    subarch: str
    label: str
    kflavor: str
    version: str


def well_formed(wanted: Selection, source: str) -> Selection:
    """The selection, with words that were said twice said once.

    Args:
        wanted: as it was typed.
        source: for messages.

    Raises:
        WrongUsage: code ``selection-malformed``; a word in it can never mean an image.
    """
    fields = {
        "os": (wanted.os,),
        "release": (wanted.release,),
        "arches": wanted.arches,
        "subarches": wanted.subarches,
        "labels": wanted.labels,
    }
    for field, words in fields.items():
        for word in words:
            reason = _malformed(word)
            if reason:
                raise WrongUsage(
                    f"{field}: {reason}",
                    object=source,
                    code="selection-malformed",
                    remedy=_REMEDY,
                )
    return attrs.evolve(
        wanted,
        arches=_once(wanted.arches),
        subarches=_once(wanted.subarches),
        labels=_once(wanted.labels),
    )


def _malformed(word: str) -> str:
    """Why a word is neither a name nor a glob; "" if it is."""
    if not word:
        return "a word is empty"
    odd = _ODD.search(_CLASS.sub("", word))
    if len(word) > MAX_NAME_LENGTH:
        reason = f"is longer than {MAX_NAME_LENGTH} characters"
    elif odd is not None:
        reason = _ODD_REASONS.get(odd[0], f"has {odd[0]!a}, which no name has")
    elif set(word) == {"."} or word.startswith("-"):
        reason = "can be no name"
    else:
        return ""
    return f"{_shown(word)} {reason}"


def _once(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _shown(text: str) -> str:
    """A word for a message: quoted, on one line, not long."""
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:60]}..."


class _Unmatched(Exception):
    """A word leads nowhere; the text says which, and where the nearest one leads."""


def explain_unmatched(selection: Selection, offers: Sequence[Offer], today: date) -> str | None:
    """Why a selection does not fit what is offered, with the nearest value; None if it does.

    Narrows down field by field; what leads nowhere is named, also beside words that do match.
    """
    names = [name for offer in offers for name in _names_of(offer)]
    if not names:
        return "the source offers no images"
    try:
        left = _of_release(selection, names, Releases.of(offers, today))
        left = _narrowed("arch", selection.arches, left, names)
        left = _narrowed("subarch", selection.subarches, left, names)
        _narrowed("label", selection.labels, left, names)
    except _Unmatched as why:
        return str(why)
    if select((selection,), [offer for offer in offers if offer.bootloader_type is None], today):
        return None
    return "no single image has all of these names"


def _of_release(selection: Selection, names: list[_Name], releases: Releases) -> list[_Name]:
    of_os = [name for name in names if fnmatchcase(name.os, selection.os)]
    if not of_os:
        raise _Unmatched(_no_such("os", selection.os, (name.os for name in names)))
    left = [name for name in of_os if releases.means(selection, name.os, name.release)]
    if not left:
        raise _Unmatched(_no_release(selection, of_os))
    return left


def _narrowed(
    field: str, words: tuple[str, ...], left: list[_Name], names: list[_Name]
) -> list[_Name]:
    """Those of what is left that have one of the words; each word has to have one."""
    values = {str(getattr(name, field)) for name in left}
    if not words:
        raise _Unmatched(f"the list of {field} names is empty, which means nothing")
    for word in words:
        if not any(fnmatchcase(value, word) for value in values):
            raise _Unmatched(_elsewhere(field, word, left, names) or _no_such(field, word, values))
    wanted = {value for value in values if any(fnmatchcase(value, word) for word in words)}
    return [name for name in left if getattr(name, field) in wanted]


def _names_of(offer: Offer) -> Iterable[_Name]:
    if offer.bootloader_type is not None:
        return
    key = offer.key
    for subarch in sorted({offer.own_subarch, key.subarch, *offer.subarches}):
        flavour = offer.kflavor or "generic"
        yield _Name(key.os, key.release, key.arch, subarch, key.label, flavour, offer.os_version)


def _no_release(selection: Selection, offered: list[_Name]) -> str:
    if selection.release == SUPPORTED:
        return f"the support of every release of {selection.os} has ended"
    by_version = sorted({name.release for name in offered if name.version == selection.release})
    if by_version:
        return f"no release {selection.release!r}; did you mean {by_version[0]!r}?"
    names = {name.release for name in offered}
    if selection.release == LATEST_LTS:
        return f"no release of {selection.os} is an LTS; offered: {_list(names)}"
    return _no_such("release", selection.release, names, SYMBOLIC)


def _elsewhere(field: str, word: str, left: list[_Name], names: list[_Name]) -> str:
    """For which releases there is such a name, or what kernels a flavour has; else ""."""
    others = {f"{name.os}/{name.release}" for name in names if getattr(name, field) == word}
    if others:
        return f"no {field} {word!r} there; it is offered for {_list(others)}"
    flavoured = {name.subarch for name in left if name.kflavor == word and word in name.subarch}
    if field == "subarch" and flavoured:
        return f"no subarch {word!r}: that is a flavour; its kernels: {_list(flavoured)}"
    return ""


def _no_such(field: str, word: str, offered: Iterable[str], meant: Iterable[str] = ()) -> str:
    """Nothing offered has that name; ``meant`` could also have been meant."""
    names = set(offered)
    near = _nearest(word, sorted(names.union(meant)))
    if near:
        return f"no {field} {word!r}; did you mean {near!r}?"
    return f"no {field} {word!r}; offered: {_list(names)}"


def _nearest(word: str, known: Sequence[str]) -> str:
    for name in known:
        if name.lower() == word.lower():
            return name
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return matches[0] if matches else ""


def _list(names: Iterable[str]) -> str:
    shown = sorted(set(names))
    return ", ".join(shown[:_MOST_SHOWN]) + (", ..." if len(shown) > _MOST_SHOWN else "")
