"""Sources, and a store that carries out plans."""

from datetime import date

import attrs

from common.digests import sha256_hex
from common.images import ImageKey, Selection
from regiond.import_plan import HeldBlob, HeldImage, HeldState, Holdings, ImportPlan
from regiond.planning import plan_import
from regiond.sources.catalogue import Offer, WantedFile
from regiond.sources.matching import SourceOffers
from regiond.sources.releases import lts_of

UBUNTU = (Selection("ubuntu", "*"),)
TODAY = date(2025, 8, 1)


def offer(
    release: str = "jammy",
    version: str = "1",
    arch: str = "amd64",
    shared: str = "",
    **more: object,
) -> Offer:
    """An image of two files; ``shared`` is the content of the second."""
    contents = {
        "boot-kernel": f"kernel {release} {arch} {version}",
        "squashfs": shared or f"squashfs {release} {arch} {version}",
    }
    files = tuple(
        WantedFile(
            name,
            name,
            sha256_hex(content.encode()),
            len(content),
            f"{release}/{arch}/{version}/{name}",
        )
        for name, content in contents.items()
    )
    key = ImageKey("ubuntu", arch, "ga-22.04", release, "stable")
    made = Offer(key, version, files, "content", f"{release}:{arch}", subarches=("generic",))
    return attrs.evolve(made, **more)


def bootloader() -> Offer:
    """A bootloader."""
    key = ImageKey("grub", "amd64", "generic", "uefi", "stable")
    return attrs.evolve(offer("uefi"), key=key, bootloader_type="uefi")


def source(
    *offers: Offer,
    selections: tuple[Selection, ...] = UBUNTU,
    source_id: int = 1,
    priority: int = 0,
    today: date = TODAY,
) -> SourceOffers:
    """A source."""
    return SourceOffers(source_id, priority, selections, offers, today)


class Store:
    """A store that carries out plans, to see what the next one is."""

    def __init__(self) -> None:
        self.images: dict[int, HeldImage] = {}
        self.blobs: dict[str, HeldBlob] = {}
        self.last_id = 0

    @property
    def holdings(self) -> Holdings:
        return Holdings(tuple(self.images.values()), dict(self.blobs))

    @property
    def published(self) -> dict[str, str]:
        """Release and version of what racks see."""
        return {
            image.key.release: image.version
            for image in self.images.values()
            if image.state is HeldState.PUBLISHED
        }

    def carry_out(self, plan: ImportPlan, fails: frozenset[str] = frozenset()) -> None:
        """Do all of it, but leave the blobs ``fails`` half fetched."""
        for gone in plan.retirements():
            del self.images[gone]
        for blob in plan.fetch:
            broken = blob.sha256 in fails
            held = blob.size_bytes // 2 if broken else blob.size_bytes
            self.blobs[blob.sha256] = HeldBlob(blob.sha256, blob.size_bytes, held, not broken)
        published = []
        for planned in plan.stage:
            made = planned.offer
            state = HeldState.IMPORTING
            if all(self.blobs[file.sha256].complete for file in made.files):
                state = HeldState.PUBLISHED
                published.append(made.key)
                self._remove(made.key)
            elif any(
                (image.key, image.version, image.state) == (made.key, made.version, state)
                for image in self.images.values()
            ):
                continue
            self.last_id += 1
            self.images[self.last_id] = HeldImage(
                self.last_id,
                made.key,
                made.version,
                state,
                planned.source_id,
                frozenset((file.name, file.sha256) for file in made.files),
                made.subarches,
                made.bootloader_type,
                upstream_paths=frozenset(file.upstream_path for file in made.files),
                lts=lts_of(made.os_version, made.release_title),
            )
        for gone in plan.retirements(published):
            self.images.pop(gone, None)

    def _remove(self, key: ImageKey) -> None:
        for number, image in list(self.images.items()):
            if image.key == key:
                del self.images[number]


def holding(*sources: SourceOffers) -> Store:
    """A store that has imported these sources."""
    store = Store()
    store.carry_out(plan_import(sources, store.holdings))
    return store
