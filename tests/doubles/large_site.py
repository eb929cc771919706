"""A large site in a region's database: 200 racks and 500 images."""

from collections.abc import Sequence

from sqlalchemy import Connection

from common.digests import RunningDigest, sha256_hex
from common.images import ImageKey
from regiond.store import blob_writing, generations, images, leases, publication, tables

RACKS, IMAGES = 200, 500
ARCHES = ("amd64", "arm64", "armhf", "ppc64el", "s390x")
SUBARCHES = ("ga-22.04", "hwe-22.04", "hwe-22.04-edge", "hwe-22.04-lowlatency", "ga-22.04-64k")


def image_keys() -> Sequence[ImageKey]:
    """Of so many images: twenty releases, each for every architecture and kernel."""
    return [
        ImageKey("ubuntu", arch, subarch, f"release-{number:02}", "stable")
        for number in range(IMAGES // (len(ARCHES) * len(SUBARCHES)))
        for arch in ARCHES
        for subarch in SUBARCHES
    ]


def many_images(conn: Connection, now: float) -> None:
    """So many images of boot source 1, of one small blob, published."""
    epoch = leases.acquire(conn, publication.IMPORT_LEASE, "region-1", now, 15.0)
    assert epoch is not None
    running = RunningDigest()
    (digest,) = running.add_all([b"x"])
    blob = blob_writing.claim_blob(conn, sha256_hex(b"x"), 1, epoch)
    blob_writing.append_chunks(conn, blob.id, epoch, 0, [(b"x", digest)])
    blob_writing.complete_blob(conn, blob.id, epoch, running.digests)
    new = [
        images.NewImage(
            each,
            "20260101",
            [images.NeededFile(name, name, blob.sha256, 1, 1, name) for name in "abcd"],
            source_id=1,
        )
        for each in image_keys()
    ]
    ids = images.stage_images(conn, new, now)
    publication.publish_images(conn, ids, epoch, now)


def many_racks(conn: Connection, now: float) -> None:
    """So many racks; half of them hold what they are to hold."""
    number, digest = generations.current_generation(conn)
    for place in range(RACKS):
        held = digest if place % 2 else ""
        conn.execute(
            tables.rack.insert().values(
                name=f"rack-{place}", state="active", created_at=now, held_digest=held,
                held_generation=number if held else 0, last_seen_at=now,
            )
        )  # fmt: skip
