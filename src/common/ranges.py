"""Range and Content-Range of HTTP (pure; RFC 9110 section 14).

A server here answers a request for one range exactly, a malformed or unsatisfiable one
with 416, and several ranges with the whole (which the RFC allows). A client here accepts
a partial answer only if its Content-Range is exactly what was asked for.
"""

import re

import attrs

from common.errors import RangeError

_ONE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
_SEVERAL = re.compile(r"bytes=[\d\s,-]+,[\d\s,-]*", re.ASCII)
MOST_SHOWN = 60  # characters of a header in a message

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)


@attrs.frozen
class Slice:
    """The bytes ``first`` to ``stop - 1`` of ``size_bytes``."""

    first: int
    stop: int
    size_bytes: int

    @property
    def length(self) -> int:
        """How many bytes these are."""
        return self.stop - self.first

    @property
    def content_range(self) -> str:
        """The Content-Range header of a 206 answer."""
        return f"bytes {self.first}-{self.stop - 1}/{self.size_bytes}"


def requested_slice(header: str | None, size_bytes: int) -> tuple[int, Slice]:
    """What to answer to a Range header: (200 or 206, the bytes).

    Raises:
        RangeError: malformed or unsatisfiable; the answer is 416 with ``bytes */size``.
    """
    whole = Slice(0, size_bytes, size_bytes)
    if header is None:
        return 200, whole
    if _SEVERAL.fullmatch(header):
        return 200, whole
    match = _ONE.fullmatch(header.strip())
    if match is None or match.group(0) == "bytes=-":
        raise RangeError(f"malformed range {_shown(header)}", code="range-malformed")
    first_text, last_text = match.groups()
    if not first_text:
        first, stop = max(0, size_bytes - int(last_text)), size_bytes
    else:
        first = int(first_text)
        stop = min(size_bytes, int(last_text) + 1) if last_text else size_bytes
        if last_text and int(last_text) < first:
            raise RangeError(f"malformed range {_shown(header)}", code="range-malformed")
    if first >= stop:
        raise RangeError(
            f"range {_shown(header)} lies outside {size_bytes} bytes", code="range-unsatisfiable"
        )
    return 206, Slice(first, stop, size_bytes)


def _shown(header: str) -> str:
    """A header for a message: quoted, in ASCII, not long."""
    return ascii(header) if len(header) <= MOST_SHOWN else f"{header[:MOST_SHOWN]!a}..."


def is_exact_content_range(header: str | None, first: int, size_bytes: int) -> bool:
    """Whether a 206 answer holds exactly the bytes from ``first`` to the end."""
    match = _CONTENT_RANGE.fullmatch(header or "")
    return match is not None and tuple(map(int, match.groups())) == (
        first,
        size_bytes - 1,
        size_bytes,
    )
