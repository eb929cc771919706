"""How far something is that somebody waits for, on stderr.

On a terminal a few lines are written over and over: the whole, and below it those parts
(images, racks) that move. Elsewhere there is one line when the phase changes and one every
``EVERY_S``, so that a log stays short. How fast it goes is measured here, by what is told.
"""

from collections.abc import Callable, Mapping
from typing import Any, TextIO

import attrs

from common.durations import human_duration
from common.pace import Pace
from common.shell.render import printable
from common.sizes import human_size

EVERY_S = 10.0
MOST_PARTS = 10
_NAME = 28
_COUNTS = (("published", "total_images", "images"), ("done", "total", "racks"))
_WHOLE = ""

Progress = Mapping[str, Any]


@attrs.frozen
class ErrorStream:
    """Where progress goes.

    Attributes:
        stream: stderr.
        is_terminal: whether it is one.
        is_wanted: whether plain lines may be written to it if it is not.
        size: columns and lines of the terminal, as they are now.
        now: seconds of a clock that only goes forward.
    """

    stream: TextIO
    size: Callable[[], tuple[int, int]]
    now: Callable[[], float]
    is_terminal: bool = False
    is_wanted: bool = True


class ProgressLines:
    """Writes the lines; ``close`` before anything else is written."""

    def __init__(self, err: ErrorStream) -> None:
        self._err = err
        self._paces: dict[str, Pace] = {}
        self._phase: str | None = None
        self._told_at_s = 0.0
        self._drawn = 0

    def show(self, progress: Progress) -> None:
        """Say where the work is now."""
        now = self._err.now()
        phase = str(progress.get("phase"))
        self._measure(progress, now)
        if self._err.is_terminal:
            self._draw(progress)
        elif self._err.is_wanted and (phase != self._phase or now - self._told_at_s >= EVERY_S):
            self._write(f"{whole_line(progress, self._paces[_WHOLE])}\n")
            self._told_at_s = now
        self._phase = phase

    def close(self) -> None:
        """Leave the terminal clean for what follows."""
        if self._drawn:
            self._write(self._back())
            self._drawn = 0

    def _measure(self, progress: Progress, now: float) -> None:
        if str(progress.get("phase")) != self._phase:
            self._paces.clear()
        told = {_WHOLE: progress} | {each["name"]: each for each in progress.get("parts", ())}
        self._paces = {
            name: self._paces.get(name, Pace()).saw(now, _done_bytes(each) or 0)
            for name, each in told.items()
        }

    def _draw(self, progress: Progress) -> None:
        columns, height = self._err.size()
        parts = progress.get("parts", ())
        room = max(0, min(MOST_PARTS, height - 3))
        lines = [whole_line(progress, self._paces[_WHOLE])]
        lines += [part_line(each, self._paces[each["name"]]) for each in parts[:room]]
        if len(parts) > room > 0:
            lines[-1] = f"  ... and {len(parts) - room + 1} more"
        # A line of the full width would be broken by some terminals, and not be found again.
        cut = [line[: max(1, columns - 1)] for line in lines]
        self._write(self._back() + "\n".join(cut))
        self._drawn = len(cut)

    def _back(self) -> str:
        """To the beginning of what was drawn, and away with it."""
        up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
        return f"{up}\r\x1b[J"

    def _write(self, text: str) -> None:
        self._err.stream.write(text)
        self._err.stream.flush()


def whole_line(progress: Progress, pace: Pace) -> str:
    """``fetching, 3 of 12 images, 1.2 GiB of 3.4 GiB (35 %), 20 MiB/s, 1 min 50 s left``."""
    said = [str(progress.get("phase") or "working")]
    for done, total, what in _COUNTS:
        if progress.get(total):
            said.append(f"{progress[done]} of {progress[total]} {what}")
    if progress.get("failed"):
        said.append(f"{progress['failed']} failed")
    said += _moving(progress, pace)
    if progress.get("object"):
        said.append(str(progress["object"]))
    return printable(", ".join(said))


def part_line(part: Progress, pace: Pace) -> str:
    """One image or rack, its name first."""
    said = ", ".join([str(part["state"]), *_moving(part, pace)])
    return printable(f"  {part['name']:<{_NAME}}  {said}")


def _done_bytes(progress: Progress) -> int | None:
    done = progress.get("fetched_bytes", progress.get("checked_bytes"))
    return done if isinstance(done, int) else None


def _moving(progress: Progress, pace: Pace) -> list[str]:
    """Bytes, how fast they come and how long they take yet: as much as is known."""
    done, total = _done_bytes(progress), progress.get("total_bytes")
    if done is None:
        return []
    if not isinstance(total, int) or not total:
        return [human_size(done)] if done else []
    said = [f"{human_size(done)} of {human_size(total)} ({min(100, done * 100 // total)} %)"]
    left_s = pace.left_s(total)
    if left_s is not None and done < total:
        said += [f"{human_size(round(pace.bytes_s or 0))}/s", f"{human_duration(left_s)} left"]
    return said
