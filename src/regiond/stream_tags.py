"""What a source says of an image beyond what an import needs, kept to be said again (pure).

A region that is a source itself says it to those who import from it: MAAS demands titles,
end of support and the packages of bootloaders, and people see them in listings.
"""

from collections.abc import Mapping

import attrs

PRODUCT_TAGS = (
    "arches",
    "gadget_snap",
    "gadget_title",
    "kernel_snap",
    "kflavor",
    "krel",
    "maas_supported",
    "os_title",
    "platform",
    "release",
    "release_codename",
    "release_title",
    "subarch",
    "support_eol",
    "support_esm_eol",
    "supported_platforms",
    "version",
)
ITEM_TAGS = ("kpackage", "kparams", "src_package", "src_release", "src_version")


@attrs.frozen
class StreamTags:
    """Tags by name: of a product in its newest version, and of each file by its name.

    ``items`` also has the name of each item, as ``item``.
    """

    product: Mapping[str, str] = attrs.field(factory=dict)
    items: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)
