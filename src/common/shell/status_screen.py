"""``status`` on one screen: is all well, and if not, what is to be done (pure).

The verdict comes first, the open problems last and in full. Of many sources and racks those
are shown that need somebody; the others are counted.
"""

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.durations import human_duration
from common.shell.render import Screen, printable
from common.sizes import human_size

MOST_SOURCES = 4
MOST_RACKS = 6
MOST_PROBLEMS = 8
MOST_PINNED = 4
SKEW_S = 60.0
_LABEL = 10
_UNBOUNDED = 10_000
_STATES = ("unknown", "out-of-sync", "region-importing", "syncing", "synced")
_SGR = {"good": "\x1b[1;32m", "bad": "\x1b[1;31m", "strong": "\x1b[1m"}

Row = Mapping[str, Any]


def region_screen(status: Row, screen: Screen) -> str:
    """The status of a region."""
    page = _Page(screen)
    page.verdict(status, "region", f"generation {status['generation']}")
    page.part("sources", _sources(status["sources"], status["now"]))
    page.part("import", [_import(status["import"], status["now"])])
    page.part("images", _images(status))
    page.part("canaries", _canaries(status.get("canaries"), status["now"]))
    page.part("space", [_space(status["space"])])
    page.part("scrub", [_scrub(status["scrub"], status["now"])])
    page.part("racks", _racks(status["racks"], status["now"]), indent=2)
    page.problems(status["problems"], status["now"])
    return page.text()


def rack_screen(status: Row, screen: Screen) -> str:
    """The status of a rack."""
    page = _Page(screen)
    page.verdict(status, "rack", f"generation {status['generation']}")
    page.part("region", [_region(status)])
    page.part("sync", [_sync(status)])
    page.part("images", [f"{status['images']}; {human_size(status['size_bytes'])}{_kept(status)}"])
    page.part("space", [f"{human_size(status['free_bytes'])} free"])
    page.part("scrub", [_scrub(status["scrub"], status["now"])])
    page.problems(status["problems"], status["now"])
    return page.text()


class _Page:
    """Lines that fit a screen."""

    def __init__(self, screen: Screen) -> None:
        self._has_colour = screen.has_colour
        # Some terminals break the line after the last column; what is no terminal is not cut.
        self._width = max(40, screen.width - 1) if screen.is_terminal else _UNBOUNDED
        self._lines: list[str] = []

    def verdict(self, status: Row, kind: str, more: str) -> None:
        """The first line."""
        text = printable(status["verdict"])
        said = text[:1].upper() + text[1:]
        name, release = printable(status["name"]), printable(status["release"])
        line = self._cut(f"{said}: {kind} {name}, {more}, release {release}")
        style = "good" if status["well"] else "bad"
        self._lines.append(self._styled(line[: len(said)], style) + line[len(said) :])

    def part(self, name: str, lines: Iterable[str], indent: int = _LABEL) -> None:
        """Lines with a name before the first; the others are indented."""
        for number, line in enumerate(lines):
            label = f"{name:<{_LABEL}}" if not number else " " * indent
            self._lines.append(self._cut(label + printable(line)))

    def problems(self, rows: Sequence[Row], now: float) -> None:
        """Open events, in full."""
        grouped: dict[tuple[str, str, str], list[Row]] = {}
        for row in rows:
            grouped.setdefault((row["severity"], row["code"], row["remedy"]), []).append(row)
        ordered = sorted(grouped.values(), key=lambda each: each[0]["severity"] != "error")
        for alike in ordered[:MOST_PROBLEMS]:
            self._lines.append("")
            self._problem(alike, now)
        rest = sum(map(len, ordered[MOST_PROBLEMS:]))
        if rest:
            self._lines += ["", f"... and {rest} more: rackferry events read level=warning"]

    def _problem(self, alike: Sequence[Row], now: float) -> None:
        first = alike[0]
        age = human_duration(now - min(row["first_at"] for row in alike))
        head = self._styled(first["severity"], "bad" if first["severity"] == "error" else "strong")
        others = len(alike) - 1
        more = f" and {others} others" if others > 1 else " and one other" if others else ""
        about = f"{first['object']}{more}"
        self._lines.append(f"{head} {printable(first['code'])} for {age}: {printable(about)}")
        self._wrapped(first["cause"], "  ", "  ")
        if first["remedy"]:
            self._wrapped(first["remedy"], "  -> ", "     ")

    def _wrapped(self, text: str, first: str, rest: str) -> None:
        self._lines += textwrap.wrap(
            printable(text), self._width, initial_indent=first, subsequent_indent=rest
        )

    def _cut(self, line: str) -> str:
        return line if len(line) <= self._width else f"{line[: self._width - 3]}..."

    def _styled(self, text: str, style: str) -> str:
        return f"{_SGR[style]}{text}\x1b[0m" if self._has_colour else text

    def text(self) -> str:
        return "".join(f"{line.rstrip()}\n" for line in self._lines)


# A region


def _sources(rows: Sequence[Row], now: float) -> list[str]:
    if not rows:
        return ["none: rackferry boot-sources create url=... keyring_filename=..."]
    ordered = sorted(rows, key=lambda row: (not row["enabled"], row["last_success"] or 0.0))
    states = [_source_state(row, now) for row in ordered]
    width = max(map(len, states[:MOST_SOURCES]))
    lines = [
        f"{row['id']}  {state:<{width}}  {row['url']}"
        for row, state in zip(ordered, states, strict=True)
    ]
    rest = len(lines) - MOST_SOURCES
    return lines[:MOST_SOURCES] + ([f"... and {rest} more, read since"] if rest > 0 else [])


def _source_state(row: Row, now: float) -> str:
    if not row["enabled"]:
        return "disabled"
    if row["last_success"] is None:
        return "never read yet"
    read = f"read {_ago(row['last_success'], now)}"
    if row["lagging_since"] is not None:
        read += f", older documents for {human_duration(now - row['lagging_since'])}"
    return read


def _import(row: Row, now: float) -> str:
    progress, last = row["progress"], row["last"]
    if progress is not None:
        published = f"{progress['published']} of {progress['total_images']} images"
        return f"{progress['phase']}, {published}{_moving(progress)}"
    parts = [row["state"]]
    if row["missing_bytes"]:
        parts.append(f"{human_size(row['missing_bytes'])} of space are missing")
    if last is not None:
        parts.append(
            f"last {last['outcome']} {_ago(last['ended_at'], now)}, "
            f"{human_size(last['fetched_bytes'])} in {human_duration(last['work_s'])}"
        )
    if row["next_at"] is not None:
        parts.append(f"next in {human_duration(row['next_at'] - now)}")
    return "; ".join(parts)


def _images(status: Row) -> list[str]:
    images, pinned = status["images"], status.get("pinned", ())
    counts = (
        f"{images['published']} published, {images['importing']} importing, {images['kept']} kept"
        f"{f', {len(pinned)} pinned' if pinned else ''}; {human_size(images['published_bytes'])}"
    )
    waiting = [
        f"{row['name']} {row['architecture']} is pinned to {row['version']}; "
        f"{row['waiting_version']} waits"
        for row in pinned
        if row["waiting_version"]
    ]
    rest = len(waiting) - MOST_PINNED
    return [counts, *waiting[:MOST_PINNED]] + ([f"... and {rest} more"] if rest > 0 else [])


def _canaries(row: Row | None, now: float) -> list[str]:
    if row is None or not (row["names"] or row["waiting"]):
        return []
    names = ", ".join(row["names"]) or "none any more"
    if not row["waiting"]:
        return [f"{names}; nothing waits for the other racks"]
    due_at = row["due_at"]
    until = "rackferry rack-controllers canary promote"
    if due_at is not None:
        until = f"in {human_duration(due_at - now)}" if due_at > now else "when canaries are well"
    racks, versions = row["racks_waiting"], len(row["waiting"])
    who = "1 rack waits" if racks == 1 else f"{racks or 'no'} racks wait"
    waiting = f"{who} for {versions} version{'s' if versions != 1 else ''}"
    return [f"{names}; {waiting}, the next: {until}"]


def _space(space: Row) -> str:
    used = f"database {human_size(space['database_bytes'])}"
    if space["free_bytes"] is None:  # it is a server's
        return used
    free, reserve = human_size(space["free_bytes"]), human_size(space["reserve_bytes"])
    return f"{used}; {free} free, of which {reserve} stay free"


def _racks(rows: Sequence[Row], now: float) -> list[str]:
    if not rows:
        return ["none: rackferry rack-controllers create-token name=..."]
    counts = Counter(row["status"] for row in rows)
    summary = ", ".join(f"{counts[state]} {state}" for state in _STATES[::-1] if counts[state])
    shown = sorted(filter(_needs_somebody, rows), key=_urgency)
    width = max((len(row["name"]) for row in shown[:MOST_RACKS]), default=0)
    lines = [f"{row['name']:<{width}}  {_rack_state(row, now)}" for row in shown[:MOST_RACKS]]
    rest = Counter(row["status"] for row in shown[MOST_RACKS:])
    if rest:
        lines.append("... and " + ", ".join(f"{count} {state}" for state, count in rest.items()))
    return [f"{len(rows)}: {summary}", *lines]


def _needs_somebody(row: Row) -> bool:
    return row["status"] != "synced" or row["problem"] is not None or _is_skewed(row)


def _is_skewed(row: Row) -> bool:
    return row["clock_skew_s"] is not None and abs(row["clock_skew_s"]) > SKEW_S


def _urgency(row: Row) -> tuple[bool, int, int, str]:
    return (
        row["problem"] is None,
        _STATES.index(row["status"]),
        -row["lag_generations"],
        row["name"],
    )


def _rack_state(row: Row, now: float) -> str:
    parts = [row["status"]]
    if row["status"] == "unknown":
        seen = row["last_seen"]
        parts.append("never seen" if seen is None else f"last seen {_ago(seen, now)}")
    if row["problem"] is not None:
        parts.append(f"{row['problem']['code']}: {row['problem']['message']}")
    if row["progress"] is not None:
        parts.append(_moving(row["progress"]).removeprefix(", "))
    if _is_skewed(row):
        side = "ahead" if row["clock_skew_s"] > 0 else "behind"
        parts.append(f"its clock is {human_duration(abs(row['clock_skew_s']))} {side}")
    if row["lag_generations"]:
        since = row["lag_since"]
        age = "" if since is None else f" ({human_duration(now - since)})"
        several = "s" if row["lag_generations"] > 1 else ""
        parts.append(f"{row['lag_generations']} generation{several}{age} behind")
    return ", ".join(parts)


# A rack


def _region(status: Row) -> str:
    if not status["region_connected"]:
        return "no region answers; what is held is served"
    return f"connected, at generation {status['region_generation']}"


def _kept(status: Row) -> str:
    kept = status.get("kept")
    if not kept or not kept["images"]:
        return ""
    reason = f" ({kept['reason']})" if kept["reason"] else ""
    return f"; {kept['complete']} of {kept['images']} older versions at hand{reason}"


def _sync(status: Row) -> str:
    waiting = f"; {status['waiting']}" if status["waiting"] else ""
    moving = _moving(status) if status["total_bytes"] else ""
    return f"{status['status']}{moving}{waiting}; bandwidth {status['bandwidth']}"


def _scrub(scrub: Row, now: float) -> str:
    if scrub["state"] == "running":
        checked, total = human_size(scrub["checked_bytes"]), human_size(scrub["total_bytes"])
        return f"running, {checked} of {total}, {scrub['damaged']} damaged"
    parts = [] if scrub["ended_at"] is None else [
        f"{scrub['damaged']} damaged, ended {_ago(scrub['ended_at'], now)}"
    ]  # fmt: skip
    if scrub["next_at"] is not None:
        parts.append(f"next in {human_duration(scrub['next_at'] - now)}")
    return "; ".join(parts) or "-"


# Both


def _moving(progress: Row) -> str:
    """``, 1.2 GiB of 3.4 GiB, 20 MiB/s, 1 min 50 s left``: as much as is known."""
    done, total, rate = (progress[key] for key in ("fetched_bytes", "total_bytes", "rate_bytes_s"))
    text = f", {human_size(done)} of {human_size(total)}"
    if not rate:
        return text
    left = human_duration(max(0, total - done) / rate)
    return f"{text}, {human_size(int(rate))}/s, {left} left"


def _ago(at: float, now: float) -> str:
    return f"{human_duration(now - at)} ago"
