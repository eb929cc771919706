"""Which names may become paths (pure).

Streams, regions and people name things; some of these names become directories on a
rack. The grammars are those of the simplestreams rules: plain ASCII words, no empty,
``.``, ``..`` or ``...`` segment, no leading dash, at most 1,024 bytes.
"""

import re

_SEGMENT = re.compile(r"[A-Za-z0-9._~+][A-Za-z0-9._~+-]*")
_MIRROR = re.compile(r"mirror/[0-9]{1,19}/(.+)", re.DOTALL)
_DOCUMENT = re.compile(r"streams/v1/[A-Za-z0-9._~+:-]+\.s?json")
# One expression for a whole path: a catalogue has thousands of them.
_PART = r"(?!\.+(?:/|\Z))[A-Za-z0-9._~+][A-Za-z0-9._~+-]{0,254}"
_ITEM = re.compile(rf"(?!(?:streams|\.data)(?:/|\Z)){_PART}(?:/{_PART})*")
_MAX_PATH_BYTES = 1024
_MAX_SEGMENT_BYTES = 255


def is_segment(text: str) -> bool:
    """Whether ``text`` may be one component of a path."""
    return (
        _SEGMENT.fullmatch(text) is not None
        and len(text) <= _MAX_SEGMENT_BYTES
        and set(text) != {"."}
    )


def is_item_path(path: str) -> bool:
    """Whether ``path`` may be the path of an item in a stream (relative to its base)."""
    return len(path) <= _MAX_PATH_BYTES and _ITEM.fullmatch(path) is not None


def is_document_path(path: str) -> bool:
    """Whether ``path`` may be the path of a product file or nested index in an index."""
    return len(path) <= _MAX_PATH_BYTES and _DOCUMENT.fullmatch(path) is not None


def is_mirror_path(path: str) -> bool:
    """Whether ``path`` may stand in a rack's mirror: ``mirror/<source id>/<upstream path>``."""
    match = _MIRROR.fullmatch(path)
    return (
        match is not None
        and (is_item_path(match[1]) or is_document_path(match[1]))
        and all(len(part) <= _MAX_SEGMENT_BYTES for part in path.split("/"))
    )
