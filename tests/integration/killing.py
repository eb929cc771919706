"""SIGKILL while bytes are in flight, at moments that a seed draws, and what it cost.

A run starts from nothing, is killed one to four times, is restarted as systemd would, and
must end by itself. What the proxy carried, less what the images need, was fetched again.

It is accounted for kill by kill: what was carried and is not on the disk after a kill was
lost by it, and after the last restart next to nothing may be fetched that was on the disk.
"""

import itertools
import random
import time
from collections.abc import Callable

import attrs

from tests.integration.evidence import mib
from tests.integration.ground import POLL_S, Ground, Line
from tests.integration.sources import MIB

REFETCH_LIMIT_BYTES = 16 * MIB  # per open stream and kill
REDONE_LIMIT_BYTES = 4 * MIB  # unfinished chunks on the disk, documents, protocol
DOCUMENTS_BYTES = 64 * 1024  # less than this may be documents and TLS
MISS_AFTER_S = 20.0
STREAMS_SEEN_FOR = 8  # looks; a stream between two pieces holds nothing for a moment


@attrs.frozen
class Kill:
    """One kill.

    Attributes:
        at_bytes: carried since the run began.
        in_flight_bytes: of them and after them, at the last look before the kill.
        streams: open then.
        held_bytes: on the disk after it.
    """

    at_bytes: int
    in_flight_bytes: int
    streams: int
    held_bytes: int = 0

    @property
    def gone_bytes(self) -> int:
        """Lost by this kill and all before it."""
        return self.at_bytes - self.held_bytes


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
    def lost_bytes(self) -> list[int]:
        """What each kill lost, and at last what was fetched again although it was held."""
        gone = [0, *(kill.gone_bytes for kill in self.kills), self.again_bytes]
        return [after - before for before, after in itertools.pairwise(gone)]

    def breaches(self) -> list[str]:
        """What is not as promised."""
        *lost, redone = self.lost_bytes
        found = [
            f"a kill with {kill.streams} streams lost {mib(lost_bytes)}"
            for kill, lost_bytes in zip(self.kills, lost, strict=True)
            if lost_bytes > kill.streams * REFETCH_LIMIT_BYTES
        ]
        if redone > REDONE_LIMIT_BYTES:
            found.append(f"{mib(redone)} were on the disk and were fetched again")
        return found

    def line(self) -> str:
        """The run in one line."""
        kills = "; ".join(
            f"at {mib(kill.at_bytes)} with {kill.in_flight_bytes} B in flight on {kill.streams},"
            f" lost {mib(lost_bytes)}"
            for kill, lost_bytes in zip(self.kills, self.lost_bytes[:-1], strict=True)
        )
        return (
            f"{self.name}: killed {kills}; {mib(self.again_bytes)} again"
            f"; READY {max(self.ready_s, default=0.0):.1f} s; {self.spent_s:.1f} s"
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


def positions(draw: random.Random, ground: Ground, count: int) -> list[int]:
    """Random bytes of a run, in order; less than what it needs, so that it runs then."""
    return sorted(draw.randrange(DOCUMENTS_BYTES, ground.needed_bytes) for _ in range(count))


def _kill(
    run: Run,
    line: Line,
    at_bytes: int,
    *,
    base_bytes: int,
    look: Callable[[], None],
    held: Callable[[], int],
) -> None:
    """Kill the line's daemon at a byte, see what is left, and restart it."""
    kill = kill_in_flight(line, at_bytes, base_bytes, look)
    if kill is None:
        run.misses += 1
        return
    assert kill.streams <= line.most_streams, f"{kill.streams} streams at once"
    run.kills.append(attrs.evolve(kill, held_bytes=held()))
    look()
    run.ready_s.append(line.daemon.start())


def killed_import(ground: Ground, draw: random.Random, name: str, count: int) -> Run:
    """An import from nothing whose region is killed ``count`` times."""
    run, line, began_s = Run(name), ground.importing, time.monotonic()
    ground.fresh_region()
    base_bytes = line.hop.carried_bytes
    line.hop.slow(speed(draw, ground, line))
    line.daemon.start()
    for at_bytes in positions(draw, ground, count):
        _kill(
            run,
            line,
            at_bytes,
            base_bytes=base_bytes,
            look=lambda: None,
            held=ground.region_held_bytes,
        )
    line.hop.full_speed()
    ground.await_import()
    run.again_bytes = line.hop.carried_bytes - base_bytes - ground.needed_bytes
    ground.compare_import()
    run.spent_s = time.monotonic() - began_s
    return run


def killed_sync(ground: Ground, draw: random.Random, name: str, count: int) -> Run:
    """A sync from nothing whose rack is killed ``count`` times; the region has everything."""
    run, line, began_s = Run(name), ground.syncing, time.monotonic()
    watch = ground.fresh_rack()
    base_bytes = line.hop.carried_bytes
    line.hop.slow(speed(draw, ground, line))
    line.daemon.start()
    for at_bytes in positions(draw, ground, count):
        _kill(
            run,
            line,
            at_bytes,
            base_bytes=base_bytes,
            look=watch.look,
            held=ground.rack_held_bytes,
        )
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
        lost = [lost_bytes for run in self.runs for lost_bytes in run.lost_bytes[:-1]]
        in_flight = [kill.in_flight_bytes for run in self.runs for kill in run.kills]
        missed = sum(run.misses for run in self.runs)
        return (
            f"{self.kills} kills in {len(self.runs)} runs, each with {min(in_flight)} to"
            f" {max(in_flight)} B in flight ({missed} missed and repeated); lost per kill:"
            f" {mib(sum(lost) / self.kills)} on average, {mib(max(lost))} at most; held and"
            f" fetched again: {mib(max(run.lost_bytes[-1] for run in self.runs))} at most in a run"
        )
