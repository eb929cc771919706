"""What sources offer, built of small products as MAAS's streams have them."""

from datetime import date
from typing import Any

from regiond.sources.catalogue import Catalogue, Offer, catalogue
from regiond.sources.simplestreams import parse_products
from tests.doubles.stream_documents import STABLE, item, items, product, product_file, text

TODAY = date(2025, 8, 1)


def ubuntu(release: str, version: str, arch: str = "amd64", **tags: object) -> list[dict[str, Any]]:
    """The kernels of one release: GA, GA lowlatency, HWE, HWE edge."""
    title = f"{version} LTS" if version.endswith("04") and int(version[:2]) % 2 == 0 else version
    common = {"release": release, "version": version, "arch": arch, "release_title": title, **tags}
    older = f"generic,ga-18.04,ga-{version}"
    newer = f"{older},hwe-{version}"
    return [
        product(**common, subarch=f"ga-{version}", subarches=older),
        product(
            **common,
            subarch=f"ga-{version}",
            subarches=older,
            kflavor="lowlatency",
            name="l:v3:1" + arch + version,
        ),
        product(**common, subarch=f"hwe-{version}", subarches=newer),
        product(**common, subarch=f"hwe-{version}-edge", subarches=f"{newer},hwe-{version}-edge"),
    ]


def bootloader(
    kind: str = "uefi", os: str = "grub-efi-signed", arch: str = "amd64", **tags: object
) -> dict[str, Any]:
    """A bootloader product."""
    path = f"bootloaders/{kind}/{arch}/20231004.0/{os}.tar.xz"
    entry = item("archive.tar.xz", path, arch.encode())
    return {
        "name": f"com.ubuntu.maas.stable:1:{os}:{kind}:{arch}",
        "arch": arch,
        "arches": "i386,amd64",
        "bootloader-type": kind,
        "label": "stable",
        "os": os,
        "versions": {"20231004.0": {"items": {os: entry}}},
        **tags,
    }


def offered(*products: dict[str, Any], any_products: bool = False) -> Catalogue:
    """The catalogue of one document with these products."""
    document = parse_products(text(product_file(*products)), STABLE, "x")
    return catalogue([document], any_products=any_products)


def offers_of(*products: dict[str, Any]) -> tuple[Offer, ...]:
    """What a source with these products offers; all of them are all right."""
    found = offered(*products)
    assert not found.ignored, found.ignored
    return found.newest


def full_size() -> dict[str, Any]:
    """A product file of the size of the real one: 242 products, 1,936 items."""
    made = []
    names = [f"hwe-{n}" for n in range(11)]
    for release in (f"release{n}" for n in range(11)):
        for arch in ("amd64", "arm64"):
            for place, subarch in enumerate(names):
                tags = {"release": release, "arch": arch, "version": release, "subarch": subarch}
                versions = {
                    version: items(release, arch, version, subarch)
                    for version in ("20250615", "20250718")
                }
                listed = ",".join(["generic", *names[: place + 1]])
                made.append(product(**tags, subarches=listed, versions=versions))
    return product_file(*made)
