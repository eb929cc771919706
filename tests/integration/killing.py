"""SIGKILL while bytes are in flight, at moments that a seed draws, and what it cost.

A run starts from nothing, is killed one to three times, is restarted as systemd would, and
must end by itself. What the proxy carried, less what the images need, was fetched again.
"""

import random
import time
from collections.abc import Callable

import attrs

from tests.integration.evidence import mib, region_holds
from tests.integration.ground import POLL_S, Ground, Line
from tests.integration.sources import MIB

REFETCH_LIMIT_BYTES = 16 * MIB  # per open stream and kill
DOCUMENTS_BYTES = 64 * 1024  # less than this may be documents and TLS
MISS_AFTER_S = 20.0
STREAMS_SEEN_FOR = 20  # looks; a stream between two pieces holds nothing for a moment


@attrs.frozen
class Kill:
    """One kill: bytes carried since the run began, bytes in flight, streams they were of."""

    at_bytes: int
    in_flight_bytes: int
    streams: int


@attrs.define
class Run:
    """What one run has come to.

    Attributes:
        name: "import 3", for lines that are printed.
        ready_s: from each restart to READY.
        again_bytes: carried, less needed; documents and protocol are in it.
    """

    name: str
    kills: list[Kill] = attrs.field(factory=list)
    misses: int = 0
    ready_s: list[float] = attrs.field(factory=list)
    again_bytes: int = 0
    spent_s: float = 0.0

    @property
    def limit_bytes(self) -> int:
        """The most that may be fetched again."""
        return REFETCH_LIMIT_BYTES * sum(kill.streams for kill in self.kills)

    def line(self) -> str:
        """The run in one line."""
        kills = "; ".join(
            f"at {mib(kill.at_bytes)} with {kill.in_flight_bytes} B in flight on {kill.streams}"
            for kill in self.kills
        )
        return (
            f"{self.name}: killed {kills}; {mib(self.again_bytes)} again"
            f" (<= {mib(self.limit_bytes)}); READY {max(self.ready_s):.1f} s; {self.spent_s:.1f} s"
        )


def speed(draw: random.Random, ground: Ground, line: Line) -> float:
    """A rate per connection at which a whole run takes half a second to two."""
    return ground.needed_bytes / line.most_streams / draw.uniform(0.5, 2.0)


def kill_in_flight(
    line: Line, at_bytes: int, base_bytes: int, look: Callable[[], None]
) -> Kill | None:
    """Kill a daemon as soon as its line carried ``at_bytes`` and something is in flight.

    Args:
        line: whom, and where to count.
        at_bytes: counted from ``base_bytes``.
        base_bytes: what the hop had carried when the run began.
        look: called before each count.

    Returns:
        None if nothing was in flight any more: that kill does not count.
    """
    seen = [0] * STREAMS_SEEN_FOR
    deadline_s = time.monotonic() + MISS_AFTER_S
    while time.monotonic() < deadline_s:
        look()
        counts = line.hop.counts()
        seen = [*seen[1:], counts["streams"]]
        carried_bytes = counts["down"] - base_bytes
        if carried_bytes >= at_bytes and counts["held"]:
            line.daemon.kill()
            return Kill(carried_bytes, counts["held"], max(seen))
        time.sleep(POLL_S)
    return None


def positions(draw: random.Random, ground: Ground, count: int, least_bytes: int) -> list[int]:
    """Random bytes of a run, in order; less than what it needs, so that it runs then."""
    first_bytes = max(least_bytes, DOCUMENTS_BYTES)
    return sorted(draw.randrange(first_bytes, ground.needed_bytes) for _ in range(count))


def _kill(run: Run, line: Line, at_bytes: int, base_bytes: int, look: Callable[[], None]) -> None:
    kill = kill_in_flight(line, at_bytes, base_bytes, look)
    if kill is None:
        run.misses += 1
        return
    assert kill.streams <= line.most_streams, f"{kill.streams} streams at once"
    run.kills.append(kill)
    look()


def killed_import(
    ground: Ground, draw: random.Random, name: str, count: int, least_bytes: int = 0
) -> Run:
    """An import from nothing whose region is killed ``count`` times."""
    run, line, began_s = Run(name), ground.importing, time.monotonic()
    ground.fresh_region()
    base_bytes = line.hop.carried_bytes
    line.hop.slow(speed(draw, ground, line))
    line.daemon.start()
    for at_bytes in positions(draw, ground, count, least_bytes):
        _kill(run, line, at_bytes, base_bytes, lambda: None)
        if not line.daemon.is_running:
            region_holds(ground.database)
            run.ready_s.append(line.daemon.start())
    line.hop.full_speed()
    ground.await_import()
    run.again_bytes = line.hop.carried_bytes - base_bytes - ground.needed_bytes
    ground.compare_import()
    run.spent_s = time.monotonic() - began_s
    return run


def killed_sync(
    ground: Ground, draw: random.Random, name: str, count: int, least_bytes: int = 0
) -> Run:
    """A sync from nothing whose rack is killed ``count`` times; the region has everything."""
    run, line, began_s = Run(name), ground.syncing, time.monotonic()
    watch = ground.fresh_rack()
    base_bytes = line.hop.carried_bytes
    line.hop.slow(speed(draw, ground, line))
    line.daemon.start()
    for at_bytes in positions(draw, ground, count, least_bytes):
        _kill(run, line, at_bytes, base_bytes, watch.look)
        if not line.daemon.is_running:
            run.ready_s.append(line.daemon.start())
    line.hop.full_speed()
    ground.await_sync()
    run.again_bytes = line.hop.carried_bytes - base_bytes - ground.needed_bytes
    watch.look()
    ground.compare_sync()
    run.spent_s = time.monotonic() - began_s
    return run


@attrs.define
class Tally:
    """The runs of one daemon."""

    runs: list[Run] = attrs.field(factory=list)

    @property
    def kills(self) -> int:
        """Kills that hit bytes in flight."""
        return sum(len(run.kills) for run in self.runs)

    def line(self) -> str:
        """All of them in one line."""
        again = [run.again_bytes / max(1, len(run.kills)) for run in self.runs]
        in_flight = [kill.in_flight_bytes for run in self.runs for kill in run.kills]
        missed = sum(run.misses for run in self.runs)
        return (
            f"{self.kills} kills in {len(self.runs)} runs, each with {min(in_flight)} to"
            f" {max(in_flight)} B in flight ({missed} missed and repeated); fetched again per kill:"
            f" {mib(sum(run.again_bytes for run in self.runs) / self.kills)} on average,"
            f" {mib(max(again))} at most"
        )
