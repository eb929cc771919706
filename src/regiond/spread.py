"""How far each image has spread over the fleet (pure)."""

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from common.images import View


@attrs.frozen
class Spread:
    """Of the racks that are to hold an image, ``wanted``, how many hold it: ``held``."""

    held: int
    wanted: int


def spread_of(racks: Iterable[tuple[str, str]], views: Mapping[str, View]) -> dict[str, Spread]:
    """By ``str(ImageKey)``.

    Args:
        racks: of each, the digests of the view that it holds and of the one that it is to.
        views: by digest; one that is missing names nothing.
    """
    held: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for (held_digest, wanted_digest), count in Counter(racks).items():
        to_hold = views.get(wanted_digest, _NOTHING).images
        holds = views.get(held_digest, _NOTHING).images
        for key, image in to_hold.items():
            wanted[key] += count
            if holds.get(key) == image:
                held[key] += count
    return {key: Spread(held[key], wanted[key]) for key in wanted}


_NOTHING = View(0)
