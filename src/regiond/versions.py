"""Which versions of an image stay (pure).

Of every image the published version stays, and the newest of the others, as many together
as the setting says. A version is complete or does not count: one that is being imported
neither takes the place of an older one nor is it ever surplus.
"""

from collections.abc import Iterable

import attrs

_COMPLETE = ("published", "kept")


@attrs.frozen
class HeldVersion:
    """One version of an image; ``state`` as in the store: importing, published, kept.

    One that ``is_needed`` is kept for some racks only, and they hold it, or are about to.
    """

    id: int
    version: str
    state: str
    is_needed: bool = False


def previous(held: Iterable[HeldVersion], published: HeldVersion) -> HeldVersion | None:
    """The kept version to go back to from the published one: the newest that is older."""
    older = [each for each in held if each.state == "kept" and _age(each) < _age(published)]
    return max(older, key=_age, default=None)


def _age(held: HeldVersion) -> tuple[str, int]:
    # The newest is the last in byte order, as for every client of these streams. The same
    # version with other files (upstream corrected it) counts once: the later one.
    return held.version, held.id


def surplus(held: Iterable[HeldVersion], most: int) -> frozenset[int]:
    """The ids of those that go, of the versions of one image.

    Args:
        held: all of them.
        most: how many stay; the published one always does, and what is needed.
    """
    complete = [each for each in held if each.state in _COMPLETE]
    newest = sorted(
        complete,
        key=lambda each: (each.state == "published", each.is_needed, *_age(each)),
        reverse=True,
    )
    stay: dict[str, int] = {}
    needed = {each.id for each in complete if each.is_needed}
    for each in newest:
        if len(stay) < max(most, 1):
            stay.setdefault(each.version, each.id)
    return frozenset(each.id for each in complete) - needed - frozenset(stay.values())
