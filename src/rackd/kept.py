"""Older versions that a rack has at hand and shows nowhere (pure).

They make going back a flip that moves no bytes. They come after all that is selected, they
are the first to go when a disk is short, and the oldest of them goes first.
"""

from collections.abc import Collection, Iterable

from common.images import File, Image
from rackd.planning import Holdings


def blobs_of(kept: Iterable[Image]) -> frozenset[str]:
    """All that they need."""
    return frozenset(file.sha256 for image in kept for file in image.files)


def staying(
    kept: Iterable[Image], needed: Collection[str], holdings: Holdings, missing_bytes: int
) -> tuple[Image, ...]:
    """Those that stay when so many bytes are needed for what is selected.

    Whole images go, until their bytes are enough; what else names a blob keeps it.

    Args:
        kept: all of them.
        needed: the blobs of what is selected.
        holdings: what is on the disk.
        missing_bytes: how much does not fit.
    """
    newest_last = sorted(kept, key=lambda image: (image.version, image.key))
    named = frozenset(needed).union(*(each.blobs for each in holdings.snapshots))
    while newest_last and missing_bytes > 0:
        gone = newest_last.pop(0)
        freed = blobs_of([gone]) - named - blobs_of(newest_last)
        missing_bytes -= sum(
            holdings.cache.get(each, 0) + holdings.partials.get(each, 0) for each in freed
        )
    return tuple(newest_last)


def missing(image: Image, holdings: Holdings) -> dict[str, File]:
    """The files of an image that are not on the disk, each once, by SHA-256."""
    return {
        file.sha256: file
        for file in image.files
        if holdings.cache.get(file.sha256) != file.size_bytes
    }


def to_fetch(kept: Iterable[Image], holdings: Holdings) -> tuple[File, ...]:
    """What to fetch of them: of the newest first, and only of those that fit as a whole."""
    found: dict[str, File] = {}
    room_bytes = holdings.free_bytes
    for image in sorted(kept, key=lambda image: (image.version, image.key), reverse=True):
        more = {
            sha256: file for sha256, file in missing(image, holdings).items() if sha256 not in found
        }
        need_bytes = sum(
            max(0, file.size_bytes - holdings.partials.get(sha256, 0))
            for sha256, file in more.items()
        )
        if need_bytes <= room_bytes:
            room_bytes -= need_bytes
            found |= more
    return tuple(found.values())
