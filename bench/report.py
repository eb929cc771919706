"""The benchmark's table: medians, spread, ratios, goals; and the machine they hold for."""

import importlib.metadata
import os
import platform
import re
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs


@attrs.frozen
class Row:
    """One comparison.

    Attributes:
        title: what was done.
        ours_s, peer_s: wall seconds, one per round; empty peer: skipped.
        peer: the peer's name.
        goal: least ratio peer/ours that counts as met; None: only shown.
        size_bytes: bytes moved, for MiB/s; 0 for none.
        remark: printed beside it.
    """

    title: str
    peer: str
    ours_s: Sequence[float]
    peer_s: Sequence[float]
    goal: float | None = None
    size_bytes: int = 0
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the peer's speed we have: median over median."""
        if not self.ours_s or not self.peer_s:
            return None
        return statistics.median(self.peer_s) / statistics.median(self.ours_s)

    @property
    def verdict(self) -> str:
        """Whether the goal is met, in words."""
        if self.ratio is None:
            return "skipped: peer missing"
        if self.goal is None:
            return ""
        return "met" if self.ratio >= self.goal else "GOAL MISSED"

    def cells(self) -> tuple[str, ...]:
        """One line of the table."""
        ratio = f"{self.ratio:.2f}x" if self.ratio is not None else "-"
        goal = f">= {self.goal:g}x" if self.goal is not None else "-"
        ours, theirs = self._figure(self.ours_s), self._figure(self.peer_s)
        return (self.title, ours, self.peer, theirs, ratio, goal, self.verdict, self.remark)

    def _figure(self, seconds: Sequence[float]) -> str:
        if not seconds:
            return "-"
        middle = statistics.median(seconds)
        text = f"{middle:.3f} s ({min(seconds):.3f}-{max(seconds):.3f})"
        if self.size_bytes:
            text += f", {self.size_bytes / middle / 2**20:.0f} MiB/s"
        return text


@attrs.frozen
class Memory:
    """The peak resident memory of a daemon against its limit."""

    daemon: str
    peak_bytes: int
    limit_bytes: int

    def cells(self) -> tuple[str, ...]:
        """One line of the table."""
        return (
            f"peak memory of {self.daemon} in these rows",
            f"{self.peak_bytes / 2**20:.0f} MiB",
            "-",
            "-",
            "-",
            f"<= {self.limit_bytes / 2**20:.0f} MiB",
            "met" if self.peak_bytes <= self.limit_bytes else "GOAL MISSED",
            "",
        )


HEADINGS = ("row", "Rackferry", "peer", "peer's figure", "ratio", "goal", "verdict", "remark")


def table(lines: Sequence[Row | Memory]) -> str:
    """The lines as an aligned Markdown table."""
    rows = [HEADINGS, *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    drawn = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([drawn[0], rule, *drawn[1:]])


def _version(*argv: str) -> str:
    """A program's name and version, in its own words."""
    path = shutil.which(argv[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        return f"{argv[0]}: not installed"
    done = subprocess.run([path, *argv[1:]], capture_output=True, text=True, check=False)
    found = re.search(r"\w+[ /]\d[\w.]*", done.stdout + done.stderr)
    return found[0] if found else argv[0]


def machine() -> str:
    """What the figures were measured on, as a list for a Markdown page."""
    fields = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in fields if "model name" in line), "?")
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    packages = ("twisted", "sqlalchemy", "pyOpenSSL", "cryptography")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    load = os.getloadavg()[0]
    kernel = f"{platform.system()} {platform.release()}"
    tools = [("nginx", "-v"), ("curl", "--version"), ("openssl", "version")]
    return (
        f"* {os.cpu_count()} cores, {model}, {memory_kib / 2**20:.0f} GiB, {kernel}\n"
        f"* load average at the start {load:.1f}\n"
        f"* Python {platform.python_version()}, {versions}\n"
        f"* {', '.join(_version(*tool) for tool in tools)}"
    )
