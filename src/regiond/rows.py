"""Answers as the shell documents them: one function per kind of row (pure).

The keys are promised to scripts (docs/shell.md); they may be added to, not renamed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from common.canonical import plain
from common.events import Event
from common.images import Image, ImageKey
from regiond.import_plan import ImportPlan
from regiond.restrictions import may_hold
from regiond.source_fields import credentials_of, proxy_of
from regiond.sources.catalogue import Offer
from regiond.sources.locations import SourceLocation
from regiond.sources.matching import SourceOffers
from regiond.sources.verdict import Key
from regiond.store.canaries import Waiting
from regiond.store.image_sums import ListedImage
from regiond.store.images import StoredImage
from regiond.store.racks import Rack
from regiond.store.selections import StoredSelection
from regiond.store.sources import BootSource


def source_row(source: BootSource) -> dict[str, Any]:
    """A boot source; credentials are never shown again."""
    proxy = proxy_of(source)
    keyring = "none: unsigned" if source.unsigned else source.keyring_filename or "(data)"
    return {
        "id": source.id,
        "url": shown_url(source.url),
        "keyring": keyring,
        "keyring_filename": source.keyring_filename,
        "priority": source.priority,
        "enabled": source.enabled,
        "unsigned": source.unsigned,
        "credentials": credentials_of(source).kind,
        "proxy": proxy.name if proxy else None,
        "ca_file": source.ca_file,
        "rate_limit": source.rate_limit,
        "any_products": source.any_products,
        "created": source.created_at,
        "updated": source.updated_at,
        "last_success": source.last_success_at,
        "lagging_since": source.lagging_since,
        "accept_rollback": source.accept_rollback is not None,
    }


def key_row(key: Key) -> dict[str, Any]:
    """A primary key of a keyring."""
    return {
        "fingerprint": key.fingerprint,
        "name": key.name,
        "state": "revoked" if key.revoked else "expired" if key.expired else "good",
        "expires_at": key.expires_at,
    }


def shown_url(url: str) -> str:
    """A source's URL as it may be shown: its base, without user and password."""
    return SourceLocation.parse(url).base


def selection_row(kept: StoredSelection) -> dict[str, Any]:
    """A selection of a boot source."""
    return {
        "id": kept.id,
        "source": kept.source_id,
        **plain(kept.selection),
        "state": "unchecked" if kept.unchecked else "checked",
    }


def offer_row(
    offered: SourceOffers, offer: Offer, *, selected: bool, pinned: str | None
) -> dict[str, Any]:
    """An image that a source offers; ``pinned`` is the version that it is pinned to."""
    return {
        "source": offered.source_id,
        **plain(offer.key),
        "version": offer.version,
        "versions": list(offer.versions),
        "title": offer.title,
        "release_title": offer.release_title,
        "kflavor": offer.kflavor,
        "bootloader_type": offer.bootloader_type,
        "subarches": list(offer.subarches),
        "support_eol": offer.support_eol,
        "supported": offered.releases.is_supported(offer.key.os, offer.key.release),
        "size_bytes": offer.size_bytes,
        "selected": selected,
        "pinned": pinned,
    }


def key_columns(key: ImageKey) -> dict[str, str]:
    """Which image, in MAAS's two columns and the label."""
    return {
        "name": f"{key.os}/{key.release}",
        "architecture": f"{key.arch}/{key.subarch}",
        "label": key.label,
    }


def image_row(image: StoredImage | ListedImage) -> dict[str, Any]:
    """An image, published or on its way."""
    return {
        "id": image.id,
        "type": image.type,
        **key_columns(image.key),
        "subarches": ",".join(image.subarches),
        "title": image.title,
        "bootloader_type": image.bootloader_type,
        "version": image.version,
        "state": "damaged" if _is_damaged(image) else image.state,
        "size_bytes": image.size_bytes,
        "complete_bytes": image.complete_bytes,
        "held_by": _held_by(image),
        "due_at": image.due_at,
        "pinned": image.pinned,
        "waiting_version": image.waiting_version,
    }


def _is_damaged(image: StoredImage | ListedImage) -> bool:
    """Whether it is published, and bytes of it went bad since."""
    return image.state == "published" and image.complete_bytes < image.size_bytes


def _held_by(image: StoredImage | ListedImage) -> str:
    """Which racks show a version."""
    if image.state == "published":
        return "all" if image.settled else "canaries"
    return "others" if image.state == "kept" and image.settled else "none"


def plan_rows(plan: ImportPlan, obstacles: Iterable[Event]) -> list[dict[str, Any]]:
    """What an import would do, one row per image; first what keeps it from doing more."""
    rows: list[dict[str, Any]] = [
        {
            "action": "blocked",
            "name": event.object,
            "architecture": "",
            "label": "",
            "version": "",
            "code": event.code,
            "reason": event.cause,
            "remedy": event.remedy,
        }
        for event in obstacles
    ]
    rows += [
        {
            "action": "publish" if planned.is_held else "fetch",
            **key_columns(planned.offer.key),
            "version": planned.offer.version,
            "size_bytes": planned.offer.size_bytes,
            "fetch_bytes": fetch_bytes,
        }
        for planned, fetch_bytes in zip(plan.stage, plan.fetch_bytes_each, strict=True)
    ]
    rows += [
        {
            "action": "repair",
            **key_columns(key),
            "version": version,
            "fetch_bytes": fetch_bytes,
        }
        for (key, version), fetch_bytes in plan.repair_bytes.items()
    ]
    rows += [
        {
            "action": "wait",
            **key_columns(each.offer.key),
            "version": each.offer.version,
            "size_bytes": each.offer.size_bytes,
            "pinned": each.pinned.version,
        }
        for each in plan.waiting
    ]
    rows += [
        {"action": "retire", **key_columns(gone.key), "version": gone.version}
        for gone in plan.retire
    ]
    return [_NOTHING_PLANNED | row for row in rows]


_NOTHING_PLANNED: dict[str, Any] = {
    "size_bytes": 0,
    "fetch_bytes": 0,
    "pinned": None,
    "code": None,
    "reason": None,
    "remedy": None,
}


def waiting_row(waiting: Waiting) -> dict[str, Any]:
    """A version that racks which are no canaries are to get later."""
    return {
        "id": waiting.id,
        **key_columns(waiting.key),
        "version": waiting.version,
        "due_at": waiting.due_at,
    }


def held_row(image: Image) -> dict[str, Any]:
    """An image that a rack holds."""
    return {
        **key_columns(image.key),
        "version": image.version,
        "state": "synced",
        "size_bytes": image.size_bytes,
        "files": [plain(file) for file in image.files],
    }


def forgotten_row(key: ImageKey, version: str) -> dict[str, Any]:
    """One of which nothing but that is known any more."""
    return {**key_columns(key), "version": version, "state": "synced", "size_bytes": 0, "files": []}


def waits_columns(rack: Rack, waiting: Sequence[Waiting]) -> dict[str, Any]:
    """How many versions a rack is to get later, and when the next of them (None: not by time)."""
    of_rack = [
        each
        for each in waiting
        if not rack.canary and may_hold(rack.selections, each.key, is_bootloader=each.is_bootloader)
    ]
    times = [each.due_at for each in of_rack if each.due_at is not None]
    return {
        "canary": rack.canary,
        "waits": len(of_rack),
        "waits_until": min(times, default=None),
    }
