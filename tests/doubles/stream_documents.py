"""Small simplestreams documents to build tests from."""

import hashlib
import json
from email.utils import formatdate
from typing import Any

STABLE = "com.ubuntu.maas:stable:v3:download"
STABLE_PATH = f"streams/v1/{STABLE}.sjson"
INDEX_PATH = "streams/v1/index.sjson"
UPDATED = 1_753_344_109  # 2025-07-24 08:01:49 UTC


def dated(seconds: float) -> str:
    """Seconds since the epoch as a document says them."""
    return formatdate(seconds, usegmt=False)


def item(ftype: str, path: str, content: bytes = b"", **more: object) -> dict[str, Any]:
    """An item of a file with this content."""
    sha256 = hashlib.sha256(content).hexdigest()
    return {"ftype": ftype, "path": path, "sha256": sha256, "size": len(content), **more}


def items(
    release: str = "jammy",
    arch: str = "amd64",
    version: str = "20250718",
    subarch: str = "ga-22.04",
    flavour: str = "generic",
) -> dict[str, dict[str, Any]]:
    """Kernel, initrd, squashfs and manifest at the paths of MAAS's streams.

    The squashfs is one for all kernels of a release, arch and version.
    """
    above = f"{release}/{arch}/{version}"
    kernel = f"{above}/{subarch}/{flavour}"
    made = [
        item("boot-kernel", f"{kernel}/boot-kernel", f"kernel {kernel}".encode()),
        item("boot-initrd", f"{kernel}/boot-initrd", f"initrd {kernel}".encode()),
        item("squashfs", f"{above}/squashfs", f"squashfs {above}".encode()),
        item("manifest", f"{above}/squashfs.manifest", f"manifest {above}".encode()),
    ]
    return {entry["ftype"]: entry for entry in made}


def product(**tags: object) -> dict[str, Any]:
    """A product as MAAS has it: jammy's GA kernel, unless ``tags`` say otherwise.

    ``versions`` maps version names to items; one version of usual items by default.
    """
    usual: dict[str, object] = {
        "arch": "amd64",
        "kflavor": "generic",
        "label": "stable",
        "os": "ubuntu",
        "release": "jammy",
        "release_title": "22.04 LTS",
        "subarch": "ga-22.04",
        "subarches": "generic,hwe-t,ga-18.04,ga-20.04,ga-22.04",
        "support_eol": "2027-04-21",
        "version": "22.04",
    }
    chosen = usual | tags
    versions = chosen.pop("versions", None)
    if versions is None:
        names = [str(chosen[name]) for name in ("release", "arch")]
        made = items(*names, subarch=str(chosen["subarch"]), flavour=str(chosen["kflavor"]))
        versions = {"20250718": made}
    assert isinstance(versions, dict)
    return chosen | {"versions": {name: {"items": entry} for name, entry in versions.items()}}


def product_name(made: dict[str, Any]) -> str:
    """The name that MAAS's stream gives to a product."""
    tags = (made["version"], made["arch"], made["subarch"])
    return f"com.ubuntu.maas.stable:v3:boot:{':'.join(map(str, tags))}"


def product_file(
    *products: dict[str, Any],
    content_id: str = STABLE,
    updated: int | None = UPDATED,
    **more: object,
) -> dict[str, Any]:
    """A product file; products may be given with their name under the key ``name``."""
    named = {str(made.pop("name", None) or product_name(made)): made for made in products}
    date = {} if updated is None else {"updated": dated(updated)}
    return {
        "format": "products:1.0",
        "content_id": content_id,
        "datatype": "image-ids",
        "products": named,
        **date,
        **more,
    }


def index(
    entries: dict[str, str] | None = None, updated: int | None = UPDATED, **more: object
) -> dict[str, Any]:
    """An index; ``entries`` maps content ids to paths."""
    entries = {STABLE: STABLE_PATH} if entries is None else entries
    date = {} if updated is None else {"updated": dated(updated)}
    named = {
        content_id: {"format": "products:1.0", "path": path, **date}
        for content_id, path in entries.items()
    }
    return {"format": "index:1.0", "index": named, **date, **more}


def text(document: object) -> bytes:
    """A document as it is signed: short lines, which GnuPG would otherwise cut."""
    return json.dumps(document, indent=1).encode() + b"\n"
