"""What of a region's images a rack is to hold (pure).

A rack holds everything, unless it is restricted to images that one of its words means:

    os[/release[/arch[/subarch[/label]]]]

Each part is a name or a glob, and a part that is left out means any. Bootloaders come along
always, all of them: they are small, and without them nothing boots.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from common.errors import WrongUsage
from common.images import ImageKey

_WORD = re.compile(r"[A-Za-z0-9._~+*?\[\]!-]+(/[A-Za-z0-9._~+*?\[\]!-]+){0,4}")
_GLOB = frozenset("*?[")
_MOST_WORDS = 100
_SHOWN = 80


def checked(words: Sequence[str]) -> tuple[str, ...]:
    """The words of a restriction, each once.

    Raises:
        WrongUsage: code ``rack-selection``; one of them is none.
    """
    for word in words:
        if not _WORD.fullmatch(word):
            raise WrongUsage(
                "is not of the form os/release/arch/subarch/label",
                object=word[:_SHOWN],
                code="rack-selection",
                remedy="give the first parts of it, for example "
                "selections=ubuntu/jammy/amd64,custom",
            )
    if len(words) > _MOST_WORDS:
        raise WrongUsage(
            f"{len(words)} selections; a rack has at most {_MOST_WORDS}",
            object="selections",
            code="rack-selection",
            remedy="use globs",
        )
    return tuple(dict.fromkeys(words))


def may_hold(words: Sequence[str] | None, key: ImageKey, *, is_bootloader: bool) -> bool:
    """Whether a rack with this restriction (None: without one) is to hold an image."""
    return words is None or is_bootloader or any(_means(word, key) for word in words)


def without_meaning(words: Iterable[str], keys: Sequence[ImageKey]) -> str:
    """Which words mean no image, with the nearest that there is; "" if all mean one."""
    lost = [word for word in words if not any(_means(word, key) for key in keys)]
    return "; ".join(f"{word} means no image now{_nearest(word, keys)}" for word in lost)


def _means(word: str, key: ImageKey) -> bool:
    # The order that people think in is that of MAAS's names: os/release, then arch/subarch.
    names = (key.os, key.release, key.arch, key.subarch, key.label)
    return all(map(_is, names, word.split("/")))


def _is(name: str, part: str) -> bool:
    # Most parts are plain names: 200 racks are compared with 500 images in each generation.
    return name == part or (not _GLOB.isdisjoint(part) and fnmatchcase(name, part))


def _nearest(word: str, keys: Iterable[ImageKey]) -> str:
    depth = word.count("/") + 1
    names = {
        "/".join((key.os, key.release, key.arch, key.subarch, key.label)[:depth]) for key in keys
    }
    near = difflib.get_close_matches(word, sorted(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
