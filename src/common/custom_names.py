"""What a custom image may be called, and in which version it comes (pure).

The rules are MAAS's: ``os/release`` for the systems that are deployed in a way of their own,
any other name is of the system ``custom``. What sources call their images is not for others.
"""

import re
from collections.abc import Collection
from datetime import date
from difflib import get_close_matches

from common.errors import WrongUsage
from common.images import ImageKey
from common.names import is_segment

CUSTOM = "custom"
LABEL = "uploaded"
ARCHES = ("amd64", "arm64", "armhf", "i386", "ppc64el", "riscv64", "s390x")

# Systems that MAAS has a way of deploying, and whose images are not in its stream.
_SYSTEMS = ("caringo", "centos", "esxi", "ol", "rhel", "rocky", "suse", "windows")
_OF_SOURCES = ("bootloader", "ubuntu", "ubuntu-core")
_LINUX = ("centos", "ol", "rhel", "rocky", "suse", "ubuntu")
_CENTOS = re.compile(r"centos\d\d?")
_VERSION = re.compile(r"(\d{8})(?:\.(\d+))?")


def custom_key(name: str, architecture: str) -> ImageKey:
    """Which image is meant by a name and an architecture (``amd64``, or ``amd64/generic``).

    Raises:
        WrongUsage: code ``custom-name``, ``custom-reserved`` or ``custom-architecture``.
    """
    os, slash, release = name.partition("/")
    if not slash:
        os, release = CUSTOM, name
    arch, _, subarch = architecture.partition("/")
    if not (is_segment(os) and is_segment(release)) or release.startswith("."):
        raise _wrong_name(
            name,
            "is no name for an image",
            "one word, or os/release: letters, digits and . _ ~ + -",
        )
    if os in _OF_SOURCES:
        raise _reserved(name, f"{os} comes from boot sources alone", release)
    if os not in {CUSTOM, *_SYSTEMS}:
        known = ", ".join(_SYSTEMS)
        raise _wrong_name(
            name, f"{os} is not a known system", f"one of {known}; or a name without a slash"
        )
    if arch not in ARCHES or not is_segment(subarch or "generic"):
        raise WrongUsage(
            "is no architecture",
            object=f"architecture={architecture}",
            code="custom-architecture",
            remedy=f"one of {', '.join(ARCHES)}, alone or as in amd64/generic",
        )
    return ImageKey(os, arch, subarch or "generic", release, LABEL)


def _wrong_name(name: str, message: str, remedy: str) -> WrongUsage:
    return WrongUsage(message, object=f"name={name}", code="custom-name", remedy=remedy)


def _reserved(name: str, why: str, release: str) -> WrongUsage:
    return WrongUsage(
        f"is reserved: {why}",
        object=f"name={name}",
        code="custom-reserved",
        remedy=f"another name, for example my-{release}",
    )


def demand_free(key: ImageKey, pairs: Collection[tuple[str, str]]) -> None:
    """Refuse a name that means something else already.

    Args:
        key: which image is to get it.
        pairs: the (os, release) of everything that sources offer.

    Raises:
        WrongUsage: code ``custom-reserved``.
    """
    name = key.release
    if key.os == CUSTOM:
        systems = {*_SYSTEMS, *_OF_SOURCES, CUSTOM, *(os for os, _ in pairs)}
        is_taken = name in systems or name in {release for _, release in pairs}
        is_taken = is_taken or _CENTOS.fullmatch(name) is not None
    else:
        is_taken = (key.os, name) in pairs
    if is_taken:
        typed = name if key.os == CUSTOM else f"{key.os}/{name}"
        raise _reserved(typed, "a system or a release of a boot source is called that", name)


def check_base_image(base_image: str) -> None:
    """Refuse what cannot be the system from which an image is deployed ("": MAAS's default).

    Raises:
        WrongUsage: code ``custom-base-image``.
    """
    os, _, release = base_image.partition("/")
    if base_image and not (os in _LINUX and is_segment(release)):
        raise WrongUsage(
            "is no Linux that an image can be deployed from",
            object=f"base_image={base_image}",
            code="custom-base-image",
            remedy=f"os/release with one of {', '.join(_LINUX)}, as in ubuntu/jammy",
        )


def doubt_of_base_image(
    base_image: str, published: Collection[tuple[str, str]], offered: Collection[tuple[str, str]]
) -> str:
    """Why machines cannot be deployed from it as things are, in words; "" if they can.

    It is no reason to refuse an image: the other one may come later.

    Args:
        base_image: os/release, or "".
        published: the (os, release) of every image that racks hold.
        offered: of everything that sources offer.
    """
    os, _, release = base_image.partition("/")
    if not base_image or (os, release) in published:
        return ""
    if (os, release) in offered:
        return f"base_image={base_image} is offered and not imported: select it, too"
    known = sorted(f"{os}/{release}" for os, release in {*published, *offered} if os in _LINUX)
    near = get_close_matches(base_image, known, 1)
    hint = f' (did you mean "{near[0]}"?)' if near else ""
    return f"base_image={base_image} is neither held here nor offered by a boot source{hint}"


def next_version(today: date, known: Collection[str]) -> str:
    """``YYYYMMDD``, then ``YYYYMMDD.1`` and so on: the last of all in byte order.

    After ``.9`` comes ``.91``, since ``.10`` would stand before ``.2`` for every client of
    these streams. When the clock has gone back, the last day goes on.
    """
    newest = max(known, default="")
    base = today.strftime("%Y%m%d")
    if newest < base:
        return base
    match = _VERSION.fullmatch(newest)
    if match is None:
        return f"{newest}.1"
    day, count = match[1], match[2] or ""
    if not count:
        return f"{day}.1"
    if count[-1] == "9":
        return f"{day}.{count}1"
    return f"{day}.{count[:-1]}{int(count[-1]) + 1}"
