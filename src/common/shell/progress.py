"""One line on stderr that says how far a ``wait`` has come.

On a terminal the line is written over and over; elsewhere a new line appears only when
the phase changes, so that a log stays short.
"""

from collections.abc import Mapping
from typing import Any, TextIO

from common.sizes import human_size

_CLEAR_LINE = "\r\x1b[K"


def progress_line(progress: Mapping[str, Any]) -> str:
    """``fetching 1.2 GiB of 3.4 GiB, ubuntu/jammy``: whatever of it is known."""
    phase = str(progress.get("phase") or "working")
    total = progress.get("total_bytes")
    done = progress.get("fetched_bytes", progress.get("checked_bytes"))
    amount = ""
    if isinstance(done, int):
        amount = f" {human_size(done)}"
        if isinstance(total, int) and total:
            amount += f" of {human_size(total)} ({min(100, done * 100 // total)} %)"
    subject = f", {progress['object']}" if progress.get("object") else ""
    return f"{phase}{amount}{subject}"


class ProgressLine:
    """Writes the line; ``close`` before anything else is written."""

    def __init__(self, stream: TextIO, *, is_terminal: bool) -> None:
        self._stream = stream
        self._is_terminal = is_terminal
        self._phase = ""
        self._is_open = False

    def show(self, progress: Mapping[str, Any]) -> None:
        """Say where the work is now."""
        phase = str(progress.get("phase") or "working")
        if self._is_terminal:
            self._write(_CLEAR_LINE + progress_line(progress))
            self._is_open = True
        elif phase != self._phase:
            self._write(progress_line(progress) + "\n")
        self._phase = phase

    def close(self) -> None:
        """Leave the terminal's line clean for what follows."""
        if self._is_open:
            self._write(_CLEAR_LINE)
            self._is_open = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
