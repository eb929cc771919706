"""What the store holds, in the words of a plan."""

from regiond.import_plan import HeldBlob, HeldImage, HeldState, Holdings
from regiond.sources.releases import lts_of
from regiond.store import blobs, images, scrubs
from regiond.store.database import Database


async def read_holdings(database: Database) -> Holdings:
    """Every image that is being imported, published or kept, every blob, and what went bad."""
    return Holdings(
        tuple(
            HeldImage(
                id=image.id,
                key=image.key,
                version=image.version,
                state=HeldState(image.state),
                source_id=image.source_id,
                files=frozenset((file.name, file.sha256) for file in image.files),
                subarches=image.subarches,
                bootloader_type=image.bootloader_type,
                pinned=image.pinned,
                waits=image.state == "published" and not image.settled,
                upstream_paths=frozenset(file.upstream_path or "" for file in image.files),
                lts=lts_of(
                    image.stream_tags.product.get("version", ""),
                    image.stream_tags.product.get("release_title", ""),
                ),
            )
            for image in await database.read(images.list_images)
        ),
        {
            blob.sha256: HeldBlob(blob.sha256, blob.size_bytes, blob.held_bytes, blob.is_complete)
            for blob in await database.read(blobs.all_blobs)
        },
        await database.read(scrubs.lost_files),
    )
