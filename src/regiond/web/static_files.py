"""The page's style sheet, script and icon: small, read once, and asked for again by their ETag."""

import hashlib
from importlib.resources import files

import attrs

TYPES = {
    "rackferry.css": "text/css; charset=utf-8",
    "rackferry.js": "text/javascript; charset=utf-8",
    "rackferry.svg": "image/svg+xml",
}


@attrs.frozen
class StaticFile:
    """A file. ``etag`` is quoted, as it stands in a header."""

    content: bytes
    content_type: str
    etag: str


def load_static() -> dict[str, StaticFile]:
    """Every file, by its path on the web port."""
    found = {}
    for name, kind in TYPES.items():
        content = files("regiond.web").joinpath("static", name).read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        found[f"/static/{name}"] = StaticFile(content, kind, etag)
    return found
