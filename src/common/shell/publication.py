"""What ``publish-source`` publishes, and how it is named (pure)."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from common.errors import WrongUsage
from common.images import FTYPES, ImageKey
from common.names import is_item_path, is_segment

_REQUIRED = ("key", "os", "release", "arch", "version")


@attrs.frozen
class Publication:
    """What is to be published: one version of one image."""

    image: ImageKey
    version: str
    files: Mapping[str, Path]

    @property
    def _family(self) -> str:
        """MAAS wants Ubuntu and other systems in documents of their own."""
        return "" if self.image.os == "ubuntu" else f"{self.image.os}:"

    @property
    def content_id(self) -> str:
        """The document that the product is in."""
        return f"com.rackferry:{self.image.label}:{self._family}v3:download"

    @property
    def product(self) -> str:
        """The product's name; ``:v3:`` is what MAAS knows Ubuntu products by."""
        image = self.image
        kind = self._family or "boot:"
        return f"com.rackferry.{image.label}:v3:{kind}{image.release}:{image.arch}:{image.subarch}"

    def path_of(self, ftype: str) -> str:
        """Where a file stands in the tree: its content never changes."""
        image = self.image
        above = [image.os] if image.os != "ubuntu" else []
        above += [image.label] if image.label != "stable" else []
        parts = (*above, image.release, image.arch, self.version, image.subarch, ftype)
        return "/".join(parts)

    def tags(self) -> dict[str, str]:
        """The product's tags, as MAAS reads them."""
        image = self.image
        is_ga = image.subarch.startswith("ga-")
        return {
            "arch": image.arch,
            "kflavor": "generic",
            "krel": image.release,
            "label": image.label,
            "os": image.os,
            "release": image.release,
            "release_title": image.release,
            "subarch": image.subarch,
            "subarches": f"generic,{image.subarch}" if is_ga else image.subarch,
            "version": image.subarch.removeprefix("ga-") if is_ga else image.release,
        }

    @classmethod
    def parse(cls, parameters: Mapping[str, Any], files: Mapping[str, str]) -> "Publication":
        """What was typed: see ``publish.publish_source``. Raises ``WrongUsage``."""
        for name in _REQUIRED:
            if not parameters.get(name):
                raise WrongUsage(f"publish-source needs {name}=", object=name)
        if not files:
            raise WrongUsage(
                "publish-source needs a file", remedy="for example boot-kernel@=vmlinuz"
            )
        try:
            image = ImageKey(
                str(parameters["os"]),
                str(parameters["arch"]),
                str(parameters.get("subarch") or "generic"),
                str(parameters["release"]),
                str(parameters.get("label") or "stable"),
            )
        except ValueError as error:
            raise WrongUsage(str(error), remedy="use letters, digits and . _ ~ + -") from error
        version = str(parameters["version"])
        if not is_segment(version):
            raise WrongUsage(f"version {version!r} cannot be part of a path", object="version")
        for ftype in files:
            if ftype not in FTYPES:
                near = difflib.get_close_matches(ftype, sorted(FTYPES), n=1)
                remedy = (
                    f"did you mean {near[0]}?"
                    if near
                    else f"use one of {', '.join(sorted(FTYPES))}"
                )
                raise WrongUsage("no such file type", object=ftype, remedy=remedy)
        publication = cls(image, version, {key: Path(path) for key, path in files.items()})
        for ftype in files:
            if not is_item_path(publication.path_of(ftype)):
                raise WrongUsage("the path is reserved", object=publication.path_of(ftype))
        return publication
