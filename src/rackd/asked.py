"""What a machine's request is for, and a directory as a page (pure).

Paths are looked up in a snapshot's record, and never reach the file system.
"""

import html
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote_to_bytes

import attrs

from common.errors import NotFound, WrongUsage
from common.names import is_item_path, is_mirror_path
from rackd.records import HeldFile

_ROOT = re.compile(r"/images/|/generations/(\d{1,19})/|/(?=mirror/)")


@attrs.frozen
class Asked:
    """What a request is for.

    Attributes:
        root: what stands before the path, "/" at both ends.
        path: in the tree: "" for its root, a trailing slash for a directory.
        generation: of which tree; None for the one that the client sees.
    """

    root: str
    path: str
    generation: int | None = None


def asked(path: bytes) -> Asked:
    """What a request with this path is for.

    Raises:
        NotFound: something that is not served.
        WrongUsage: no clean path: "..", "//", control characters and the like.
    """
    try:
        text = unquote_to_bytes(path).decode("ascii")
    except UnicodeDecodeError:
        raise WrongUsage("not a path", code="path-malformed") from None
    match = _ROOT.match(text)
    if match is None:
        raise NotFound(
            "no such page",
            object=text[:200],
            remedy="images are below /images/ and /generations/NUMBER/, mirrors below /mirror/",
        )
    inner = text[match.end() :]
    plain = inner.removesuffix("/")
    if inner and not (is_item_path(plain) or is_mirror_path(plain)):
        raise WrongUsage("not a path of an image", object=text[:200], code="path-malformed")
    return Asked(match[0], inner, int(match[1]) if match[1] else None)


def listing(files: Mapping[str, HeldFile], root: str, directory: str) -> str | None:
    """A directory as a page of links; None if there is no such directory.

    Args:
        files: the whole tree.
        root: where the tree is.
        directory: "" or a path with a trailing slash.
    """
    entries: dict[str, str] = {}
    for path, file in files.items():
        if path.startswith(directory):
            name, slash, _ = path.removeprefix(directory).partition("/")
            entries[name + slash] = "" if slash else f"{file.size_bytes}"
    if not entries and directory:
        return None
    up = '<li><a href="../">../</a></li>\n' if directory else ""
    lines = "".join(
        f'<li><a href="{quote(name)}">{html.escape(name)}</a> {size}</li>\n'
        for name, size in sorted(entries.items())
    )
    title = html.escape(f"{root}{directory}")
    return f"<!DOCTYPE html>\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n{up}{lines}</ul>\n"
