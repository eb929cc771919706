"""How far each image of a sync is (pure)."""

from collections.abc import Iterable, Mapping
from typing import Any

from common.images import Image

MOST_TOLD = 40
"""Of how many images it is told how far they are, while somebody waits for a sync."""


def parts_of(images: Iterable[Image], held_bytes: Mapping[str, int]) -> list[dict[str, Any]]:
    """The images that are begun and not whole, as a region tells of its import's.

    Args:
        images: what is to be held.
        held_bytes: how much is there of each file that is fetched, by SHA-256. All other
            files are there.
    """
    parts = []
    for image in images:
        fetched_bytes = sum(held_bytes.get(file.sha256, file.size_bytes) for file in image.files)
        if 0 < fetched_bytes < image.size_bytes:
            key = image.key
            parts.append(
                {
                    "name": f"{key.os}/{key.release} {key.arch}/{key.subarch}",
                    "state": image.version,
                    "fetched_bytes": fetched_bytes,
                    "total_bytes": image.size_bytes,
                }
            )
    return parts[:MOST_TOLD]
